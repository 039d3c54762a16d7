// Package llm holds Llama-family decoders (Llama, Vicuna, Mistral, Qwen2, Qwen3, Phi-3, MPT), their key-value cache and text generation. It
// reads and writes the checkpoints of transformers.
//
// A model maps token embeddings [B, T, C] to hidden states, so that a caller may put image features among them; [Generate] does the rest.
package llm

import (
	"math"
	"math/rand/v2"
	"strings"
	"sync/atomic"

	"github.com/gollava/gollava/nn"
	"github.com/gollava/gollava/tensor"
)

// Model is a causal language model.
type Model interface {
	Config() Config

	// Embed looks up token ids (int32 [B, T]): [B, T, C].
	Embed(ids *tensor.Tensor) *tensor.Tensor

	// Hidden runs the decoder, final norm included: [B, T, C], or [N, C] where the input asks for N rows.
	Hidden(in Input) *tensor.Tensor

	// Head is the layer from hidden states to logits [.., V].
	Head() nn.Layer

	// SetRecompute says whether training keeps only the inputs of each block and computes the rest again in the backward pass.
	SetRecompute(on bool)
}

// Input is what a decoder reads.
type Input struct {
	Embeds     *tensor.Tensor // [B, T, C]
	Positions  []int32        // [B·T] for rotary embeddings; nil: counted from 0, or from the length of the cache
	Start, End []int32        // [B]: row b's real tokens are keys Start[b] to End[b]−1; nil: all
	Cache      *Cache         // nil in training
	Rows       []int32        // [N]: positions b·T + t whose hidden states are wanted; nil: all. Behind its attention the last block leaves out the others
}

// Llama is the decoder of Llama, Vicuna, Mistral, Qwen2, Qwen3 and Phi-3, which differ in their blocks. Source: Touvron et al. 2023;
// transformers' modeling_llama, names included.
type Llama struct {
	Decoder Decoder  `param:"model"`
	LMHead  nn.Layer `param:"lm_head"` // [V, C], the embedding itself when tied

	config    Config
	rope      *nn.RoPE
	recompute atomic.Bool
}

// Decoder is the stack of blocks between embedding and final norm.
type Decoder struct {
	Embedding *nn.Embedding `param:"embed_tokens"` // [V, C]
	Layers    []Block       `param:"layers"`
	Norm      nn.Layer      `param:"norm"`
}

// Block is one layer of a decoder.
type Block interface {
	Forward(x *tensor.Tensor, p *Pass) *tensor.Tensor // [B, T, C] → [B, T, C]
}

// Pass is what all blocks of one forward pass share.
type Pass struct {
	cos, sin *tensor.Tensor // [B·T, R/2]
	start    []int32
	end      []int32
	slopes   []float32
	scale    float32
	cache    *Cache
	layer    int
	window   int
	last     int            // layer
	rows     *tensor.Tensor // int32 [N], what the last layer is asked for; nil: all
}

// New builds the model that c describes, with transformers' initial weights N(0, 0.02²). With a nil r the weights are to be loaded.
func New(r *rand.Rand, c Config) (Model, error) {
	if err := c.Validate(); err != nil {
		return nil, err
	}
	if c.ModelType == "mpt" {
		return newMPT(r, c), nil
	}
	rope, err := nn.NewRoPE(c.HeadDim, c.MaxPositionEmbeddings, c.RoPE)
	if err != nil {
		return nil, err
	}
	m := &Llama{config: c, rope: rope, Decoder: Decoder{
		Embedding: nn.NewEmbedding(r, c.VocabSize, c.HiddenSize, initStd), Norm: nn.NewRMSNorm(r, c.HiddenSize, c.NormEps)}}
	for range c.NumHiddenLayers {
		if c.ModelType == "phi3" {
			m.Decoder.Layers = append(m.Decoder.Layers, newPhi3Block(r, &c))
		} else {
			m.Decoder.Layers = append(m.Decoder.Layers, newLlamaBlock(r, &c))
		}
	}
	head := &nn.Linear{Weight: m.Decoder.Embedding.Weight}
	if !c.TieWordEmbeddings {
		head = linear(r, c.HiddenSize, c.VocabSize, false)
	}
	m.LMHead = head
	if r != nil {
		m.rescale()
	}
	return m, nil
}

