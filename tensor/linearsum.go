package tensor

import "slices"

// LinearSum returns x·wᵀ + b + u·vᵀ: [..., K]·[N, K]ᵀ + [N] + [..., R]·[N, R]ᵀ, the sum of two linear maps, in one
// piece of memory. With u = s·x·aᵀ it is a Linear with an adapter of low rank (Hu et al. 2021, "LoRA"). b may be nil;
// w, v and b may be bfloat16, w and v also a block type.
func LinearSum(x, w, b, u, v *Tensor) *Tensor {
	x.want("LinearSum", Float32)
	u.want("LinearSum", Float32)
	w.check("LinearSum")
	v.check("LinearSum")
	if len(x.shape) < 1 || len(w.shape) != 2 || len(v.shape) != 2 || len(u.shape) != len(x.shape) ||
		!w.isWeight(true) || !v.isWeight(true) || w.shape[0] != v.shape[0] ||
		!slices.Equal(x.shape[:len(x.shape)-1], u.shape[:len(x.shape)-1]) ||
		x.shape[len(x.shape)-1] != w.shape[1] || u.shape[len(u.shape)-1] != v.shape[1] {
		Fail("LinearSum", "%v · %v %vᵀ + %v · %v %vᵀ: needs x [..., in], w [out, in], u [..., rank] and "+
			"v [out, rank], w and v of float32, bfloat16 or a block type", x.shape, w.dtype, w.shape, u.shape, v.dtype,
			v.shape)
	}
	if b != nil && (len(b.shape) != 1 || b.n != w.shape[0] || !b.isWeight(false)) {
		Fail("LinearSum", "%v · %vᵀ + %v %v: the bias must be [%d] of float32 or bfloat16", x.shape, w.shape,
			b.dtype, b.shape, w.shape[0])
	}
	at, moved := apart("LinearSum", x, w, b, u, v)
	if moved {
		return LinearSum(x.on(at), w.on(at), b.on(at), u.on(at), v.on(at))
	}
	rows, _ := x.last("LinearSum")
	p := products{m: rows, n: w.shape[0], k: w.shape[1], batch: 1, transposed: true}
	q := products{m: rows, n: v.shape[0], k: v.shape[1], batch: 1, transposed: true, add: true}
	out := at.alloc(Float32, append(slices.Clone(x.shape[:len(x.shape)-1]), p.n)...)
	p.forward(at, out, x, w, b, Identity, nil)
	q.forward(at, out, u, v, nil, Identity, nil)
	record(out, "LinearSum", func(dy *gradient) {
		b.sumRows(dy, p.m, p.n)
		q.backward(dy, u, v)
		p.backward(dy, x, w)
	}, nil, x, w, b, u, v)
	return out
}
