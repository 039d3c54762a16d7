package unet

import (
	"math/rand/v2"

	"github.com/gollava/gollava/nn"
	"github.com/gollava/gollava/tensor"
)

// Transformer lets the pixels of an image attend to each other and to a text. Source: diffusers' Transformer2DModel.
type Transformer struct {
	Norm   nn.Layer `param:"norm"`
	In     nn.Layer `param:"proj_in"` // [D, D, 1, 1], or [D, D] with use_linear_projection
	Blocks []*Block `param:"transformer_blocks"`
	Out    nn.Layer `param:"proj_out"`

	linear bool
}

// Block is self-attention, GLIGEN's gated layer, cross-attention and a feed-forward, each pre-norm with a residual.
// Source: diffusers' BasicTransformerBlock.
type Block struct {
	Norm1 nn.Layer     `param:"norm1"`
	Self  *Attention   `param:"attn1"`
	Fuser *Fuser       `param:"fuser,optional"`
	Norm2 nn.Layer     `param:"norm2"`
	Cross *Attention   `param:"attn2"`
	Norm3 nn.Layer     `param:"norm3"`
	FF    *FeedForward `param:"ff"`
}

// Attention is multi-head attention of one sequence to another.
type Attention struct {
	Query  nn.Layer `param:"to_q"`     // [D, D]
	Key    nn.Layer `param:"to_k"`     // [D, context]
	Value  nn.Layer `param:"to_v"`     // [D, context]
	Output nn.Layer `param:"to_out.0"` // [D, D]

	heads int
}

// FeedForward is W₂·(value·GELU(gate)), where the first half of W₁·x is the value and the second the gate. Source:
// Shazeer 2020, "GLU Variants Improve Transformer"; diffusers' GEGLU.
type FeedForward struct {
	Proj nn.Layer `param:"net.0.proj"` // [2·4·D, D]
	Out  nn.Layer `param:"net.2"`      // [D, 4·D]
}

// lnEps is the ε of layer norms, transformerEps that of a transformer's group norm.
const (
	lnEps          = 1e-5
	transformerEps = 1e-6
)

func newTransformer(r *rand.Rand, c Config, width, layers, heads int) *Transformer {
	t := &Transformer{Norm: nn.NewGroupNorm(r, c.NormNumGroups, width, transformerEps), linear: c.LinearProjection}
	if t.linear {
		t.In, t.Out = nn.NewLinear(r, width, width, true), nn.NewLinear(r, width, width, true)
	} else {
		t.In, t.Out = conv(r, width, width, 1), conv(r, width, width, 1)
	}
	for range layers {
		b := &Block{Norm1: nn.NewLayerNorm(r, width, lnEps, true), Self: newAttention(r, width, width, heads, false),
			Norm2: nn.NewLayerNorm(r, width, lnEps, true), Cross: newAttention(r, width, c.CrossAttentionDim, heads,
				false),
			Norm3: nn.NewLayerNorm(r, width, lnEps, true), FF: newFeedForward(r, width)}
		if c.AttentionType != Plain {
			b.Fuser = newFuser(r, width, c.CrossAttentionDim, heads)
		}
		t.Blocks = append(t.Blocks, b)
	}
	return t
}

func newAttention(r *rand.Rand, width, context, heads int, bias bool) *Attention {
	return &Attention{Query: nn.NewLinear(r, width, width, bias), Key: nn.NewLinear(r, context, width, bias),
		Value: nn.NewLinear(r, context, width, bias), Output: nn.NewLinear(r, width, width, true), heads: heads}
}

func newFeedForward(r *rand.Rand, width int) *FeedForward {
	return &FeedForward{Proj: nn.NewLinear(r, width, 8*width, true), Out: nn.NewLinear(r, 4*width, width, true)}
}

// Forward maps x [B, D, H, W] to the same shape. text is [B, T, context].
func (t *Transformer) Forward(x, text *tensor.Tensor, g *Grounding) *tensor.Tensor {
	B, D, H, W := x.Dims4()
	y := t.Norm.Forward(x)
	if !t.linear {
		y = t.In.Forward(y)
	}
	y = y.Reshape(B, D, H*W).Transpose() // [B, H·W, D]
	if t.linear {
		y = t.In.Forward(y)
	}
	for _, b := range t.Blocks {
		y = b.Forward(y, text, g)
	}
	if t.linear {
		y = t.Out.Forward(y)
	}
	y = y.Transpose().Reshape(B, D, H, W)
	if !t.linear {
		y = t.Out.Forward(y)
	}
	return x.Add(y)
}

// Forward maps x [B, T, D] to the same shape.
func (b *Block) Forward(x, text *tensor.Tensor, g *Grounding) *tensor.Tensor {
	y := b.Norm1.Forward(x)
	x = x.Add(b.Self.Forward(y, y))
	if b.Fuser != nil && g != nil && g.Gate != 0 {
		x = b.Fuser.Forward(x, g)
	}
	x = x.Add(b.Cross.Forward(b.Norm2.Forward(x), text))
	return x.Add(b.FF.Forward(b.Norm3.Forward(x)))
}

// Forward lets x [B, T, D] attend to y [B, S, context]: [B, T, D].
func (a *Attention) Forward(x, y *tensor.Tensor) *tensor.Tensor {
	defer tensor.Blame(a)
	q, k, v := a.Query.Forward(x), a.Key.Forward(y), a.Value.Forward(y)
	B, T, D := q.Dims3()
	S := k.Dim(1)
	split := func(x *tensor.Tensor, n int) *tensor.Tensor { return x.Reshape(B, n, a.heads, D/a.heads) }
	z := tensor.Attention(split(q, T), split(k, S), split(v, S), tensor.AttentionConfig{}) // [B, T, H, D/H]
	return a.Output.Forward(z.Reshape(B, T, D))
}

// Forward keeps the shape [..., D].
func (f *FeedForward) Forward(x *tensor.Tensor) *tensor.Tensor {
	y := f.Proj.Forward(x) // [..., 8·D]
	half := y.Dim(-1) / 2
	value, gate := y.Slice(-1, 0, half), y.Slice(-1, half, 2*half)
	return f.Out.Forward(value.Mul(gate.GELU()))
}
