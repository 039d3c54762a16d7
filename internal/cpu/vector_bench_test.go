package cpu

import (
	"fmt"
	"math"
	"testing"
	"time"

	"github.com/gollava/gollava/internal/backend"
)

// BenchmarkElements measures operations on 64 KiB, which stay in the cache, and on 32 MiB, which do not.
func BenchmarkElements(b *testing.B) {
	d := New()
	for _, n := range []int{1 << 14, 1 << 23} {
		const cols = 1024
		rows := n / cols
		buf := func() *backend.Buffer {
			x := d.Alloc(backend.Float32, n)
			for i, v := 0, x.Float32(); i < n; i++ {
				v[i] = float32(i%2001)/1000 - 1
			}
			return x
		}
		x, y, dy, dx, w, stat, stat2, cw := buf(), buf(), buf(), buf(), buf().Slice(0, cols), buf().Slice(0, rows), buf().Slice(0, rows), buf().Slice(0, cols)
		d.Fill(stat, 1)
		m, v := buf(), buf()
		d.Fill(v, 1)
		half := d.Alloc(backend.BFloat16, n)
		cases := []struct {
			name string
			f    func()
		}{
			{"exp", func() { d.Unary(backend.Exp, y, x) }},
			{"tanh", func() { d.Unary(backend.Tanh, y, x) }},
			{"silu", func() { d.Unary(backend.SiLU, y, x) }},
			{"gelu", func() { d.Unary(backend.GELU, y, x) }},
			{"geluTanh", func() { d.Unary(backend.GELUTanh, y, x) }},
			{"quickGELU", func() { d.Unary(backend.QuickGELU, y, x) }},
			{"siluGrad", func() { d.UnaryGrad(backend.SiLU, dx, x, y, dy) }},
			{"geluGrad", func() { d.UnaryGrad(backend.GELU, dx, x, y, dy) }},
			{"swiglu", func() { d.SwiGLU(y, x, dy) }},
			{"add", func() { d.Binary(backend.Add, y, x, dy, []int{n}, []int{1}, []int{1}) }},
			{"addBias", func() { d.Binary(backend.Add, y, x, w, []int{rows, cols}, []int{cols, 1}, []int{0, 1}) }},
			{"affine", func() { d.Affine(y, x, 2, 1) }},
			{"accumulate", func() { d.Accumulate(y, x, 1e-9) }},
			{"copy", func() { d.Copy(y, x) }},
			{"fill", func() { d.Fill(y, 1) }},
			{"zero", func() { d.Fill(y, 0) }},
			{"narrow", func() { d.Cast(half, x) }},
			{"dropout", func() { d.Dropout(y, x, 0.1, 7) }},
			{"softmax", func() { d.Softmax(y, x, rows, cols) }},
			{"softmaxGrad", func() { d.SoftmaxGrad(dx, y, dy, rows, cols) }},
			{"crossEntropy", func() { d.CrossEntropy(stat2, stat, x, ints(d, rows), rows, cols) }},
			{"rmsNorm", func() { d.RMSNorm(y, stat, x, w, rows, cols, 1e-6) }},
			{"rmsNormGrad", func() { d.RMSNormGrad(dx, cw, x, w, stat, dy, rows, cols) }},
			{"layerNorm", func() { d.LayerNorm(y, stat2, stat, x, w, w, rows, cols, 1e-5) }},
			{"layerNormGrad", func() { d.LayerNormGrad(dx, cw, cw, x, w, stat2, stat, dy, rows, cols) }},
			{"sum", func() { d.Reduce(backend.Sum, stat.Slice(0, 1), x, 1, n, 1) }},
			{"sumRows", func() { d.Reduce(backend.Sum, stat, x, rows, cols, 1) }},
			{"sumColumns", func() { d.Reduce(backend.Sum, cw, x, 1, rows, cols) }},
			{"sumSquares", func() { d.SumSquares([]*backend.Buffer{x}) }},
			{"allFinite", func() { d.AllFinite([]*backend.Buffer{x}) }},
			{"transpose", func() { d.Permute(y, x, []int{rows, cols}, []int{1, 0}) }},
			{"heads", func() { d.Permute(y, x, []int{rows, 16, cols / 16}, []int{1, 0, 2}) }},
			{"rope", func() { d.RoPE(y, x, dy.Slice(0, rows*32), dx.Slice(0, rows*32), 1, rows, 16, 64, 64, false) }},
			{"adamw", func() {
				d.AdamW(backend.AdamW{LR: 1e-3, Beta1: 0.9, Beta2: 0.999, Eps: 1e-8, GradScale: 1, Step: 3}, []backend.AdamWItem{{Param: x, Grad: dy, M: m, V: v}})
			}},
		}
		for _, c := range cases {
			b.Run(fmt.Sprintf("%s/%dKiB", c.name, n>>8), func(b *testing.B) {
				best, reps := time.Duration(math.MaxInt64), max(1, 1<<18/n)
				for b.Loop() {
					start := time.Now()
					for range reps {
						c.f()
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

func ints(d *Device, n int) *backend.Buffer {
	x := d.Alloc(backend.Int32, n)
	clear(x.Int32())
	return x
}
