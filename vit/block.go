package vit

import (
	"math"
	"math/rand/v2"
	"sync/atomic"

	"github.com/gollava/gollava/nn"
	"github.com/gollava/gollava/tensor"
)

// Encoder is a stack of pre-norm transformer blocks.
// It is safe for concurrent use while nobody changes its parameters.
type Encoder struct {
	Layers []*Block `param:"layers"`

	recompute atomic.Bool
}

// Block is x + Attention(LN₁ x), then x + MLP(LN₂ x). Source: transformers' CLIPEncoderLayer, SiglipEncoderLayer.
type Block struct {
	Norm1     nn.Layer `param:"layer_norm1"`
	Attention attender `param:"self_attn"`
	Norm2     nn.Layer `param:"layer_norm2"`
	MLP       *MLP     `param:"mlp"`
}

// attender lets tokens x [B, T, D] look at tokens y [B, S, D], which are x itself but for a single one: [B, T, D].
type attender interface {
	Forward(x, y *tensor.Tensor, c tensor.AttentionConfig) *tensor.Tensor
}

// Attention is multi-head self-attention with biases.
type Attention struct {
	Query  nn.Layer `param:"q_proj"`
	Key    nn.Layer `param:"k_proj"`
	Value  nn.Layer `param:"v_proj"`
	Output nn.Layer `param:"out_proj"`

	heads int
}

// MLP is fc2(act(fc1(x))).
type MLP struct {
	FC1 nn.Layer `param:"fc1"`
	FC2 nn.Layer `param:"fc2"`

	act tensor.Activation
}

// width is what the blocks of both towers are made of.
type width struct {
	hidden, mlp, layers, heads int
	act                        string
	eps                        float64
}

// newEncoder starts as OpenAI's CLIP does: q, k, v N(0, 1/D), outputs N(0, 1/(2·L·D)), fc1 N(0, 1/(2D)), biases 0.
func newEncoder(r *rand.Rand, w width) *Encoder {
	D := float64(w.hidden)
	in, out, up := math.Pow(D, -0.5), math.Pow(D, -0.5)*math.Pow(2*float64(w.layers), -0.5), math.Pow(2*D, -0.5)
	act, _ := activation(w.act)
	e := &Encoder{}
	for range w.layers {
		e.Layers = append(e.Layers, &Block{
			Norm1: nn.NewLayerNorm(r, w.hidden, w.eps, true),
			Attention: &Attention{Query: nn.NewNormalLinear(r, w.hidden, w.hidden, in),
				Key:    nn.NewNormalLinear(r, w.hidden, w.hidden, in),
				Value:  nn.NewNormalLinear(r, w.hidden, w.hidden, in),
				Output: nn.NewNormalLinear(r, w.hidden, w.hidden, out), heads: w.heads},
			Norm2: nn.NewLayerNorm(r, w.hidden, w.eps, true),
			MLP: &MLP{FC1: nn.NewNormalLinear(r, w.hidden, w.mlp, up),
				FC2: nn.NewNormalLinear(r, w.mlp, w.hidden, out), act: act},
		})
	}
	return e
}

// Forward runs the first n blocks and returns the input and every block's result: n+1 tensors [B, T, D].
func (e *Encoder) Forward(x *tensor.Tensor, n int, c tensor.AttentionConfig) []*tensor.Tensor {
	states := []*tensor.Tensor{x}
	for _, b := range e.Layers[:n] {
		x = tensor.Compact(func(in []*tensor.Tensor) *tensor.Tensor { return e.through(b, in[0], c) }, x)
		states = append(states, x)
	}
	return states
}

// Last is the last of [Encoder.Forward]'s tensors. Where nothing is recorded, no more than two of them exist at a time.
func (e *Encoder) Last(x *tensor.Tensor, n int, c tensor.AttentionConfig) *tensor.Tensor {
	if n == 0 {
		return x
	}
	return tensor.Compact(func(in []*tensor.Tensor) *tensor.Tensor {
		return e.through(e.Layers[n-1], e.Last(in[0], n-1, c), c)
	}, x)
}