// rescale turns fresh weights of deviation 0.02 into what the config's departures ask for.
func (m *Llama) rescale() {
	c := &m.config
	std, embedding := c.InitStd, c.EmbeddingStd
	if std == 0 {
		std = initStd
	}
	if embedding == 0 {
		embedding = std
	}
	for name, p := range nn.Params(m) {
		k := std / initStd
		switch {
		case name == "model.norm.weight":
			k = std / embedding
		case p.Rank() < 2:
			continue
		case name == "model.embed_tokens.weight":
			k = embedding / initStd
		case c.DampResidual && (strings.HasSuffix(name, ".o_proj.weight") || strings.HasSuffix(name, ".down_proj.weight")):
			k /= math.Sqrt(2 * float64(c.NumHiddenLayers))
		}
		if k == 1 {
			continue
		}
		for i, v := range p.Data() {
			p.Data()[i] = float32(float64(v) * k)
		}
	}
}

const initStd = 0.02

// linear starts as transformers does: weights N(0, 0.02²), biases 0.
func linear(r *rand.Rand, in, out int, bias bool) *nn.Linear {
	l := &nn.Linear{Weight: tensor.Randn(r, initStd, out, in).Param()}
	if bias {
		if l.Bias = tensor.Meta(tensor.Float32, out).Param(); r != nil {
			l.Bias.Allocate()
		}
	}
	return l
}

func (m *Llama) Config() Config                          { return m.config }
func (m *Llama) Embed(ids *tensor.Tensor) *tensor.Tensor { return m.Decoder.Embedding.Lookup(ids) }
func (m *Llama) Head() nn.Layer                          { return m.LMHead }
func (m *Llama) SetRecompute(on bool)                    { m.recompute.Store(on) }

// RoPE is the model's rotary embedding.
func (m *Llama) RoPE() *nn.RoPE { return m.rope }

// Hidden runs all blocks and the final norm.
func (m *Llama) Hidden(in Input) *tensor.Tensor {
	p := newPass(in, len(m.Decoder.Layers))
	p.cos, p.sin = m.rope.At(positions(in))
	x := in.Embeds // [B, T, C]
	for i, b := range m.Decoder.Layers {
		x = p.through(b, x, i, m.config.window(i), m.recompute.Load())
	}
	in.Cache.advance(in.Embeds.Dim(1))
	return m.Decoder.Norm.Forward(p.pick(x))
}

func newPass(in Input, blocks int) *Pass {
	p := &Pass{start: in.Start, end: in.End, cache: in.Cache, last: blocks - 1}
	if in.Rows != nil {
		p.rows = tensor.WrapInts(in.Rows, len(in.Rows))
	}
	return p
}

// picks says whether a block computes no more than the rows that are asked for. Other packages' blocks always keep the shape.
func picks(b Block) bool {
	switch b.(type) {
	case *LlamaBlock, *Phi3Block, *MPTBlock:
		return true
	}
	return false
}

// pick takes the rows that are asked for: [B, T, C] → [N, C]. Without any, or if it is done, x stays.
func (p *Pass) pick(x *tensor.Tensor) *tensor.Tensor {
	if p.rows == nil || x.Rank() == 2 {
		return x
	}
	B, T, C := x.Dims3()
	return tensor.Gather(x.Reshape(B*T, C), p.rows)
}

// through runs block i.
func (p *Pass) through(b Block, x *tensor.Tensor, i, window int, recompute bool) *tensor.Tensor {
	q := *p
	q.layer, q.window = i, window
	if i < p.last || !picks(b) {
		q.rows = nil
	}
	forward := func(in []*tensor.Tensor) *tensor.Tensor { return b.Forward(in[0], &q) }
	if !recompute || p.cache != nil {
		return tensor.Compact(forward, x)
	}
	return tensor.Checkpoint(forward, x)
}

// positions counts from the length of the cache if the caller gave none.
func positions(in Input) []int32 {
	if in.Positions != nil {
		return in.Positions
	}
	B, T, _ := in.Embeds.Dims3()
	pos := make([]int32, 0, B*T)
	for range B {
		for t := range T {
			pos = append(pos, int32(in.Cache.Len()+t))
		}
	}
	return pos
}

// LlamaBlock is x + Attention(RMSNorm(x)), then x + MLP(RMSNorm(x)).
type LlamaBlock struct {
	InputNorm nn.Layer   `param:"input_layernorm"`
	Attention *Attention `param:"self_attn"`
	MLPNorm   nn.Layer   `param:"post_attention_layernorm"`
	MLP       *MLP       `param:"mlp"`
}

