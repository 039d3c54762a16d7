package flamingo

import (
	"math/rand/v2"

	"github.com/gollava/gollava/llm"
	"github.com/gollava/gollava/nn"
	"github.com/gollava/gollava/tensor"
)

// Perceiver is the resampler of IDEFICS. Source: transformers' idefics/perceiver.py, names included. It is safe for
// concurrent use while nobody changes its parameters.
type Perceiver struct {
	Latents *tensor.Tensor    `param:"latents"` // [L, D]
	Blocks  []*PerceiverBlock `param:"blocks"`
	Norm    nn.Layer          `param:"layer_norm"`
}

// PerceiverBlock is y + Attention(y → [x; y]), then y + MLP(y).
type PerceiverBlock struct {
	Attention *PerceiverAttention `param:"0"`
	MLP       *PerceiverMLP       `param:"1"`
}

// PerceiverAttention lets latents attend to patches and to themselves.
type PerceiverAttention struct {
	NormContext nn.Layer `param:"context_layer_norm"`
	NormLatents nn.Layer `param:"latents_layer_norm"`
	Query       nn.Layer `param:"q_proj"`                // [H·d, D]
	Key         nn.Layer `param:"k_proj"`                // [H·d, D]
	Value       nn.Layer `param:"v_proj"`                // [H·d, D]
	Output      nn.Layer `param:"output_proj"`           // [D, H·d]
	QueryNorm   nn.Layer `param:"q_layer_norm,optional"` // LayerNorm over each head's d
	KeyNorm     nn.Layer `param:"k_layer_norm,optional"`

	heads int
}

// PerceiverMLP is W2·ReLU(W1·LN(x)), without biases.
type PerceiverMLP struct {
	Norm nn.Layer `param:"ln"`
	Up   nn.Layer `param:"fc"`     // [4D, D]
	Down nn.Layer `param:"c_proj"` // [D, 4D]
}

// newPerceiver starts with latents N(0, 1) and matrices N(0, 0.02²).
func newPerceiver(r *rand.Rand, c Config) *Perceiver {
	D, inner, d := c.Vision.HiddenSize, c.Heads*c.HeadDim, c.HeadDim
	x := &Perceiver{Latents: tensor.Randn(r, 1, c.Latents, D).Param(), Norm: nn.NewLayerNorm(r, D, torchEps, true)}
	for range c.Depth {
		a := &PerceiverAttention{NormContext: nn.NewLayerNorm(r, D, torchEps, true), heads: c.Heads,
			NormLatents: nn.NewLayerNorm(r, D, torchEps, true), Query: matrix(r, D, inner), Key: matrix(r, D, inner),
			Value: matrix(r, D, inner), Output: matrix(r, inner, D)}
		if c.ResamplerQKNorms {
			a.QueryNorm, a.KeyNorm = nn.NewLayerNorm(r, d, torchEps, true), nn.NewLayerNorm(r, d, torchEps, true)
		}
		x.Blocks = append(x.Blocks, &PerceiverBlock{Attention: a, MLP: &PerceiverMLP{
			Norm: nn.NewLayerNorm(r, D, torchEps, true), Up: matrix(r, D, 4*D), Down: matrix(r, 4*D, D)}})
	}
	return x
}

const initStd = 0.02

func matrix(r *rand.Rand, in, out int) *nn.Linear {
	return &nn.Linear{Weight: tensor.Randn(r, initStd, out, in).Param()}
}

// Forward maps patches [N, P, D] to tokens [N, L, D].
func (r *Perceiver) Forward(x *tensor.Tensor) *tensor.Tensor {
	y := repeat(r.Latents, x.Dim(0)).In(x.Arena()) // [N, L, D]
	for _, b := range r.Blocks {
		y = y.Add(b.Attention.Forward(x, y))
		y = y.Add(b.MLP.Forward(y))
	}
	return r.Norm.Forward(y)
}

// Forward lets latents y [N, L, D] attend to patches x [N, P, D] and to y: [N, L, D].
func (a *PerceiverAttention) Forward(x, y *tensor.Tensor) *tensor.Tensor {
	y = a.NormLatents.Forward(y)
	s := tensor.Concat(1, a.NormContext.Forward(x), y) // [N, P+L, D]
	q := split(a.Query.Forward(y), a.heads)            // [N, L, H, d]
	k := split(a.Key.Forward(s), a.heads)              // [N, P+L, H, d]
	v := split(a.Value.Forward(s), a.heads)            // [N, P+L, H, d]
	if a.QueryNorm != nil {
		q, k = a.QueryNorm.Forward(q), a.KeyNorm.Forward(k)
	}
	z := tensor.Attention(q, k, v, tensor.AttentionConfig{}) // [N, L, H, d]
	return a.Output.Forward(z.Reshape(y.Dim(0), y.Dim(1), -1))
}

// Forward keeps the shape [..., D].
func (m *PerceiverMLP) Forward(x *tensor.Tensor) *tensor.Tensor {
	return m.Down.Forward(nn.Activated(m.Up, m.Norm.Forward(x), tensor.ReLU))
}

// IdeficsBlock is x + tanh(α)·CrossAttention(x → images), then x + tanh(β)·MLP(x). A position that sees no image gets
// zeros from the attention. Source: transformers' IdeficsGatedCrossAttentionLayer, names included.
type IdeficsBlock struct {
	InputNorm     nn.Layer          `param:"input_layernorm"`
	Attention     *IdeficsAttention `param:"cross_attn"`
	MLPNorm       nn.Layer          `param:"post_attention_layernorm"`
	MLP           *llm.MLP          `param:"mlp"`
	AttentionGate *tensor.Tensor    `param:"alpha_cross_attn"` // [1] or [1, 1, C], α
	MLPGate       *tensor.Tensor    `param:"alpha_dense"`      // [1] or [1, 1, C], β
}