// One is token at[b] of each row b of what all blocks return: [B, T, D] → [B, 1, D]. The last block computes no other,
// but for their keys and values.
func (e *Encoder) One(x *tensor.Tensor, at []int32, c tensor.AttentionConfig) *tensor.Tensor {
	B, T, _ := x.Dims3()
	rows, last := make([]int32, B), c
	for b := range rows {
		rows[b] = int32(b*T) + at[b]
	}
	if c.Causal { // a single query that sees what lies up to it
		last.Causal, last.End = false, make([]int32, B)
		for b := range last.End {
			if last.End[b] = at[b] + 1; c.End != nil {
				last.End[b] = min(last.End[b], c.End[b])
			}
		}
	}
	n := len(e.Layers)
	return tensor.Compact(func(in []*tensor.Tensor) *tensor.Tensor {
		x := e.Last(in[0], n-1, c)
		return e.recomputed(x, func(x *tensor.Tensor) *tensor.Tensor {
			return e.Layers[n-1].one(x, tensor.WrapInts(rows, B, 1), last)
		})
	}, x)
}

func (e *Encoder) through(b *Block, x *tensor.Tensor, c tensor.AttentionConfig) *tensor.Tensor {
	return e.recomputed(x, func(x *tensor.Tensor) *tensor.Tensor { return b.Forward(x, c) })
}

// recomputed is f(x), of which the backward pass keeps only x if the encoder is set so.
func (e *Encoder) recomputed(x *tensor.Tensor, f func(x *tensor.Tensor) *tensor.Tensor) *tensor.Tensor {
	if e.recompute.Load() {
		return tensor.Checkpoint(func(in []*tensor.Tensor) *tensor.Tensor { return f(in[0]) }, x)
	}
	return f(x)
}

// Forward keeps the shape [B, T, D].
func (b *Block) Forward(x *tensor.Tensor, c tensor.AttentionConfig) *tensor.Tensor {
	y := b.Norm1.Forward(x)
	return b.rest(x, y, y, c)
}

// one is what Forward returns in one row b·T + t (int32 [B, 1]) of each b: [B, 1, D].
func (b *Block) one(x, rows *tensor.Tensor, c tensor.AttentionConfig) *tensor.Tensor {
	B, T, D := x.Dims3()
	pick := func(x *tensor.Tensor) *tensor.Tensor { return tensor.Gather(x.Reshape(B*T, D), rows) } // [B, 1, D]
	y := b.Norm1.Forward(x)
	return b.rest(pick(x), pick(y), y, c)
}

// rest goes on with tokens x that look, as y = LN₁ x, at all tokens ys.
func (b *Block) rest(x, y, ys *tensor.Tensor, c tensor.AttentionConfig) *tensor.Tensor {
	x = x.Add(b.Attention.Forward(y, ys, c))
	return x.Add(b.MLP.Forward(b.Norm2.Forward(x)))
}

// Forward lets tokens x [B, T, D] look at tokens y [B, S, D], which are x itself but for a single one: [B, T, D].
func (a *Attention) Forward(x, y *tensor.Tensor, c tensor.AttentionConfig) *tensor.Tensor {
	B, T, D := x.Dims3()
	S := y.Dim(1)
	q := a.Query.Forward(x).Reshape(B, T, a.heads, D/a.heads) // [B, T, H, D/H]
	k := a.Key.Forward(y).Reshape(B, S, a.heads, D/a.heads)
	v := a.Value.Forward(y).Reshape(B, S, a.heads, D/a.heads)
	return a.Output.Forward(tensor.Attention(q, k, v, c).Reshape(B, T, D))
}

// Forward keeps the shape [..., D].
func (m *MLP) Forward(x *tensor.Tensor) *tensor.Tensor {
	return m.FC2.Forward(nn.Activated(m.FC1, x, m.act))
}

func activation(name string) (tensor.Activation, error) { return nn.ParseActivation(name) }
