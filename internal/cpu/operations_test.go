package cpu

import (
	"fmt"
	"math"
	"runtime"
	"slices"
	"testing"
	"time"

	"github.com/gollava/gollava/internal/backend"
	"github.com/stretchr/testify/require"
)

// operation is one operation on buffers of its own choice; the first of them it writes.
type operation struct {
	name string
	out  *backend.Buffer
	f    func()
}

// operations returns all but products, on matrices of rows×cols elements; cols is a multiple of 32.
func operations(d *Device, rows, cols int) []operation {
	n := rows * cols
	buf := func() *backend.Buffer {
		x := d.Alloc(backend.Float32, n)
		for i, v := 0, x.Float32(); i < n; i++ {
			v[i] = float32(i%2001)/1000 - 1
		}
		return x
	}
	x, y, z, dy, dx := buf(), buf(), buf(), buf(), buf()
	w, column, columns := buf().Slice(0, cols), buf().Slice(0, cols), buf().Slice(0, cols)
	mean, rstd := buf().Slice(0, rows), buf().Slice(0, rows)
	p, m, v := buf(), buf(), buf()
	d.Fill(rstd, 1)
	d.Fill(v, 1)
	half, master, ids, at := d.Alloc(backend.BFloat16, n), buf(), d.Alloc(backend.Int32, rows), d.Alloc(backend.Int32, rows)
	for i := range ids.Int32() {
		ids.Int32()[i] = int32(i * 7 % min(rows, cols))
	}
	square, flat, wide, broadcast := []int{rows, cols}, []int{n}, []int{cols, 1}, []int{0, 1}
	ones, heads, swap, order := []int{1}, []int{rows, cols / 32, 32}, []int{1, 0}, []int{1, 0, 2}
	angles := [2]*backend.Buffer{dy.Slice(0, rows*16), dx.Slice(0, rows*16)}
	one, list := rstd.Slice(0, 1), []*backend.Buffer{x, w}
	sum := d.Alloc(backend.Float32, 1)
	step := backend.AdamW{LR: 1e-3, Beta1: 0.9, Beta2: 0.999, Eps: 1e-8, GradScale: 1, Step: 3}
	items := []backend.AdamWItem{{Param: p, Grad: dy, M: m, V: v}}
	halves := []backend.AdamWItem{{Param: half, Master: master, Grad: dy, M: m, V: v}}
	unary := func(name string, op backend.Unary) operation { return operation{name, y, func() { d.Unary(op, y, x) }} }
	grad := func(name string, op backend.Unary) operation {
		return operation{name + "Grad", z, func() { d.UnaryGrad(op, z, x, y, dy) }}
	}
	fresh := func(name string, f func(y *backend.Buffer)) operation {
		return operation{name + "Fresh", nil, func() {
			y := d.Alloc(backend.Float32, n)
			f(y)
			d.Free(y)
		}}
	}
	return []operation{
		fresh("exp", func(y *backend.Buffer) { d.Unary(backend.Exp, y, x) }), fresh("silu", func(y *backend.Buffer) { d.Unary(backend.SiLU, y, x) }),
		fresh("gelu", func(y *backend.Buffer) { d.Unary(backend.GELU, y, x) }),
		fresh("softmax", func(y *backend.Buffer) { d.Softmax(y, x, rows, cols) }),
		fresh("rmsNorm", func(y *backend.Buffer) { d.RMSNorm(y, rstd, x, w, rows, cols, 1e-6) }),
		fresh("layerNorm", func(y *backend.Buffer) { d.LayerNorm(y, mean, rstd, x, w, w, rows, cols, 1e-5) }),
		unary("exp", backend.Exp), unary("tanh", backend.Tanh), unary("silu", backend.SiLU), unary("gelu", backend.GELU),
		unary("geluTanh", backend.GELUTanh), unary("quickGELU", backend.QuickGELU), grad("silu", backend.SiLU), grad("gelu", backend.GELU),
		{"swiglu", y, func() { d.SwiGLU(y, x, dy) }},
		{"swigluGrad", z, func() { d.SwiGLUGrad(z, y, x, dx, dy) }},
		{"add", y, func() { d.Binary(backend.Add, y, x, dy, flat, ones, ones) }},
		{"addBias", y, func() { d.Binary(backend.Add, y, x, w, square, wide, broadcast) }},
		{"affine", y, func() { d.Affine(y, x, 2, 1) }},
		{"accumulate", z, func() { d.Accumulate(z, x, 1e-9) }},
		{"copy", y, func() { d.Copy(y, x) }},
		{"fill", y, func() { d.Fill(y, 1) }},
		{"zero", y, func() { d.Fill(y, 0) }},
		{"narrow", half, func() { d.Cast(half, x) }},
		{"widen", y, func() { d.Cast(y, half) }},
		{"dropout", y, func() { d.Dropout(y, x, 0.1, 7) }},
		{"gather", y, func() { d.GatherRows(y, x, ids, cols) }},
		{"scatter", z, func() { d.ScatterAddRows(z, x, ids, cols) }},
		{"expand", y, func() { d.Expand(y, w, 1, rows, cols, 0.5) }},
		{"blocks", y, func() { d.CopyBlocks(y, 0, cols, x, 0, cols, rows, cols, true) }},
		{"transpose", y, func() { d.Permute(y, x, square, swap) }},
		{"heads", y, func() { d.Permute(y, x, heads, order) }},
		{"softmax", y, func() { d.Softmax(y, x, rows, cols) }},
		{"softmaxGrad", z, func() { d.SoftmaxGrad(z, y, dy, rows, cols) }},
		{"logSoftmax", y, func() { d.LogSoftmax(y, x, rows, cols) }},
		{"logSoftmaxGrad", z, func() { d.LogSoftmaxGrad(z, y, dy, rows, cols) }},
		{"crossEntropy", mean, func() { d.CrossEntropy(mean, rstd, x, ids, rows, cols) }},
		{"crossEntropyGrad", z, func() { d.CrossEntropyGrad(z, x, rstd, ids, rows, cols, 0.5) }},
		{"rmsNorm", y, func() { d.RMSNorm(y, rstd, x, w, rows, cols, 1e-6) }},
		{"rmsNormGrad", column, func() { d.RMSNormGrad(z, column, x, w, rstd, dy, rows, cols) }},
		{"layerNorm", y, func() { d.LayerNorm(y, mean, rstd, x, w, w, rows, cols, 1e-5) }},
		{"layerNormGrad", column, func() { d.LayerNormGrad(z, column, columns, x, w, mean, rstd, dy, rows, cols) }},
		{"l2Normalize", y, func() { d.L2Normalize(y, rstd, x, rows, cols, 1e-6) }},
		{"l2NormalizeGrad", z, func() { d.L2NormalizeGrad(z, y, rstd, dy, rows, cols) }},
		{"sum", sum, func() { d.Reduce(backend.Sum, sum, x, 1, n, 1) }},
		{"sumRows", mean, func() { d.Reduce(backend.Sum, mean, x, rows, cols, 1) }},
		{"sumColumns", column, func() { d.Reduce(backend.Sum, column, x, 1, rows, cols) }},
		{"sumTo", column, func() { d.SumTo(column, x, square, broadcast) }},
		{"max", mean, func() { d.Reduce(backend.Max, mean, x, rows, cols, 1) }},
		{"argMax", at, func() { d.ArgMax(at, x, rows, cols, 1) }},
		{"maxGrad", z, func() { d.MaxGrad(z, at, mean, rows, cols, 1) }},
		{"sumSquares", one, func() { one.Float32()[0] = float32(d.SumSquares(list)) }},
		{"allFinite", nil, func() { d.AllFinite(list) }},
		{"rope", y, func() { d.RoPE(y, x, angles[0], angles[1], 1, rows, cols/32, 32, 32, false) }},
		{"adamw", p, func() { d.AdamW(step, items) }},
		{"adamwHalf", half, func() { d.AdamW(step, halves) }},
	}
}

