package llm

import (
	"math"
	"math/rand/v2"
	"strings"
	"sync/atomic"

	"github.com/gollava/gollava/nn"
	"github.com/gollava/gollava/tensor"
)

// llama is the family of Llama and Vicuna. Source: Touvron et al. 2023.
func llama() Family {
	return Family{Type: "llama", Architecture: "LlamaForCausalLM", LLaVA: "llava_llama",
		LLaVAArchitecture: "LlavaLlamaForCausalLM",
		Aliases:           []string{"llava"}, Template: "vicuna_v1",
		Defaults: `{"vocab_size": 32000, "hidden_size": 4096, "intermediate_size": 11008, "num_hidden_layers": 32,
			"num_attention_heads": 32,
			"max_position_embeddings": 2048, "rms_norm_eps": 1e-6, "bos_token_id": 1, "eos_token_id": 2}`,
		Read: func(raw []byte) (Config, error) { return readLlama(raw, nil) },
		New: func(r *rand.Rand, c Config) (Model, error) {
			return NewLlama(r, c, func(r *rand.Rand, c *Config, _ int) Block {
				return newLlamaBlock(r, c,
					c.AttentionBias)
			})
		}}
}

// Llama is the decoder of Llama, Mistral, Qwen2, Qwen3, Phi-3, StableLM, Mixtral and Qwen2-MoE, which differ in their
// blocks. Source: transformers'
// modeling_llama, names included.
// It is safe for concurrent use while nobody changes its parameters.
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

// NewLlama builds a decoder of c's sizes with the given blocks, layer by layer, and with transformers' initial
// weights N(0, 0.02²). With a nil r the weights are to be loaded. The error names the field of c's rotary embeddings
// that is not supported.
func NewLlama(r *rand.Rand, c Config, block func(r *rand.Rand, c *Config, layer int) Block) (*Llama, error) {
	if err := c.Validate(); err != nil {
		return nil, err
	}
	rope, err := nn.NewRoPE(c.HeadDim, c.MaxPositionEmbeddings, c.RoPE)
	if err != nil {
		return nil, err
	}
	m := &Llama{config: c, rope: rope, Decoder: Decoder{
		Embedding: nn.NewEmbedding(r, c.VocabSize, c.HiddenSize, initStd), Norm: nn.NewRMSNorm(r, c.HiddenSize,
			c.NormEps)}}
	for i := range c.NumHiddenLayers {
		m.Decoder.Layers = append(m.Decoder.Layers, block(r, &c, i))
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
		case c.DampResidual && (strings.HasSuffix(name, ".o_proj.weight") ||
			strings.HasSuffix(name, ".down_proj.weight")):
			k /= math.Sqrt(2 * float64(c.NumHiddenLayers))
		}
		if k == 1 {
			continue
		}
		x := p.Host().Data() // a new model's own
		for i, v := range x {
			x[i] = float32(float64(v) * k)
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
	in = in.packed()
	p := NewPass(in, PassConfig{Blocks: len(m.Decoder.Layers), RoPE: m.rope, Window: m.config.window,
		Scale: float32(m.config.SoftmaxScale), Cap: float32(m.config.AttentionCap), Recompute: m.recompute.Load()})
	x := in.Embeds // [B, T, C]
	for _, b := range m.Decoder.Layers {
		x = p.Run(b, x)
	}
	return m.Decoder.Norm.Forward(p.Finish(x))
}

// LlamaBlock is x + Attention(RMSNorm(x)), then x + MLP(RMSNorm(x)).
type LlamaBlock struct {
	InputNorm nn.Layer   `param:"input_layernorm"`
	Attention *Attention `param:"self_attn"`
	MLPNorm   nn.Layer   `param:"post_attention_layernorm"`
	MLP       *MLP       `param:"mlp"`
}

// llamaBlock builds a block whose output projection has no bias, as that of all families but Llama.
func llamaBlock(r *rand.Rand, c *Config, _ int) Block { return newLlamaBlock(r, c, false) }

func newLlamaBlock(r *rand.Rand, c *Config, outputBias bool) *LlamaBlock {
	C := c.HiddenSize
	q, kv := c.NumAttentionHeads*c.HeadDim, c.NumKeyValueHeads*c.HeadDim
	return &LlamaBlock{
		InputNorm: nn.NewRMSNorm(r, C, c.NormEps),
		Attention: &Attention{queryHeads: c.NumAttentionHeads, kvHeads: c.NumKeyValueHeads, headDim: c.HeadDim,
			Query: linear(r, C, q, c.AttentionBias), Key: linear(r, C, kv, c.AttentionBias), Value: linear(r, C, kv,
				c.AttentionBias),
			Output: linear(r, q, C, outputBias)},
		MLPNorm: nn.NewRMSNorm(r, C, c.NormEps),
		MLP:     NewMLP(r, *c),
	}
}

// Forward implements [Block].
func (b *LlamaBlock) Forward(x *tensor.Tensor, p *Pass) *tensor.Tensor {
	y := b.Attention.heads(b.InputNorm.Forward(x), p)              // [B, T, H·D]
	x = p.Pick(b, x).Add(b.Attention.Output.Forward(p.Pick(b, y))) // [B, T, C] or [N, C]
	return x.Add(b.MLP.Forward(b.MLPNorm.Forward(x)))
}

// Attention is causal self-attention with rotary embeddings and grouped key-value heads. Qwen3 normalises queries and
// keys per head.
type Attention struct {
	Query     nn.Layer `param:"q_proj"`
	Key       nn.Layer `param:"k_proj"`
	Value     nn.Layer `param:"v_proj"`
	Output    nn.Layer `param:"o_proj"`
	QueryNorm nn.Layer `param:"q_norm,optional"`
	KeyNorm   nn.Layer `param:"k_norm,optional"`

	queryHeads, kvHeads, headDim int
}

// Forward maps [B, T, C] to [B, T, C].
func (a *Attention) Forward(x *tensor.Tensor, p *Pass) *tensor.Tensor {
	return a.Output.Forward(a.heads(x, p))
}

// heads maps [B, T, C] to what the heads found, [B, T, H·D].
func (a *Attention) heads(x *tensor.Tensor, p *Pass) *tensor.Tensor {
	B, T, _ := x.Dims3()
	q := a.Query.Forward(x).Reshape(B, T, a.queryHeads, a.headDim) // [B, T, H, D]
	k := a.Key.Forward(x).Reshape(B, T, a.kvHeads, a.headDim)      // [B, T, G, D]
	v := a.Value.Forward(x).Reshape(B, T, a.kvHeads, a.headDim)    // [B, T, G, D]
	if a.QueryNorm != nil {
		q, k = a.QueryNorm.Forward(q), a.KeyNorm.Forward(k)
	}
	return p.Attend(q, k, v)
}

// MLP is down(act(gate(x))·up(x)).
type MLP struct {
	Gate nn.Layer `param:"gate_proj"`
	Up   nn.Layer `param:"up_proj"`
	Down nn.Layer `param:"down_proj"`

	act tensor.Activation
}

// NewMLP builds the MLP of c's blocks, with transformers' initial weights; with a nil r they are to be loaded.
func NewMLP(r *rand.Rand, c Config) *MLP {
	C, F := c.HiddenSize, c.IntermediateSize
	act, _ := activation(c.HiddenAct)
	return &MLP{Gate: linear(r, C, F, c.MLPBias), Up: linear(r, C, F, c.MLPBias), Down: linear(r, F, C, c.MLPBias),
		act: act}
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
