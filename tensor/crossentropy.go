package tensor

import (
	"slices"

	"github.com/gollava/gollava/internal/backend"
)

// IgnoreIndex is the label of positions that are not scored, as in PyTorch and LLaVA.
const IgnoreIndex = -100

// CrossEntropy is the mean of −log softmax(logits)[label] over the labels that are not [IgnoreIndex]: logits [..., V],
// labels int32 [...]. It panics if every label is ignored, and for a label outside [0, V).
func CrossEntropy(logits, labels *Tensor) *Tensor {
	logits.want("CrossEntropy", Float32)
	rows, cols := logits.last("CrossEntropy")
	scored := checkLabels("CrossEntropy", logits, labels, rows, cols)
	ids := labels.beside(logits)
	at := placeOf(logits, ids)
	loss, lse := at.scratch(rows), at.alloc(Float32, rows)
	at.CrossEntropy(loss, lse.buf(), logits.buf(), ids.buf(), rows, cols)
	out := at.alloc(Float32)
	at.Reduce(backend.Sum, out.buf(), loss, 1, rows, 1)
	at.free(loss)
	scale := 1 / float32(len(scored))
	at.Affine(out.buf(), out.buf(), scale, 0)
	record(out, "CrossEntropy", func(dy *gradient) {
		logits.into(func(dx *backend.Buffer) {
			dx.Device.CrossEntropyGrad(dx, logits.buf(), lse.buf(), ids.buf(), rows, cols, scale)
			scaleBy(dx, dy.Tensor)
		})
	}, []*Tensor{lse}, logits)
	return out
}

// LogProbs returns log softmax(logits)[label] for each row, and 0 where the label is [IgnoreIndex]: logits [..., V],
// labels int32 [...] → [...]. It panics for a label outside [0, V). It equals −F.cross_entropy(reduction="none") of
// PyTorch.
func LogProbs(logits, labels *Tensor) *Tensor {
	const op = "LogProbs"
	logits.want(op, Float32)
	rows, cols := logits.last(op)
	scoredLabels(op, logits, labels, rows, cols)
	ids := labels.beside(logits)
	d := placeOf(logits, ids)
	out, lse := d.alloc(Float32, labels.shape...), d.alloc(Float32, rows)
	d.CrossEntropy(out.buf(), lse.buf(), logits.buf(), ids.buf(), rows, cols)
	d.Affine(out.buf(), out.buf(), -1, 0)
	record(out, op, func(dy *gradient) {
		logits.into(func(dx *backend.Buffer) {
			d.CrossEntropyGrad(dx, logits.buf(), lse.buf(), ids.buf(), rows, cols, -1)
			d.Binary(backend.Mul, dx, dx, dy.buf(), []int{rows, cols}, []int{cols, 1}, []int{1, 0})
		})
	}, []*Tensor{lse}, logits)
	return out
}

// scaleBy multiplies b by the scalar dy, unless that is 1.
func scaleBy(b *backend.Buffer, dy *Tensor) {
	if k := dy.Item(); k != 1 {
		b.Device.Affine(b, b, k, 0)
	}
}

// checkLabels returns the positions that are scored, of which there must be one.
func checkLabels(op string, x, labels *Tensor, rows, classes int) []int32 {
	scored := scoredLabels(op, x, labels, rows, classes)
	if len(scored) == 0 {
		Fail(op, "no label to score: all %d are %d (IgnoreIndex); leave such a batch out", rows, IgnoreIndex)
	}
	return scored
}

// scoredLabels returns the positions that are scored.
func scoredLabels(op string, x, labels *Tensor, rows, classes int) []int32 {
	labels.want(op, Int32)
	if labels.n != rows || len(labels.shape) != len(x.shape)-1 {
		Fail(op, "%v with labels %v: needs one label for each row, %v", x.shape, labels.shape, x.shape[:len(x.shape)-1])
	}
	var scored []int32
	for i, l := range labels.Host().IntData() {
		switch {
		case l == IgnoreIndex:
		case l < 0 || int(l) >= classes:
			Fail(op, "label %d at position %d is neither in [0, %d) nor %d", l, i, classes, IgnoreIndex)
		default:
			scored = append(scored, int32(i))
		}
	}
	return scored
}

// logitsPerChunk bounds the part of the logits that LinearCrossEntropy forms at a time.
const logitsPerChunk = 4 << 20