// TestSameBits runs every operation with different numbers of processors, on matrices of several tasks.
func TestSameBits(t *testing.T) {
	defer runtime.GOMAXPROCS(runtime.GOMAXPROCS(0))
	for _, shape := range [][2]int{{611, 160}, {3, 50016}} {
		var first []any
		for _, procs := range []int{1, 2, 5} {
			runtime.GOMAXPROCS(procs)
			for i, op := range operations(New(), shape[0], shape[1]) {
				op.f()
				var got any
				switch {
				case op.out == nil:
				case op.out.DType == backend.Float32:
					got = slices.Clone(op.out.Float32())
				case op.out.DType == backend.Int32:
					got = slices.Clone(op.out.Int32())
				default:
					got = slices.Clone(op.out.BFloat16())
				}
				if procs == 1 {
					first = append(first, got)
				}
				require.Equal(t, first[i], got, "%s %v with %d processors", op.name, shape, procs)
			}
		}
	}
}

// TestSmallAllocatesNothing: the operations of a small model take no memory from the heap.
func TestSmallAllocatesNothing(t *testing.T) {
	for _, op := range operations(New(), 16, 64) {
		require.Zero(t, testing.AllocsPerRun(20, op.f), op.name)
	}
}

// BenchmarkOperations measures operations on 64 KiB, which stay in the cache, and on 32 MiB, which do not.
func BenchmarkOperations(b *testing.B) {
	for _, n := range []int{1 << 14, 1 << 23} {
		for _, op := range operations(New(), n/1024, 1024) {
			b.Run(fmt.Sprintf("%s/%dKiB", op.name, n>>8), func(b *testing.B) {
				op.f() // touches memory for the first time
				best, reps := time.Duration(math.MaxInt64), max(1, 1<<18/n)
				for b.Loop() {
					start := time.Now()
					for range reps {
						op.f()
					}
					best = min(best, time.Since(start))
				}
				each := best.Seconds() / float64(reps) // of a machine that others use too, the best is what repeats
				b.ReportMetric(each*1e9, "min-ns")
				b.ReportMetric(float64(n)/each/1e9, "G/s")
			})
		}
	}
}