// IdeficsAttention lets text attend to images, without rotary embeddings.
type IdeficsAttention struct {
	Query     nn.Layer `param:"q_proj"` // [H·d, C]
	Key       nn.Layer `param:"k_proj"` // [H·d, D]
	Value     nn.Layer `param:"v_proj"` // [H·d, D]
	Output    nn.Layer `param:"o_proj"` // [C, H·d]
	QueryNorm nn.Layer `param:"q_layer_norm,optional"`
	KeyNorm   nn.Layer `param:"k_layer_norm,optional"`

	heads int
}

func newIdeficsBlock(r *rand.Rand, c Config) *IdeficsBlock {
	t := c.Text
	C, D, H, d := t.HiddenSize, c.Vision.HiddenSize, t.NumAttentionHeads, t.HeadDim
	shape := []int{1}
	if c.VectorGates {
		shape = []int{1, 1, C}
	}
	a := &IdeficsAttention{Query: matrix(r, C, H*d), Key: matrix(r, D, H*d), Value: matrix(r, D, H*d),
		Output: matrix(r, H*d, C), heads: H}
	if c.QKNorms {
		a.QueryNorm, a.KeyNorm = nn.NewRMSNorm(r, d, t.NormEps), nn.NewRMSNorm(r, d, t.NormEps)
	}
	return &IdeficsBlock{Attention: a, AttentionGate: gate(r, shape...), MLPGate: gate(r, shape...),
		InputNorm: nn.NewRMSNorm(r, C, t.NormEps), MLPNorm: nn.NewRMSNorm(r, C, t.NormEps), MLP: llm.NewMLP(r, t)}
}

// Forward implements [llm.Block]: [B, T, C]. Without a context there is nothing to attend to.
func (b *IdeficsBlock) Forward(x *tensor.Tensor, p *llm.Pass) *tensor.Tensor {
	if p.Context() != nil {
		x = x.Add(b.Attention.Forward(b.InputNorm.Forward(x), p).Mul(b.AttentionGate.Tanh()))
	}
	return x.Add(b.MLP.Forward(b.MLPNorm.Forward(x)).Mul(b.MLPGate.Tanh()))
}

// Forward maps [B, T, C] to [B, T, C].
func (a *IdeficsAttention) Forward(x *tensor.Tensor, p *llm.Pass) *tensor.Tensor {
	q := split(a.Query.Forward(x), a.heads) // [B, T, H, d]
	if a.QueryNorm != nil {
		q = a.QueryNorm.Forward(q)
	}
	y := p.AttendContext(q, func(s *tensor.Tensor) (k, v *tensor.Tensor) {
		k, v = split(a.Key.Forward(s), a.heads), split(a.Value.Forward(s), a.heads) // [B, S, H, d]
		if a.KeyNorm != nil {
			k = a.KeyNorm.Forward(k)
		}
		return k, v
	}) // [B, T, H·d]
	return a.Output.Forward(y)
}

// Decoupled is a Llama with words added behind its vocabulary, whose embeddings and head are parameters of their own,
// so that they can be trained while the others are frozen. Source: transformers' IdeficsDecoupledEmbedding and
// IdeficsDecoupledLinear.
type Decoupled struct {
	*llm.Llama `param:",inline"`

	Added *nn.Embedding `param:"additional_embedding"` // [A, C]
	Words nn.Layer      `param:"additional_fc"`        // [A, C]
}

func decouple(r *rand.Rand, l *llm.Llama, added int) *Decoupled {
	C := l.Config().HiddenSize
	return &Decoupled{Llama: l, Added: nn.NewEmbedding(r, added, C, initStd), Words: matrix(r, C, added)}
}

// Config is the Llama's, with the added words in the vocabulary.
func (m *Decoupled) Config() llm.Config {
	c := m.Llama.Config()
	c.VocabSize += m.Added.Weight.Dim(0)
	return c
}

// Embed looks up ids (int32 [B, T]): [B, T, C].
func (m *Decoupled) Embed(ids *tensor.Tensor) *tensor.Tensor {
	V := int32(m.Llama.Config().VocabSize)
	B, T := ids.Dims2()
	text := make([]int32, B*T)
	var places, added []int32
	for i, id := range ids.Host().IntData() {
		if id < V {
			text[i] = id
		} else {
			places, added = append(places, int32(i)), append(added, id-V)
		}
	}
	x := m.Llama.Embed(tensor.WrapInts(text, B, T).In(ids.Arena())) // [B, T, C]
	if len(added) == 0 {
		return x
	}
	rows := m.Added.Lookup(tensor.WrapInts(added, len(added)).In(ids.Arena())) // [M, C]
	return tensor.ScatterRows(x.Reshape(B*T, x.Dim(2)), tensor.WrapInts(places, len(places)), rows).Reshape(B, T, -1)
}

// Head is the layer from hidden states to logits [.., V+A].
func (m *Decoupled) Head() nn.Layer { return twoHeads{m.LMHead, m.Words} }

// twoHeads puts the logits of two layers side by side.
type twoHeads struct{ words, added nn.Layer }

// Forward maps [..., C] to [..., V+A].
func (h twoHeads) Forward(x *tensor.Tensor) *tensor.Tensor {
	return tensor.Concat(-1, h.words.Forward(x), h.added.Forward(x))
}
