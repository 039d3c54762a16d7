package cpu

import (
	"fmt"
	"math"
	"math/rand/v2"
	"slices"
	"testing"

	"github.com/stretchr/testify/require"

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

// TestFewRows multiplies few rows with matrices of both types, long and short, with rows that are no multiple of what a kernel takes at once.
func TestFewRows(t *testing.T) {
	eachLevel(t, func(t *testing.T) {
		d := New()
		for _, dt := range []backend.DType{backend.Float32, backend.BFloat16} {
			for _, s := range [][3]int{{1, 3, 70}, {1, 30, 1000}, {1, 29, 1090}, {1, 7, 1300}, {1, 700, 1111}, {2, 13, 2100}, {5, 41, 65}, {4, 300, 1057}} {
				p := backend.MatMul{A: normals(d, backend.Float32, s[0]*s[2]), B: normals(d, dt, s[1]*s[2]), C: normals(d, backend.Float32, s[0]*s[1]),
					M: s[0], N: s[1], K: s[2], BT: true, Batch: 1, Accumulate: s[1]%2 == 0}
				before := slices.Clone(p.C.Float32())
				d.MatMul(&p)
				a, b := floats(p.A, p.K), floats(p.B, p.K)
				for i := range p.M {
					for j := range p.N {
						sum := 0.0
						if p.Accumulate {
							sum = float64(before[i*p.N+j])
						}
						magnitude := math.Abs(sum)
						for k := range p.K {
							term := float64(a.at(i*p.K+k)) * float64(b.at(j*p.K+k))
							sum, magnitude = sum+term, magnitude+math.Abs(term)
						}
						require.InDelta(t, sum, p.C.Float32()[i*p.N+j], 1e-6*magnitude, "%v %v: element %d %d", dt, s, i, j)
					}
				}
			}
		}
	})
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
