package nn

import (
	"math/rand/v2"

	"github.com/gollava/gollava/tensor"
)

// PackedAttention is torch.nn.MultiheadAttention: the projections of queries, keys and values are one tensor. It is
// safe for concurrent use.
type PackedAttention struct {
	InWeight *tensor.Tensor `param:"in_proj_weight"` // [3C, C]: of queries, keys, values
	InBias   *tensor.Tensor `param:"in_proj_bias"`   // [3C]
	Output   Layer          `param:"out_proj"`

	// BiasKey and BiasValue are a learnt pair that every query can attend to (add_bias_kv). nil: none.
	BiasKey   *tensor.Tensor `param:"bias_k,optional"` // [1, 1, C]
	BiasValue *tensor.Tensor `param:"bias_v,optional"` // [1, 1, C]

	heads int
}

// NewPackedAttention starts with weights from N(0, std²) and biases 0; with biasKV there are BiasKey and BiasValue. It
// panics if heads do not divide c.
func NewPackedAttention(r *rand.Rand, c, heads int, std float64, biasKV bool) *PackedAttention {
	if heads < 1 || c%heads != 0 {
		tensor.Fail("PackedAttention", "width %d is no multiple of %d heads", c, heads)
	}
	a := &PackedAttention{InWeight: tensor.Randn(r, std, 3*c, c).Param(), InBias: constant(r, 0, 3*c),
		Output: NewNormalLinear(r, c, c, std), heads: heads}
	if biasKV {
		a.BiasKey, a.BiasValue = tensor.Randn(r, std, 1, 1, c).Param(), tensor.Randn(r, std, 1, 1, c).Param()
	}
	return a
}

// Forward lets queries [B, T, C] attend to keys and values [B, S, C], under the mask that c describes: [B, T, C]. A
// query that attends to nothing yields the bias of the output projection. The learnt pair stands behind all keys, so
// with one c may not be Causal, and ranges and a Bias have S+1 keys.
func (a *PackedAttention) Forward(query, key, value *tensor.Tensor, c tensor.AttentionConfig) *tensor.Tensor {
	defer tensor.Blame(a)
	B, T, C := query.Dims3()
	in := query.Arena()
	w, b := a.InWeight.In(in).Split(0, C, C, C), a.InBias.In(in).Split(0, C, C, C)
	project := func(x *tensor.Tensor, i int) *tensor.Tensor { return tensor.Linear(x, w[i], b[i], tensor.Identity) }
	split := func(x *tensor.Tensor) *tensor.Tensor { return x.Reshape(B, x.Dim(1), a.heads, C/a.heads) }
	q, k, v := project(query, 0), project(key, 1), project(value, 2) // [B, T, C], [B, S, C] twice
	if a.BiasKey != nil {
		if c.Causal {
			tensor.Fail("PackedAttention", "causal attention with a learnt key behind all others is not defined")
		}
		rows := tensor.WrapInts(make([]int32, B), B, 1).In(in)
		k = tensor.Concat(1, k, tensor.Gather(a.BiasKey.Reshape(1, C), rows)) // [B, S+1, C]
		v = tensor.Concat(1, v, tensor.Gather(a.BiasValue.Reshape(1, C), rows))
	}
	y := tensor.Attention(split(q), split(k), split(v), c) // [B, T, H, C/H]
	return a.Output.Forward(y.Reshape(B, T, C))
}

// DropPath zeroes whole rows of a residual branch while training and is the identity otherwise: stochastic depth.
// [Train] and [Eval] arm and disarm it like any [Dropout]. Source: Huang et al. 2016; timm's DropPath.
type DropPath struct {
	Dropout Dropout
}

// Forward keeps the shape [B, ...].
func (d *DropPath) Forward(x *tensor.Tensor) *tensor.Tensor {
	if !d.Dropout.armed || d.Dropout.P == 0 {
		return x
	}
	shape := make([]int, x.Rank())
	for i := range shape {
		shape[i] = 1
	}
	shape[0] = x.Dim(0)
	return x.Mul(d.Dropout.Forward(tensor.Full(1, shape...).In(x.Arena())))
}