func newLlamaBlock(r *rand.Rand, c *Config) *LlamaBlock {
	C, F := c.HiddenSize, c.IntermediateSize
	q, kv := c.NumAttentionHeads*c.HeadDim, c.NumKeyValueHeads*c.HeadDim
	a := &Attention{heads: c.NumAttentionHeads, kvHeads: c.NumKeyValueHeads, headDim: c.HeadDim,
		Query: linear(r, C, q, c.AttentionBias), Key: linear(r, C, kv, c.AttentionBias), Value: linear(r, C, kv, c.AttentionBias),
		Output: linear(r, q, C, c.AttentionBias && c.ModelType == "llama")}
	if c.ModelType == "qwen3" {
		a.QueryNorm, a.KeyNorm = nn.NewRMSNorm(r, c.HeadDim, c.NormEps), nn.NewRMSNorm(r, c.HeadDim, c.NormEps)
	}
	act, _ := activation(c.HiddenAct)
	return &LlamaBlock{
		InputNorm: nn.NewRMSNorm(r, C, c.NormEps), Attention: a, MLPNorm: nn.NewRMSNorm(r, C, c.NormEps),
		MLP: &MLP{Gate: linear(r, C, F, c.MLPBias), Up: linear(r, C, F, c.MLPBias), Down: linear(r, F, C, c.MLPBias), act: act},
	}
}

// Forward maps [B, T, C] to [B, T, C], or to the rows [N, C] that the last block is asked for.
func (b *LlamaBlock) Forward(x *tensor.Tensor, p *Pass) *tensor.Tensor {
	x = p.pick(x).Add(b.Attention.Forward(b.InputNorm.Forward(x), p))
	return x.Add(b.MLP.Forward(b.MLPNorm.Forward(x)))
}

// Attention is causal self-attention with rotary embeddings and grouped key-value heads. Qwen3 normalises queries and keys per head.
type Attention struct {
	Query     nn.Layer `param:"q_proj"`
	Key       nn.Layer `param:"k_proj"`
	Value     nn.Layer `param:"v_proj"`
	Output    nn.Layer `param:"o_proj"`
	QueryNorm nn.Layer `param:"q_norm,optional"`
	KeyNorm   nn.Layer `param:"k_norm,optional"`

	heads, kvHeads, headDim int
}

// Forward maps [B, T, C] to [B, T, C] or to [N, C], as the block does.
func (a *Attention) Forward(x *tensor.Tensor, p *Pass) *tensor.Tensor {
	B, T, _ := x.Dims3()
	q := a.Query.Forward(x).Reshape(B, T, a.heads, a.headDim)   // [B, T, H, D]
	k := a.Key.Forward(x).Reshape(B, T, a.kvHeads, a.headDim)   // [B, T, G, D]
	v := a.Value.Forward(x).Reshape(B, T, a.kvHeads, a.headDim) // [B, T, G, D]
	if a.QueryNorm != nil {
		q, k = a.QueryNorm.Forward(q), a.KeyNorm.Forward(k)
	}
	return a.Output.Forward(p.attend(q, k, v))
}

// attend rotates queries and keys, appends to the cache and returns the heads side by side: [B, T, H·D], or the rows [N, H·D] that are asked for.
func (p *Pass) attend(q, k, v *tensor.Tensor) *tensor.Tensor {
	B, T, H, D := q.Dims4()
	if p.cos != nil {
		q, k = tensor.RoPE(q, p.cos, p.sin), tensor.RoPE(k, p.cos, p.sin)
	}
	keys := T
	k, v, keys = p.cache.append(p.layer, k, v)
	y := tensor.Attention(q, k, v, tensor.AttentionConfig{Causal: true, Keys: keys, Window: p.window,
		Scale: p.scale, Slopes: p.slopes, Start: p.start, End: p.end}) // [B, T, H, D]
	return p.pick(y.Reshape(B, T, H*D))
}

// MLP is down(act(gate(x))·up(x)).
type MLP struct {
	Gate nn.Layer `param:"gate_proj"`
	Up   nn.Layer `param:"up_proj"`
	Down nn.Layer `param:"down_proj"`

	act tensor.Activation
}

// Forward keeps the shape [..., C].
func (m *MLP) Forward(x *tensor.Tensor) *tensor.Tensor {
	return m.Down.Forward(gated(m.Gate.Forward(x), m.Up.Forward(x), m.act))
}

func gated(gate, up *tensor.Tensor, act tensor.Activation) *tensor.Tensor {
	if act == tensor.SiLU {
		return tensor.SwiGLU(gate, up)
	}
	return gate.Activate(act).Mul(up)
}
