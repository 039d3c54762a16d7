package tensor

import (
	"slices"

	"github.com/gollava/gollava/internal/backend"
)

// Reshape returns t's elements under another shape, sharing its memory. One dimension may be −1, to be inferred.
func (t *Tensor) Reshape(shape ...int) *Tensor {
	to, infer := shape, -1
	shape = slices.Clone(shape)
	for i, d := range shape {
		switch {
		case d >= 0:
		case d == -1 && infer < 0:
			infer, shape[i] = i, 1
		default:
			Fail("Reshape", "%v to %v: at most one dimension may be −1", t.shape, to)
		}
	}
	known := count("Reshape", shape)
	switch {
	case infer >= 0 && known == 0:
		known = -1 // any size would do
	case infer >= 0:
		shape[infer] = t.n / known
		known *= shape[infer]
	}
	if known != t.n {
		Fail("Reshape", "%v to %v: %d elements do not fit", t.shape, to, t.n)
	}
	return t.view("Reshape", shape)
}

// view returns t's elements under a shape of as many.
func (t *Tensor) view(op string, shape []int) *Tensor {
	out := &Tensor{shape: shape, n: t.n, dtype: t.dtype, st: t.st, arena: t.arena, noGrad: t.noGrad,
		casts: t.casts, rounds: t.rounds}
	if !recording(t) {
		return out
	}
	record(out, op, func(dy *gradient) { t.pass(dy) }, nil, t)
	out.node.view = true
	return out
}

// Transpose reorders the axes: axis i of the result is axis perm[i] of t. Without arguments it swaps the last two. It
// copies.
func (t *Tensor) Transpose(perm ...int) *Tensor {
	t.want("Transpose", Float32)
	r := len(t.shape)
	if len(perm) == 0 {
		if r < 2 {
			Fail("Transpose", "%v has fewer than two axes", t.shape)
		}
		for i := range r {
			perm = append(perm, i)
		}
		perm[r-1], perm[r-2] = r-2, r-1
	}
	perm = slices.Clone(perm)
	shape, inverse := make([]int, r), make([]int, r)
	seen := make([]bool, r)
	for i, p := range perm {
		if len(perm) != r || p < 0 || p >= r || seen[p] {
			Fail("Transpose", "%v by %v, which must name each of its %d axes once", t.shape, perm, r)
		}
		seen[p] = true
		shape[i], inverse[p] = t.shape[p], i
	}
	if len(perm) != r {
		Fail("Transpose", "%v by %v, which must name each of its %d axes once", t.shape, perm, r)
	}
	out := placeOf(t).alloc(Float32, shape...)
	out.buf().Device.Permute(out.buf(), t.buf(), t.shape, perm)
	record(out, "Transpose", func(dy *gradient) {
		t.into(func(dx *backend.Buffer) { dx.Device.Permute(dx, dy.buf(), shape, inverse) })
	}, nil, t)
	return out
}

// Concat joins tensors along axis; their other dimensions are equal.
func Concat(axis int, ts ...*Tensor) *Tensor {
	if len(ts) == 0 {
		Fail("Concat", "needs at least one tensor, got none")
	}
	first := ts[0]
	axis = first.axis("Concat", axis)
	shape := first.Shape()
	shape[axis] = 0
	for i, t := range ts {
		t.want("Concat", Float32)
		ok := len(t.shape) == len(shape)
		for j := 0; ok && j < len(shape); j++ {
			ok = j == axis || t.shape[j] == shape[j]
		}
		if !ok {
			Fail("Concat", "operand %d, %v, does not join %v along axis %d: all other dimensions must be equal", i,
				t.shape, first.shape, axis)
		}
		shape[axis] += t.shape[axis]
	}
	to, moved := apart("Concat", ts...)
	if moved {
		all := make([]*Tensor, len(ts))
		for i, t := range ts {
			all[i] = t.on(to)
		}
		return Concat(axis, all...)
	}
	out := to.alloc(Float32, shape...)
	outer, n, inner := around(shape, axis, axis+1)
	at := 0
	for _, t := range ts {
		width := t.shape[axis] * inner
		out.buf().Device.CopyBlocks(out.buf(), at, n*inner, t.buf(), 0, width, outer, width, false)
		at += width
	}
	record(out, "Concat", func(dy *gradient) {
		at := 0
		for _, t := range ts {
			width := t.shape[axis] * inner
			t.into(func(dx *backend.Buffer) {
				dx.Device.CopyBlocks(dx, 0, width, dy.buf(), at, n*inner, outer, width, false)
			})
			at += width
		}
	}, nil, ts...)
	return out
}

// Slice returns the part [from, to) along axis, copied.
func (t *Tensor) Slice(axis, from, to int) *Tensor {
	t.want("Slice", Float32)
	axis = t.axis("Slice", axis)
	if from < 0 || to < from || to > t.shape[axis] {
		Fail("Slice", "[%d, %d) is no part of axis %d of %v: needs 0 ≤ from ≤ to ≤ %d", from, to, axis, t.shape,
			t.shape[axis])
	}
	shape := t.Shape()
	shape[axis] = to - from
	outer, n, inner := around(t.shape, axis, axis+1)
	out := placeOf(t).alloc(Float32, shape...)
	width := (to - from) * inner
	out.buf().Device.CopyBlocks(out.buf(), 0, width, t.buf(), from*inner, n*inner, outer, width, false)
	record(out, "Slice", func(dy *gradient) {
		if !t.needs() {
			return
		}
		dx, fresh := t.accumulator()
		if fresh {
			dx.Device.Fill(dx, 0)
		}
		dx.Device.CopyBlocks(dx, from*inner, n*inner, dy.buf(), 0, width, outer, width, true)
	}, nil, t)
	out.casts = t.casts // a part of a weight is one
	return out
}

// Split cuts t along axis into parts of the given sizes, which add up to the dimension.
func (t *Tensor) Split(axis int, sizes ...int) []*Tensor {
	axis = t.axis("Split", axis)
	total := 0
	for _, s := range sizes {
		if s < 0 {
			Fail("Split", "sizes %v of axis %d of %v: none may be negative", sizes, axis, t.shape)
		}
		total += s
	}
	if total != t.shape[axis] {
		Fail("Split", "sizes %v of axis %d of %v add up to %d, not %d", sizes, axis, t.shape, total, t.shape[axis])
	}
	parts, at := make([]*Tensor, len(sizes)), 0
	for i, s := range sizes {
		parts[i] = t.Slice(axis, at, at+s)
		at += s
	}
	return parts
}

// Overwrite replaces the part of t that starts at from along axis by src, in place. It is for caches: it is never
// recorded, and panics if t is part of a graph.
func (t *Tensor) Overwrite(axis, from int, src *Tensor) {
	t.want("Overwrite", Float32)
	src.want("Overwrite", Float32)
	axis = t.axis("Overwrite", axis)
	ok := len(src.shape) == len(t.shape) && from >= 0
	for i := 0; ok && i < len(t.shape); i++ {
		ok = i != axis && src.shape[i] == t.shape[i] || i == axis && from+src.shape[i] <= t.shape[i]
	}
	if !ok {
		Fail("Overwrite", "%v does not fit at %d along axis %d of %v", src.shape, from, axis, t.shape)
	}
	if t.needs() {
		Fail("Overwrite", "%v takes part in a gradient; Detach or Clone it", t.shape)
	}
	outer, n, inner := around(t.shape, axis, axis+1)
	width := src.shape[axis] * inner
	d := t.buf().Device
	src = src.beside(t)
	d.CopyBlocks(t.buf(), from*inner, n*inner, src.buf(), 0, width, outer, width, false)
}
