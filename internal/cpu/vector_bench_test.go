package cpu

import (
	"fmt"
	"testing"

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
			name   string
			arrays int // read and written
			f      func()
		}{
			{"exp", 2, func() { d.Unary(backend.Exp, y, x) }},
			{"tanh", 2, func() { d.Unary(backend.Tanh, y, x) }},
			{"silu", 2, func() { d.Unary(backend.SiLU, y, x) }},
			{"gelu", 2, func() { d.Unary(backend.GELU, y, x) }},
			{"geluTanh", 2, func() { d.Unary(backend.GELUTanh, y, x) }},
			{"quickGELU", 2, func() { d.Unary(backend.QuickGELU, y, x) }},
			{"siluGrad", 3, func() { d.UnaryGrad(backend.SiLU, dx, x, y, dy) }},
			{"geluGrad", 3, func() { d.UnaryGrad(backend.GELU, dx, x, y, dy) }},
			{"swiglu", 3, func() { d.SwiGLU(y, x, dy) }},
			{"add", 3, func() { d.Binary(backend.Add, y, x, dy, []int{n}, []int{1}, []int{1}) }},
			{"addBias", 2, func() { d.Binary(backend.Add, y, x, w, []int{rows, cols}, []int{cols, 1}, []int{0, 1}) }},
			{"affine", 2, func() { d.Affine(y, x, 2, 1) }},
			{"accumulate", 3, func() { d.Accumulate(y, x, 1e-9) }},
			{"copy", 2, func() { d.Copy(y, x) }},
			{"fill", 1, func() { d.Fill(y, 1) }},
			{"zero", 1, func() { d.Fill(y, 0) }},
			{"narrow", 2, func() { d.Cast(half, x) }},
			{"dropout", 2, func() { d.Dropout(y, x, 0.1, 7) }},
			{"softmax", 2, func() { d.Softmax(y, x, rows, cols) }},
			{"softmaxGrad", 3, func() { d.SoftmaxGrad(dx, y, dy, rows, cols) }},
			{"crossEntropy", 1, func() { d.CrossEntropy(stat2, stat, x, ints(d, rows), rows, cols) }},
			{"rmsNorm", 2, func() { d.RMSNorm(y, stat, x, w, rows, cols, 1e-6) }},
			{"rmsNormGrad", 3, func() { d.RMSNormGrad(dx, cw, x, w, stat, dy, rows, cols) }},
			{"layerNorm", 2, func() { d.LayerNorm(y, stat2, stat, x, w, w, rows, cols, 1e-5) }},
			{"layerNormGrad", 3, func() { d.LayerNormGrad(dx, cw, cw, x, w, stat2, stat, dy, rows, cols) }},
			{"sum", 1, func() { d.Reduce(backend.Sum, stat.Slice(0, 1), x, 1, n, 1) }},
			{"sumRows", 1, func() { d.Reduce(backend.Sum, stat, x, rows, cols, 1) }},
			{"sumColumns", 1, func() { d.Reduce(backend.Sum, cw, x, 1, rows, cols) }},
			{"sumSquares", 1, func() { d.SumSquares([]*backend.Buffer{x}) }},
			{"allFinite", 1, func() { d.AllFinite([]*backend.Buffer{x}) }},
			{"transpose", 2, func() { d.Permute(y, x, []int{rows, cols}, []int{1, 0}) }},
			{"heads", 2, func() { d.Permute(y, x, []int{rows, 16, cols / 16}, []int{1, 0, 2}) }},
			{"rope", 2, func() { d.RoPE(y, x, dy.Slice(0, rows*32), dx.Slice(0, rows*32), 1, rows, 16, 64, 64, false) }},
			{"adamw", 7, func() {
				d.AdamW(backend.AdamW{LR: 1e-3, Beta1: 0.9, Beta2: 0.999, Eps: 1e-8, GradScale: 1, Step: 3}, []backend.AdamWItem{{Param: x, Grad: dy, M: m, V: v}})
			}},
		}
		for _, c := range cases {
			b.Run(fmt.Sprintf("%s/%dKiB", c.name, n>>8), func(b *testing.B) {
				b.SetBytes(int64(4 * n * c.arrays))
				b.ReportAllocs()
				for b.Loop() {
					c.f()
				}
				b.ReportMetric(float64(b.N)*float64(n)/b.Elapsed().Seconds()/1e9, "G/s")
			})
		}
	}
}

func ints(d *Device, n int) *backend.Buffer {
	x := d.Alloc(backend.Int32, n)
	clear(x.Int32())
	return x
}
