//go:build amd64 && !purego

package cpu

import (
	"math/rand/v2"
	"testing"

	"golang.org/x/sys/cpu"

	"github.com/gollava/gollava/internal/backend"
	"github.com/stretchr/testify/require"
)

// TestBF16Dot checks products of pairs of bfloat16, with tiles in plain Go in place of VDPBF16PS where the processor has none.
func TestBF16Dot(t *testing.T) {
	tiles, pay := bf16DotTiler.tile, bf16Dot
	defer func() { bf16DotTiler.tile, bf16Dot = tiles, pay }()
	defer useLevel(vectorLevel())() // a matrix unit would come before
	used := 0
	bf16Dot = func() bool { used++; return true }
	if !cpu.X86.HasAVX512BF16 || supported() < avx512 {
		bf16DotTiler.tile = plainBF16Dot()
	}
	d := New()
	r := rand.New(rand.NewPCG(7, 8))
	for _, m := range [][3]int{{25, 33, 64}, {26, 7, 2}, {70, 70, 1030}, {40, 300, 18}, {30, 30, 9}} {
		p := backend.MatMul{A: normals(d, backend.BFloat16, m[0]*m[2]), B: normals(d, backend.BFloat16, m[1]*m[2]), C: d.Alloc(backend.Float32, m[0]*m[1]),
			M: m[0], N: m[1], K: m[2], BT: true, Batch: 1}
		before := used
		d.MatMul(&p)
		require.Equal(t, m[2]%2 == 0, used > before, "pairs are for even lengths")
		a, b := floats(p.A, p.K), floats(p.B, p.K)
		for range 200 {
			i, j := r.IntN(p.M), r.IntN(p.N)
			sum, magnitude := 0.0, 0.0
			for k := range p.K {
				term := float64(a.at(i*p.K+k)) * float64(b.at(j*p.K+k))
				sum, magnitude = sum+term, magnitude+max(term, -term)
			}
			require.True(t, near(p.C.Float32()[i*p.N+j], sum, 4*magnitude), "%v: element %d %d is %v, want %v", m, i, j, p.C.Float32()[i*p.N+j], sum)
		}
	}
}

// plainBF16Dot are the kernels of pairs in plain Go.
func plainBF16Dot() (list []tileFunc) {
	for m := 1; m <= bf16DotTiler.rows; m++ {
		list = append(list, func(tiles, k int, a *float32, aTile, aRow, aCol int, b *float32, bRow int, d *float32, dRow int, c *float32, cRow, cols int) {
			half := func(p *float32, i int) float32 {
				x := operand{half: (*[2]uint16)(pointer(p, i/2))[:]}
				return x.at(i % 2)
			}
			for i := range tiles * m {
				for j := range cols {
					s := float32(0)
					for p := range 2 * k {
						s += half(a, 2*(i/m*aTile+i%m*aRow+p/2*aCol)+p%2) * half(b, 2*(p/2*bRow+j)+p%2)
					}
					if d != nil {
						s += *index(d, i*dRow+j)
					}
					*index(c, i*cRow+j) = s
				}
			}
		})
	}
	return list
}

// TestPairsRight runs VDPBF16PS where there is one.
func TestPairsRight(t *testing.T) {
	if !cpu.X86.HasAVX512BF16 || supported() < avx512 {
		t.Skip("this processor has no AVX512_BF16")
	}
	require.True(t, bf16DotRight())
}
