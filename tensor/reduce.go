package tensor

import (
	"slices"

	"github.com/gollava/gollava/internal/backend"
)

// around splits shape at axes [from, to): the product of the dimensions before, in and after.
func around(shape []int, from, to int) (outer, n, inner int) {
	outer, n, inner = 1, 1, 1
	for i, d := range shape {
		switch {
		case i < from:
			outer *= d
		case i < to:
			n *= d
		default:
			inner *= d
		}
	}
	return outer, n, inner
}

// Sum adds up over the given axes, which disappear; without axes over all, to a scalar.
func (t *Tensor) Sum(axes ...int) *Tensor { return t.sum("Sum", axes, false) }

// Mean averages over the given axes, which disappear; without axes over all, to a scalar. The mean of nothing is NaN.
func (t *Tensor) Mean(axes ...int) *Tensor { return t.sum("Mean", axes, true) }

func (t *Tensor) sum(op string, axes []int, mean bool) *Tensor {
	t.want(op, Float32)
	if len(axes) == 0 {
		return t.sumRange(op, 0, len(t.shape), mean)
	}
	sorted := make([]int, len(axes))
	for i, a := range axes {
		sorted[i] = t.axis(op, a)
	}
	slices.Sort(sorted)
	if len(slices.Compact(slices.Clone(sorted))) != len(sorted) {
		Fail(op, "axes %v of %v name one twice", axes, t.shape)
	}
	for len(sorted) > 0 { // the last run of neighbouring axes first, so that the others keep their numbers
		k := len(sorted) - 1
		for k > 0 && sorted[k-1] == sorted[k]-1 {
			k--
		}
		t = t.sumRange(op, sorted[k], sorted[len(sorted)-1]+1, mean)
		sorted = sorted[:k]
	}
	return t
}

func (t *Tensor) sumRange(op string, from, to int, mean bool) *Tensor {
	outer, n, inner := around(t.shape, from, to)
	out := placeOf(t).alloc(Float32, slices.Delete(slices.Clone(t.shape), from, to)...)
	d := out.buf().Device
	d.Reduce(backend.Sum, out.buf(), t.buf(), outer, n, inner)
	scale := float32(1)
	if mean {
		scale = 1 / float32(n)
		d.Affine(out.buf(), out.buf(), scale, 0)
	}
	record(out, op, func(dy *gradient) {
		t.into(func(dx *backend.Buffer) { dx.Device.Expand(dx, dy.buf(), outer, n, inner, scale) })
	}, nil, t)
	return out
}

// Max is the largest element along axis, which disappears; NaN wins. Its gradient goes to the first of equals.
func (t *Tensor) Max(axis int) *Tensor {
	t.want("Max", Float32)
	axis = t.axis("Max", axis)
	outer, n, inner := around(t.shape, axis, axis+1)
	if n == 0 {
		Fail("Max", "axis %d of %v is empty and has no largest element", axis, t.shape)
	}
	out := placeOf(t).alloc(Float32, slices.Delete(slices.Clone(t.shape), axis, axis+1)...)
	out.buf().Device.Reduce(backend.Max, out.buf(), t.buf(), outer, n, inner)
	if !recording(t) {
		out.noGrad = t.noGrad
		return out
	}
	at := t.argMax(outer, n, inner, out.shape)
	record(out, "Max", func(dy *gradient) {
		t.into(func(dx *backend.Buffer) { dx.Device.MaxGrad(dx, at.buf(), dy.buf(), outer, n, inner) })
	}, []*Tensor{at}, t)
	return out
}

// ArgMax is the int32 index of the largest element along axis, which disappears: the first of equals, or of NaNs.
func (t *Tensor) ArgMax(axis int) *Tensor {
	t.want("ArgMax", Float32)
	axis = t.axis("ArgMax", axis)
	outer, n, inner := around(t.shape, axis, axis+1)
	if n == 0 {
		Fail("ArgMax", "axis %d of %v is empty and has no largest element", axis, t.shape)
	}
	return t.argMax(outer, n, inner, slices.Delete(slices.Clone(t.shape), axis, axis+1))
}

func (t *Tensor) argMax(outer, n, inner int, shape []int) *Tensor {
	at := placeOf(t).alloc(Int32, shape...)
	at.buf().Device.ArgMax(at.buf(), t.buf(), outer, n, inner)
	return at
}
