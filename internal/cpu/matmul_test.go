package cpu

import (
	"fmt"
	"math/rand/v2"
	"testing"

	"github.com/gollava/gollava/internal/backend"
)

// normals fills a new buffer with random numbers.
func normals(d *Device, dt backend.DType, n int) *backend.Buffer {
	r := rand.New(rand.NewPCG(1, uint64(n)))
	x := d.Alloc(backend.Float32, n)
	for i := range x.Float32() {
		x.Float32()[i] = float32(r.NormFloat64())
	}
	if dt == backend.Float32 {
		return x
	}
	y := d.Alloc(dt, n)
	d.Cast(y, x)
	return y
}

// BenchmarkMatMul measures x·Wᵀ (forward), dy·W and dyᵀ·x (backward) at the sizes of small and of large models.
func BenchmarkMatMul(b *testing.B) {
	d := New()
	for _, m := range [][3]int{{512, 512, 512}, {1024, 1024, 1024}, {2048, 2048, 2048}, {577, 4096, 1024}, {577, 1024, 4096}, {577, 1024, 1024}, {128, 4096, 4096},
		{1024, 64, 64}, {4000, 64, 64}, {1600, 256, 96}, {1600, 96, 256}, {3200, 96, 96}, {600, 128, 96}, {2048, 8, 1024}, {2048, 1024, 8}, {16, 1024, 1024}, {4, 1024, 1024}} {
		rows, out, in := m[0], m[1], m[2]
		for _, c := range []struct {
			name string
			p    backend.MatMul
		}{
			{"forward", backend.MatMul{M: rows, N: out, K: in, BT: true}},
			{"dx", backend.MatMul{M: rows, N: in, K: out}},
			{"dw", backend.MatMul{M: out, N: in, K: rows, AT: true}},
		} {
			b.Run(fmt.Sprintf("%dx%dx%d/%s", rows, out, in, c.name), func(b *testing.B) {
				p := c.p
				p.Batch = 1
				p.A, p.B, p.C = normals(d, backend.Float32, p.M*p.K), normals(d, backend.Float32, p.K*p.N), d.Alloc(backend.Float32, p.M*p.N)
				d.MatMul(&p)
				for b.Loop() {
					d.MatMul(&p)
				}
				b.ReportMetric(2*float64(p.M)*float64(p.N)*float64(p.K)*float64(b.N)/b.Elapsed().Seconds()/1e9, "GFLOP/s")
			})
		}
	}
}
