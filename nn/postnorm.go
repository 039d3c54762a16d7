package nn

import (
	"math/rand/v2"

	"github.com/gollava/gollava/tensor"
)

// MultiHead is multi-head attention with biases, up to what the heads found: softmax(q·kᵀ/√D)·v. The projection that
// follows it is [AddNorm]'s. Source: transformers' BertSelfAttention.
//
// A post-norm transformer block (Vaswani et al. 2017; BERT) normalises after each residual sum. Two layers make it,
// each named in the model's struct as the checkpoint names it; here GIT's (a Q-Former's has "attention.attention"):
//
//	type Block struct {
//		Self       *nn.MultiHead `param:"attention.self"`
//		SelfOutput *nn.AddNorm   `param:"attention.output"`
//		Cross       *nn.MultiHead `param:"crossattention.self,optional"` // attends to a second sequence
//		CrossOutput *nn.AddNorm   `param:"crossattention.output,optional"`
//		Up     nn.Layer    `param:"intermediate.dense"`
//		Output *nn.AddNorm `param:"output"`
//	}
//
//	x = b.SelfOutput.Forward(b.Self.Forward(x, x, mask), x)
//	x = b.CrossOutput.Forward(b.Cross.Forward(x, image, tensor.AttentionConfig{}), x)
//	x = b.Output.Forward(nn.Activated(b.Up, x, tensor.GELU), x)
//
// It is safe for concurrent use while nobody changes its parameters.
type MultiHead struct {
	Query Layer `param:"query"` // [H·D, C]
	Key   Layer `param:"key"`   // [H·D, S]
	Value Layer `param:"value"` // [H·D, S]

	heads int
}

// NewMultiHead attends from a sequence of width c to one of width context, which is c in self-attention. Weights start
// as N(0, std²), biases 0. It panics if heads do not divide c.
func NewMultiHead(r *rand.Rand, c, context, heads int, std float64) *MultiHead {
	if heads < 1 || c%heads != 0 {
		tensor.Fail("MultiHead", "width %d is no multiple of %d heads", c, heads)
	}
	return &MultiHead{Query: NewNormalLinear(r, c, c, std), Key: NewNormalLinear(r, context, c, std),
		Value: NewNormalLinear(r, context, c, std), heads: heads}
}

// Heads are the queries of x [B, T, C] and the keys and values of y [B, S, ·]: [B, T, H, D] and [B, S, H, D].
func (a *MultiHead) Heads(x, y *tensor.Tensor) (q, k, v *tensor.Tensor) {
	split := func(l Layer, x *tensor.Tensor) *tensor.Tensor {
		z := l.Forward(x)
		B, T, C := z.Dims3()
		return z.Reshape(B, T, a.heads, C/a.heads)
	}
	return split(a.Query, x), split(a.Key, y), split(a.Value, y)
}

// Forward lets x [B, T, C] attend to y [B, S, ·], which is x itself in self-attention, under the mask that c says:
// [B, T, C].
func (a *MultiHead) Forward(x, y *tensor.Tensor, c tensor.AttentionConfig) *tensor.Tensor {
	defer tensor.Blame(a)
	B, T, _ := x.Dims3()
	q, k, v := a.Heads(x, y)
	return tensor.Attention(q, k, v, c).Reshape(B, T, -1)
}

// AddNorm ends a half of a post-norm block: LayerNorm(x + Dense(y)). Source: transformers' BertSelfOutput, BertOutput.
type AddNorm struct {
	Dense Layer `param:"dense"`     // [C, F]
	Norm  Layer `param:"LayerNorm"` // [C]
}

// NewAddNorm projects from width f to c. Weights start as N(0, std²), biases 0.
func NewAddNorm(r *rand.Rand, f, c int, std, eps float64) *AddNorm {
	return &AddNorm{Dense: NewNormalLinear(r, f, c, std), Norm: NewLayerNorm(r, c, eps, true)}
}

// Forward maps y [..., F] and the residual x [..., C] to [..., C].
func (n *AddNorm) Forward(y, x *tensor.Tensor) *tensor.Tensor {
	return n.Norm.Forward(x.Add(n.Dense.Forward(y)))
}
