package tensor

import "github.com/gollava/gollava/internal/backend"

// RMSNorm returns w·t/√(mean(t²)+eps) over the last axis; w is [C], float32 or bfloat16. Source: Zhang and Sennrich
// 2019.
func (t *Tensor) RMSNorm(w *Tensor, eps float32) *Tensor {
	rows, cols := t.normArgs("RMSNorm", w, nil)
	d, moved := apart("RMSNorm", t, w)
	if moved {
		return t.on(d).RMSNorm(w.on(d), eps)
	}
	out, rstd := d.like(t), d.alloc(Float32, rows)
	d.RMSNorm(out.buf(), rstd.buf(), t.buf(), w.buf(), rows, cols, eps)
	record(out, "RMSNorm", func(dy *gradient) {
		w.into(func(dw *backend.Buffer) { d.RMSNormGrad(nil, dw, t.buf(), w.buf(), rstd.buf(), dy.buf(), rows, cols) })
		t.overwrite(dy, func(dx *backend.Buffer) {
			d.RMSNormGrad(dx, nil, t.buf(), w.buf(), rstd.buf(), dx, rows, cols)
		})
	}, []*Tensor{rstd}, t, w)
	return out
}

// LayerNorm returns (t−mean)/√(var+eps)·w + b over the last axis, with the biased variance; w and b are [C], b may be
// nil. Source: Ba et al. 2016, torch.nn.LayerNorm.
func (t *Tensor) LayerNorm(w, b *Tensor, eps float32) *Tensor {
	rows, cols := t.normArgs("LayerNorm", w, b)
	d, moved := apart("LayerNorm", t, w, b)
	if moved {
		return t.on(d).LayerNorm(w.on(d), b.on(d), eps)
	}
	out, mean, rstd := d.like(t), d.alloc(Float32, rows), d.alloc(Float32, rows)
	d.LayerNorm(out.buf(), mean.buf(), rstd.buf(), t.buf(), w.buf(), optional(b), rows, cols, eps)
	record(out, "LayerNorm", func(dy *gradient) {
		grad := func(dx, dw, db, from *backend.Buffer) {
			d.LayerNormGrad(dx, dw, db, t.buf(), w.buf(), mean.buf(), rstd.buf(), from, rows, cols)
		}
		switch {
		case b != nil && w.needs() && b.needs():
			w.into(func(dw *backend.Buffer) { b.into(func(db *backend.Buffer) { grad(nil, dw, db, dy.buf()) }) })
		case w.needs():
			w.into(func(dw *backend.Buffer) { grad(nil, dw, nil, dy.buf()) })
		case b != nil:
			b.into(func(db *backend.Buffer) { grad(nil, nil, db, dy.buf()) })
		}
		t.overwrite(dy, func(dx *backend.Buffer) { grad(dx, nil, nil, dx) })
	}, []*Tensor{mean, rstd}, t, w, b)
	return out
}

func (t *Tensor) normArgs(op string, w, b *Tensor) (rows, cols int) {
	t.want(op, Float32)
	rows, cols = t.last(op)
	w.check(op)
	if len(w.shape) != 1 || w.n != cols || !w.isWeight(false) {
		Fail(op, "%v with weight %v %v: needs [%d] of float32 or bfloat16", t.shape, w.dtype, w.shape, cols)
	}
	if b != nil && (len(b.shape) != 1 || b.n != cols || !b.isWeight(false)) {
		Fail(op, "%v with bias %v %v: needs [%d] of float32 or bfloat16", t.shape, b.dtype, b.shape, cols)
	}
	return rows, cols
}

// optional is t's memory, or nil for a nil tensor.
func optional(t *Tensor) *backend.Buffer {
	if t == nil {
		return nil
	}
	return t.buf()
}

// L2Normalize returns t/max(‖t‖₂, eps) over the last axis, as torch.nn.functional.normalize.
func (t *Tensor) L2Normalize(eps float32) *Tensor {
	t.want("L2Normalize", Float32)
	rows, cols := t.last("L2Normalize")
	d := placeOf(t)
	out, norm := d.like(t), d.alloc(Float32, rows)
	d.L2Normalize(out.buf(), norm.buf(), t.buf(), rows, cols, eps)
	record(out, "L2Normalize", func(dy *gradient) {
		t.overwrite(dy, func(dx *backend.Buffer) { d.L2NormalizeGrad(dx, out.buf(), norm.buf(), dx, rows, cols) })
	}, []*Tensor{norm}, t)
	return out
}
