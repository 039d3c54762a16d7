//go:build unix

package remote

import (
	"slices"

	"github.com/gollava/gollava/internal/backend"
)

// The operations are those of the device inside, on the memory that the operands' addresses stand for.

func (on *Device) Fill(dst *backend.Buffer, v float32) {
	on.inner.Fill(on.at(dst), v)
}

func (on *Device) Cast(dst, src *backend.Buffer) {
	on.inner.Cast(on.at(dst), on.at(src))
}

func (on *Device) CopyBlocks(
	dst *backend.Buffer, dstOff, dstStride int, src *backend.Buffer, srcOff, srcStride, rows, cols int, add bool,
) {
	on.inner.CopyBlocks(on.at(dst), dstOff, dstStride, on.at(src), srcOff, srcStride, rows, cols, add)
}

func (on *Device) Permute(dst, src *backend.Buffer, shape, perm []int) {
	on.inner.Permute(on.at(dst), on.at(src), shape, perm)
}

func (on *Device) GatherRows(dst, table, ids *backend.Buffer, cols int) {
	on.inner.GatherRows(on.at(dst), on.at(table), on.at(ids), cols)
}

func (on *Device) ScatterAddRows(dst, src, ids *backend.Buffer, cols int) {
	on.inner.ScatterAddRows(on.at(dst), on.at(src), on.at(ids), cols)
}

func (on *Device) Patches(dst, src *backend.Buffer, b, c, h, w, p int, inverse bool) {
	on.inner.Patches(on.at(dst), on.at(src), b, c, h, w, p, inverse)
}

func (on *Device) Expand(dst, src *backend.Buffer, outer, n, inner int, scale float32) {
	on.inner.Expand(on.at(dst), on.at(src), outer, n, inner, scale)
}

func (on *Device) Unary(op backend.Unary, dst, x *backend.Buffer) {
	on.inner.Unary(op, on.at(dst), on.at(x))
}

func (on *Device) UnaryGrad(op backend.Unary, dx, x, y, dy *backend.Buffer) {
	on.inner.UnaryGrad(op, on.at(dx), on.at(x), on.at(y), on.at(dy))
}

func (on *Device) Affine(dst, x *backend.Buffer, a, b float32) {
	on.inner.Affine(on.at(dst), on.at(x), a, b)
}

func (on *Device) Binary(op backend.Binary, dst, a, b *backend.Buffer, dims, aStrides, bStrides []int) {
	on.inner.Binary(op, on.at(dst), on.at(a), on.at(b), dims, aStrides, bStrides)
}

func (on *Device) Select(dst, c, a, b *backend.Buffer, dims, cStrides, aStrides, bStrides []int) {
	on.inner.Select(on.at(dst), on.at(c), on.at(a), on.at(b), dims, cStrides, aStrides, bStrides)
}

func (on *Device) SumTo(dst, src *backend.Buffer, dims, dstStrides []int) {
	on.inner.SumTo(on.at(dst), on.at(src), dims, dstStrides)
}

func (on *Device) Accumulate(dst, src *backend.Buffer, alpha float32) {
	on.inner.Accumulate(on.at(dst), on.at(src), alpha)
}

func (on *Device) Dropout(dst, x *backend.Buffer, p float32, key uint64) {
	on.inner.Dropout(on.at(dst), on.at(x), p, key)
}

func (on *Device) SwiGLU(dst, gate, up *backend.Buffer) {
	on.inner.SwiGLU(on.at(dst), on.at(gate), on.at(up))
}

func (on *Device) SwiGLUGrad(dGate, dUp, gate, up, dy *backend.Buffer) {
	on.inner.SwiGLUGrad(on.at(dGate), on.at(dUp), on.at(gate), on.at(up), on.at(dy))
}

func (on *Device) SumSquares(xs []*backend.Buffer) float64 {
	return on.inner.SumSquares(on.all(xs))
}

func (on *Device) AllFinite(xs []*backend.Buffer) (ok bool, first int) {
	return on.inner.AllFinite(on.all(xs))
}

func (on *Device) Reduce(op backend.Reduction, dst, x *backend.Buffer, outer, n, inner int) {
	on.inner.Reduce(op, on.at(dst), on.at(x), outer, n, inner)
}

func (on *Device) ArgMax(dst, x *backend.Buffer, outer, n, inner int) {
	on.inner.ArgMax(on.at(dst), on.at(x), outer, n, inner)
}

func (on *Device) MaxGrad(dx, at, dy *backend.Buffer, outer, n, inner int) {
	on.inner.MaxGrad(on.at(dx), on.at(at), on.at(dy), outer, n, inner)
}

func (on *Device) Softmax(dst, x *backend.Buffer, rows, cols int) {
	on.inner.Softmax(on.at(dst), on.at(x), rows, cols)
}

func (on *Device) SoftmaxGrad(dx, y, dy *backend.Buffer, rows, cols int) {
	on.inner.SoftmaxGrad(on.at(dx), on.at(y), on.at(dy), rows, cols)
}

func (on *Device) LogSoftmax(dst, x *backend.Buffer, rows, cols int) {
	on.inner.LogSoftmax(on.at(dst), on.at(x), rows, cols)
}

func (on *Device) LogSoftmaxGrad(dx, y, dy *backend.Buffer, rows, cols int) {
	on.inner.LogSoftmaxGrad(on.at(dx), on.at(y), on.at(dy), rows, cols)
}

func (on *Device) RMSNorm(dst, rstd, x, w *backend.Buffer, rows, cols int, eps float32) {
	on.inner.RMSNorm(on.at(dst), on.at(rstd), on.at(x), on.at(w), rows, cols, eps)
}

