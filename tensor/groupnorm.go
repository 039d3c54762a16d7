package tensor

import "github.com/gollava/gollava/internal/backend"

// GroupNorm normalises each of the groups into which the channels of an image fall: t [B, C, ...] becomes
// (t−mean)/√(var+eps)·w + b, with mean and biased variance over C/groups channels and all further axes; w and b
// are [C], float32 or bfloat16, and either may be nil. Source: Wu and He 2018, torch.nn.functional.group_norm.
func (t *Tensor) GroupNorm(groups int, w, b *Tensor, eps float32) *Tensor {
	const op = "GroupNorm"
	t.want(op, Float32)
	if len(t.shape) < 2 || groups < 1 || t.shape[1]%groups != 0 {
		Fail(op, "%v in %d groups: needs [B, C, ...] with C a multiple of the groups", t.shape, groups)
	}
	B, C := t.shape[0], t.shape[1]
	_, _, inner := around(t.shape, 0, 2)
	for _, p := range []*Tensor{w, b} {
		if p != nil && (len(p.shape) != 1 || p.n != C || !p.isWeight(false)) {
			Fail(op, "%v with weight or bias %v %v: needs [%d] of float32 or bfloat16", t.shape, p.dtype, p.shape, C)
		}
	}
	if at, moved := apart(op, t, w, b); moved {
		return t.on(at).GroupNorm(groups, w.on(at), b.on(at), eps)
	}
	d := placeOf(t, w, b)
	out, mean, rstd := d.like(t), d.alloc(Float32, B, groups), d.alloc(Float32, B, groups)
	d.GroupNorm(out.buf(), mean.buf(), rstd.buf(), t.buf(), optional(w), optional(b), B, C, inner, groups, eps)
	record(out, op, func(dy *gradient) {
		grad := func(dx, dw, db, from *backend.Buffer) {
			d.GroupNormGrad(dx, dw, db, t.buf(), optional(w), mean.buf(), rstd.buf(), from, B, C, inner, groups)
		}
		switch {
		case w != nil && b != nil && w.needs() && b.needs():
			w.into(func(dw *backend.Buffer) { b.into(func(db *backend.Buffer) { grad(nil, dw, db, dy.buf()) }) })
		case w != nil && w.needs():
			w.into(func(dw *backend.Buffer) { grad(nil, dw, nil, dy.buf()) })
		case b != nil:
			b.into(func(db *backend.Buffer) { grad(nil, nil, db, dy.buf()) })
		}
		t.overwrite(dy, func(dx *backend.Buffer) { grad(dx, nil, nil, dx) })
	}, []*Tensor{mean, rstd}, t, w, b)
	return out
}