// LinearCrossEntropy is CrossEntropy(x·wᵀ, labels) without the whole logits: x [..., C], w [V, C] (float32, bfloat16 or
// a block type), labels int32 [...]. It works through chunks of the scored rows and skips the ignored ones. If the
// result is recorded, the gradients are computed on the way, so that logits are formed once; that costs memory of the
// size of x and w until Backward.
func LinearCrossEntropy(x, w, labels *Tensor) *Tensor {
	const op = "LinearCrossEntropy"
	x.want(op, Float32)
	rows, cols := x.last(op)
	if len(w.shape) != 2 || w.shape[1] != cols || !w.isWeight(true) {
		Fail(op, "%v · %v %vᵀ: needs a weight [classes, %d] of float32, bfloat16 or a block type", x.shape, w.dtype,
			w.shape, cols)
	}
	V := w.shape[0]
	scored := checkLabels(op, x, labels, rows, V)
	R := len(scored)

	d, moved := apart(op, x, w)
	if moved {
		return LinearCrossEntropy(x.on(d), w.on(d), labels)
	}
	d.arena = placeOf(x, w, labels).arena
	at := Ints(scored, R).on(d)
	all, picked := labels.Host().IntData(), make([]int32, R)
	for i, p := range scored {
		picked[i] = all[p]
	}
	ids := Ints(picked, R).on(d)
	xs := d.scratch(R * cols) // [R, C], the scored rows
	d.GatherRows(xs, x.buf(), at.buf(), cols)

	grad := recording(x, w)
	var dxs, dw *Tensor
	if grad && x.needs() {
		dxs = d.alloc(Float32, R, cols)
	}
	if grad && w.needs() {
		dw = d.alloc(Float32, V, cols)
	}
	step := min(R, max(logitsPerChunk/max(V, 1), 32))
	logits, losses, lse := d.scratch(step*V), d.scratch(R), d.scratch(step)
	scale := 1 / float32(R)
	for from := 0; from < R; from += step {
		n := min(step, R-from)
		part, label, z := xs.Slice(from*cols, n*cols), ids.buf().Slice(from, n), lse.Slice(0, n)
		y := logits.Slice(0, n*V) // [n, V]
		d.matMul(&backend.MatMul{A: part, B: w.buf(), C: y, M: n, N: V, K: cols, BT: true, Batch: 1, Half: w.Autocast()})
		d.CrossEntropy(losses.Slice(from, n), z, y, label, n, V)
		if dxs == nil && dw == nil {
			continue
		}
		d.CrossEntropyGrad(y, y, z, label, n, V, scale)
		if dxs != nil {
			d.matMul(&backend.MatMul{A: y, B: w.buf(), C: dxs.buf().Slice(from*cols, n*cols), M: n, N: cols,
				K: V, Batch: 1, Half: w.Autocast()})
		}
		if dw != nil {
			d.matMul(&backend.MatMul{A: y, B: part, C: dw.buf(), M: V, N: cols, K: n, AT: true, Batch: 1,
				Accumulate: from > 0, Half: w.Autocast()})
		}
	}
	out := d.alloc(Float32)
	d.Reduce(backend.Sum, out.buf(), losses, 1, R, 1)
	d.Affine(out.buf(), out.buf(), scale, 0)
	for _, b := range []*backend.Buffer{xs, logits, losses, lse} {
		d.free(b)
	}
	record(out, op, func(dy *gradient) {
		if dxs != nil {
			scaleBy(dxs.buf(), dy.Tensor)
			dst, fresh := x.accumulator()
			if fresh {
				d.Fill(dst, 0)
			}
			d.ScatterAddRows(dst, dxs.buf(), at.buf(), cols)
		}
		if dw != nil {
			scaleBy(dw.buf(), dy.Tensor)
			g := gradient{Tensor: dw}
			w.pass(&g)
			if g.taken { // by w, which may be a result that has yet to pass it on
				out.node.saved = slices.DeleteFunc(out.node.saved, func(s *storage) bool { return s == dw.st })
				dw = nil
			}
		}
	}, nil, x, w)
	if out.node != nil {
		for _, t := range []*Tensor{dxs, dw} {
			if t != nil {
				out.node.saved = append(out.node.saved, t.st)
			}
		}
	}
	return out
}
