package tensor

import "github.com/gollava/gollava/internal/backend"

// Less is 1 where t < u, else 0, broadcast. NaN is not less than anything. The result is a constant.
func (t *Tensor) Less(u *Tensor) *Tensor { return t.compare(backend.Less, "Less", u) }

// LessEqual is 1 where t ≤ u, else 0, broadcast. The result is a constant.
func (t *Tensor) LessEqual(u *Tensor) *Tensor { return t.compare(backend.LessEqual, "LessEqual", u) }

// Equal is 1 where t = u, else 0, broadcast. NaN does not equal itself. The result is a constant.
func (t *Tensor) Equal(u *Tensor) *Tensor { return t.compare(backend.Equal, "Equal", u) }

func (t *Tensor) compare(op backend.Binary, name string, u *Tensor) *Tensor {
	if at, moved := apart(name, t, u); moved {
		return t.on(at).compare(op, name, u.on(at))
	}
	out, _ := t.binary(op, name, u)
	out.noGrad = t.noGrad || u.noGrad
	return out
}

// Where takes a where mask is not 0, and b elsewhere, broadcast. Gradients flow to a and b, from the elements that
// were taken. Source: torch.where.
func Where(mask, a, b *Tensor) *Tensor {
	const op = "Where"
	for _, t := range []*Tensor{mask, a, b} {
		t.want(op, Float32)
	}
	shape := broadcastShapes(op, broadcastShapes(op, mask.shape, a.shape).shape, b.shape).shape
	if at, moved := apart(op, mask, a, b); moved {
		return Where(mask.on(at), a.on(at), b.on(at))
	}
	d := placeOf(mask, a, b)
	out := d.alloc(Float32, shape...)
	strides := func(t *Tensor) []int { return stridesIn(t.shape, shape) }
	dims := shape
	if len(dims) == 0 {
		dims = []int{1}
	}
	ms, as, bs := strides(mask), strides(a), strides(b)
	d.Select(out.buf(), mask.buf(), a.buf(), b.buf(), dims, ms, as, bs)
	record(out, op, func(dy *gradient) {
		own, none := ownStrides(dims), make([]int, len(dims))
		zero := New(1).on(d).buf()
		a.shareOf(dy, dims, as, func(dst *backend.Buffer) {
			d.Select(dst, mask.buf(), dy.buf(), zero, dims, ms,
				own, none)
		})
		b.shareOf(dy, dims, bs, func(dst *backend.Buffer) {
			d.Select(dst, mask.buf(), zero, dy.buf(), dims, ms,
				none, own)
		})
	}, nil, mask, a, b)
	return out
}

// stridesIn are the strides with which an array of the given shape, broadcast, goes through one of shape whole: at
// least one.
func stridesIn(shape, whole []int) []int {
	out, n := make([]int, max(len(whole), 1)), 1
	for i := len(shape) - 1; i >= 0; i-- {
		if k := len(whole) - len(shape) + i; shape[i] == whole[k] && shape[i] != 1 {
			out[k] = n
		}
		n *= shape[i]
	}
	return out
}

// MaskedFill is v where mask is not 0, broadcast, and t elsewhere. Source: torch.Tensor.masked_fill.
func (t *Tensor) MaskedFill(mask *Tensor, v float32) *Tensor { return Where(mask, Full(v), t) }
