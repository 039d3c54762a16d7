package llm

import (
	"math"
	"math/rand/v2"
	"sync/atomic"

	"github.com/gollava/gollava/nn"
	"github.com/gollava/gollava/tensor"
)

// MPT is MosaicML's decoder: LayerNorm without bias, ALiBi instead of positions, GELU. Source: transformers'
// modeling_mpt, names included; Press et al. 2022 for ALiBi.
// It is safe for concurrent use while nobody changes its parameters.
type MPT struct {
	Transformer MPTDecoder `param:"transformer"`
	LMHead      nn.Layer   `param:"lm_head"` // the embedding itself when tied

	config    Config
	slopes    []float32
	recompute atomic.Bool
}

// MPTDecoder is the stack of blocks between embedding and final norm.
type MPTDecoder struct {
	Embedding *nn.Embedding `param:"wte"`
	Blocks    []Block       `param:"blocks"`
	Norm      nn.Layer      `param:"norm_f"`
}

// MPTBlock is x + Attention(LayerNorm(x)), then x + FFN(LayerNorm(x)).
type MPTBlock struct {
	Norm1     nn.Layer      `param:"norm_1"`
	Attention *MPTAttention `param:"attn"`
	Norm2     nn.Layer      `param:"norm_2"`
	FFN       *MPTFFN       `param:"ffn"`
}

// MPTAttention is causal self-attention with fused projections.
type MPTAttention struct {
	QKV    nn.Layer `param:"Wqkv"` // [3C, C]
	Output nn.Layer `param:"out_proj"`

	headCount int
}

// MPTFFN is down(gelu(up(x))).
type MPTFFN struct {
	Up   nn.Layer `param:"up_proj"`
	Down nn.Layer `param:"down_proj"`
}

func newMPT(r *rand.Rand, c Config) *MPT {
	C := c.HiddenSize
	m := &MPT{config: c, slopes: alibiSlopes(c.NumAttentionHeads, c.AlibiBiasMax), Transformer: MPTDecoder{
		Embedding: nn.NewEmbedding(r, c.VocabSize, C, initStd), Norm: nn.NewLayerNorm(r, C, c.NormEps, false)}}
	for range c.NumHiddenLayers {
		m.Transformer.Blocks = append(m.Transformer.Blocks, &MPTBlock{
			Norm1: nn.NewLayerNorm(r, C, c.NormEps, false),
			Attention: &MPTAttention{QKV: linear(r, C, 3*C, false), Output: linear(r, C, C, false),
				headCount: c.NumAttentionHeads},
			Norm2: nn.NewLayerNorm(r, C, c.NormEps, false),
			FFN: &MPTFFN{Up: linear(r, C, c.IntermediateSize, false),
				Down: linear(r, c.IntermediateSize, C, false)},
		})
	}
	head := &nn.Linear{Weight: m.Transformer.Embedding.Weight}
	if !c.TieWordEmbeddings {
		head = linear(r, C, c.VocabSize, false)
	}
	m.LMHead = head
	return m
}

// alibiSlopes is 2^(−m·biasMax/H') for m = 1…H', H' the power of two that heads need; if heads is none, every second
// first.
func alibiSlopes(heads int, biasMax float64) []float32 {
	n := 1
	for n < heads {
		n *= 2
	}
	all := make([]float32, n)
	for i := range all {
		all[i] = float32(math.Exp2(-float64(i+1) * biasMax / float64(n)))
	}
	if n == heads {
		return all
	}
	var s []float32
	for i := 1; i < n; i += 2 {
		s = append(s, all[i])
	}
	for i := 0; i < n; i += 2 {
		s = append(s, all[i])
	}
	return s[:heads]
}

func (m *MPT) Config() Config                          { return m.config }
func (m *MPT) Embed(ids *tensor.Tensor) *tensor.Tensor { return m.Transformer.Embedding.Lookup(ids) }
func (m *MPT) Head() nn.Layer                          { return m.LMHead }
func (m *MPT) SetRecompute(on bool)                    { m.recompute.Store(on) }

// Hidden runs all blocks and the final norm.
func (m *MPT) Hidden(in Input) *tensor.Tensor {
	in = in.packed()
	p := NewPass(in, PassConfig{Blocks: len(m.Transformer.Blocks), Slopes: m.slopes,
		Scale: float32(m.config.SoftmaxScale), Recompute: m.recompute.Load()})
	x := in.Embeds // [B, T, C]
	for _, b := range m.Transformer.Blocks {
		x = p.Run(b, x)
	}
	return m.Transformer.Norm.Forward(p.Finish(x))
}

// Forward implements [Block].
func (b *MPTBlock) Forward(x *tensor.Tensor, p *Pass) *tensor.Tensor {
	y := b.Attention.heads(b.Norm1.Forward(x), p)                  // [B, T, C]
	x = p.Pick(b, x).Add(b.Attention.Output.Forward(p.Pick(b, y))) // [B, T, C] or [N, C]
	return x.Add(b.FFN.Forward(b.Norm2.Forward(x)))
}

// Forward maps [B, T, C] to [B, T, C].
func (a *MPTAttention) Forward(x *tensor.Tensor, p *Pass) *tensor.Tensor {
	return a.Output.Forward(a.heads(x, p))
}

// heads maps [B, T, C] to what the heads found, [B, T, C].
func (a *MPTAttention) heads(x *tensor.Tensor, p *Pass) *tensor.Tensor {
	B, T, C := x.Dims3()
	qkv := a.QKV.Forward(x).Split(2, C, C, C)
	for i := range qkv {
		qkv[i] = qkv[i].Reshape(B, T, a.headCount, C/a.headCount)
	}
	return p.Attend(qkv[0], qkv[1], qkv[2])
}

// Forward keeps the shape [..., C].
func (f *MPTFFN) Forward(x *tensor.Tensor) *tensor.Tensor {
	return f.Down.Forward(nn.Activated(f.Up, x, tensor.GELU))
}
