package tensor

import (
	"slices"

	"github.com/gollava/gollava/internal/backend"
)

// TopK returns the k largest elements along axis in descending order, and their int32 indices: of equals the one
// with the smaller index comes first, and NaN is the largest number. Gradients flow to the elements that were
// taken. Source: torch.topk, which leaves the order of equals open.
func (t *Tensor) TopK(k, axis int) (values, indices *Tensor) { return t.topK("TopK", k, axis, true) }

// Sort returns the elements along axis in ascending order, or in descending order, and their int32 indices. It is
// stable, and NaN is the largest number. Gradients flow back to where the elements came from. Source: torch.sort
// with stable=True.
func (t *Tensor) Sort(axis int, descending bool) (values, indices *Tensor) {
	t.want("Sort", Float32)
	return t.topK("Sort", t.shape[t.axis("Sort", axis)], axis, descending)
}

func (t *Tensor) topK(op string, k, axis int, largest bool) (values, indices *Tensor) {
	t.want(op, Float32)
	axis = t.axis(op, axis)
	outer, n, inner := around(t.shape, axis, axis+1)
	if k < 0 || k > n {
		Fail(op, "%d elements along axis %d of %v, which has %d", k, axis, t.shape, n)
	}
	shape := slices.Clone(t.shape)
	shape[axis] = k
	d := placeOf(t)
	values, indices = d.alloc(Float32, shape...), d.alloc(Int32, shape...)
	d.TopK(values.buf(), indices.buf(), t.buf(), outer, n, inner, k, largest)
	var at *Tensor // the caller's indices may be gone by then
	if recording(t) {
		at = d.alloc(Int32, shape...)
		d.Copy(at.buf(), indices.buf())
	}
	record(values, op, func(dy *gradient) { t.scatterLines(dy, at, outer, n, k, inner) }, []*Tensor{at}, t)
	return values, indices
}

// scatterLines adds each element of dy to the gradient of the element of t that it was taken from.
func (t *Tensor) scatterLines(dy *gradient, at *Tensor, outer, n, m, inner int) {
	dst, fresh := t.accumulator()
	if fresh {
		dst.Device.Fill(dst, 0)
	}
	dst.Device.ScatterLines(dst, dy.buf(), at.buf(), outer, n, m, inner)
}

// GatherAlong picks elements along axis: element i of a line of the result is the one that ids names in the same
// line of t. ids (int32) and the result have t's shape but for that axis. It panics if an id is outside of the
// axis. Source: torch.gather, with an index that covers the other axes.
func (t *Tensor) GatherAlong(axis int, ids *Tensor) *Tensor {
	const op = "GatherAlong"
	t.want(op, Float32)
	ids.want(op, Int32)
	axis = t.axis(op, axis)
	ok := len(ids.shape) == len(t.shape)
	for i := 0; ok && i < len(t.shape); i++ {
		ok = i == axis || ids.shape[i] == t.shape[i]
	}
	if !ok {
		Fail(op, "%v by ids %v along axis %d: all other dimensions must be equal", t.shape, ids.shape, axis)
	}
	outer, n, inner := around(t.shape, axis, axis+1)
	m := ids.shape[axis]
	checkIDs(op, ids, n)
	at := ids.beside(t)
	d := placeOf(t, at)
	out := d.alloc(Float32, ids.shape...)
	d.GatherLines(out.buf(), t.buf(), at.buf(), outer, n, m, inner)
	record(out, op, func(dy *gradient) { t.scatterLines(dy, at, outer, n, m, inner) }, nil, t)
	return out
}

// GatherBatch returns rows of each image or sequence of a batch: t [B, N, ...] and ids [B, M] (int32) make [B, M,
// ...], of which row i of sequence b is row ids[b, i] of t[b]. It panics if an id is outside [0, N).
func (t *Tensor) GatherBatch(ids *Tensor) *Tensor {
	const op = "GatherBatch"
	t.want(op, Float32)
	ids.want(op, Int32)
	if len(t.shape) < 2 || len(ids.shape) != 2 || ids.shape[0] != t.shape[0] {
		Fail(op, "%v by ids %v: needs [B, N, ...] and [B, M]", t.shape, ids.shape)
	}
	B, N := t.shape[0], t.shape[1]
	checkIDs(op, ids, N)
	flat := make([]int32, ids.n)
	for i, id := range ids.Host().IntData() {
		flat[i] = int32(i/ids.shape[1]*N) + id
	}
	rows := t.Reshape(append([]int{B * N}, t.shape[2:]...)...)
	return Gather(rows, WrapInts(flat, ids.shape...).In(ids.arena))
}

// CumSum is the sum of all elements up to each along axis, summed in float64. Source: torch.cumsum.
func (t *Tensor) CumSum(axis int) *Tensor {
	const op = "CumSum"
	t.want(op, Float32)
	axis = t.axis(op, axis)
	outer, n, inner := around(t.shape, axis, axis+1)
	out := placeOf(t).like(t)
	out.buf().Device.CumSum(out.buf(), t.buf(), outer, n, inner, false)
	record(out, op, func(dy *gradient) {
		t.overwrite(dy, func(dx *backend.Buffer) { dx.Device.CumSum(dx, dx, outer, n, inner, true) })
	}, nil, t)
	return out
}

// OneHot turns ids (int32, any shape) into rows of n zeros with a 1 at the id: [ids..., n]. It panics if an id is
// outside [0, n). Source: torch.nn.functional.one_hot.
func OneHot(ids *Tensor, n int) *Tensor {
	const op = "OneHot"
	ids.want(op, Int32)
	checkIDs(op, ids, n)
	d := placeOf(ids)
	out := d.alloc(Float32, append(slices.Clone(ids.shape), n)...)
	ones := d.scratch(ids.n)
	d.Fill(ones, 1)
	d.MaxGrad(out.buf(), ids.buf(), ones, ids.n, n, 1)
	d.free(ones)
	return out
}