func (on *Device) RMSNormGrad(dx, dw, x, w, rstd, dy *backend.Buffer, rows, cols int) {
	on.inner.RMSNormGrad(on.at(dx), on.at(dw), on.at(x), on.at(w), on.at(rstd), on.at(dy), rows, cols)
}

func (on *Device) LayerNorm(dst, mean, rstd, x, w, b *backend.Buffer, rows, cols int, eps float32) {
	on.inner.LayerNorm(on.at(dst), on.at(mean), on.at(rstd), on.at(x), on.at(w), on.at(b), rows, cols, eps)
}

func (on *Device) LayerNormGrad(dx, dw, db, x, w, mean, rstd, dy *backend.Buffer, rows, cols int) {
	on.inner.LayerNormGrad(on.at(dx), on.at(dw), on.at(db), on.at(x), on.at(w), on.at(mean), on.at(rstd), on.at(dy),
		rows, cols)
}

func (on *Device) L2Normalize(dst, norm, x *backend.Buffer, rows, cols int, eps float32) {
	on.inner.L2Normalize(on.at(dst), on.at(norm), on.at(x), rows, cols, eps)
}

func (on *Device) L2NormalizeGrad(dx, y, norm, dy *backend.Buffer, rows, cols int) {
	on.inner.L2NormalizeGrad(on.at(dx), on.at(y), on.at(norm), on.at(dy), rows, cols)
}

func (on *Device) CrossEntropy(loss, lse, logits, labels *backend.Buffer, rows, cols int) {
	on.inner.CrossEntropy(on.at(loss), on.at(lse), on.at(logits), on.at(labels), rows, cols)
}

func (on *Device) CrossEntropyGrad(dx, logits, lse, labels *backend.Buffer, rows, cols int, scale float32) {
	on.inner.CrossEntropyGrad(on.at(dx), on.at(logits), on.at(lse), on.at(labels), rows, cols, scale)
}

func (on *Device) RoPE(dst, x, cos, sin *backend.Buffer, b, t, heads, d, r int, inverse bool) {
	on.inner.RoPE(on.at(dst), on.at(x), on.at(cos), on.at(sin), b, t, heads, d, r, inverse)
}

func (on *Device) MatMul(p *backend.MatMul) {
	on.inner.MatMul(operands(on, p))
}

func (on *Device) Attention(list ...*backend.Attention) {
	list = slices.Clone(list)
	for i, a := range list {
		list[i] = operands(on, a)
	}
	on.inner.Attention(list...)
}

func (on *Device) AttentionGrad(a *backend.Attention, dq, dk, dv, dOut *backend.Buffer) {
	on.inner.AttentionGrad(operands(on, a), on.at(dq), on.at(dk), on.at(dv), on.at(dOut))
}

func (on *Device) AdamW(c backend.AdamW, items []backend.AdamWItem) {
	items = slices.Clone(items)
	for i := range items {
		items[i] = *operands(on, &items[i])
	}
	on.inner.AdamW(c, items)
}

func (on *Device) Resample(r *backend.Resample) {
	on.inner.Resample(operands(on, r))
}

func (on *Device) ResampleGrad(r *backend.Resample) {
	on.inner.ResampleGrad(operands(on, r))
}

func (on *Device) MaxPool(p *backend.MaxPool) {
	on.inner.MaxPool(operands(on, p))
}

func (on *Device) MaxPoolGrad(p *backend.MaxPool) {
	on.inner.MaxPoolGrad(operands(on, p))
}

func (on *Device) GridSample(g *backend.GridSample) {
	on.inner.GridSample(operands(on, g))
}

func (on *Device) GridSampleGrad(g *backend.GridSample, dx, dGrid *backend.Buffer) {
	on.inner.GridSampleGrad(operands(on, g), on.at(dx), on.at(dGrid))
}

func (on *Device) GroupNorm(dst, mean, rstd, x, w, b *backend.Buffer, batch, channels, inner, groups int, eps float32) {
	on.inner.GroupNorm(on.at(dst), on.at(mean), on.at(rstd), on.at(x), on.at(w), on.at(b),
		batch, channels, inner, groups, eps)
}

func (on *Device) GroupNormGrad(dx, dw, db, x, w, mean, rstd, dy *backend.Buffer, batch, channels, inner, groups int) {
	on.inner.GroupNormGrad(on.at(dx), on.at(dw), on.at(db), on.at(x), on.at(w), on.at(mean), on.at(rstd), on.at(dy),
		batch, channels, inner, groups)
}

func (on *Device) Conv(c *backend.Conv) {
	on.inner.Conv(operands(on, c))
}

func (on *Device) ConvInput(c *backend.Conv) {
	on.inner.ConvInput(operands(on, c))
}

func (on *Device) ConvWeight(c *backend.Conv) {
	on.inner.ConvWeight(operands(on, c))
}

func (on *Device) TopK(values, at, x *backend.Buffer, outer, n, inner, k int, largest bool) {
	on.inner.TopK(on.at(values), on.at(at), on.at(x), outer, n, inner, k, largest)
}

func (on *Device) CumSum(dst, x *backend.Buffer, outer, n, inner int, reverse bool) {
	on.inner.CumSum(on.at(dst), on.at(x), outer, n, inner, reverse)
}

func (on *Device) GatherLines(dst, x, at *backend.Buffer, outer, n, m, inner int) {
	on.inner.GatherLines(on.at(dst), on.at(x), on.at(at), outer, n, m, inner)
}

func (on *Device) ScatterLines(dst, src, at *backend.Buffer, outer, n, m, inner int) {
	on.inner.ScatterLines(on.at(dst), on.at(src), on.at(at), outer, n, m, inner)
}
