//go:build amd64 && !purego

package cpu

import (
	"math"
	"math/rand/v2"
	"testing"
	"unsafe"

	"golang.org/x/sys/cpu"

	"github.com/gollava/gollava/internal/backend"
	"github.com/stretchr/testify/require"
)

// TestBF16Dot checks products of pairs of bfloat16 in all forms, with tiles in plain Go where the processor has none.
func TestBF16Dot(t *testing.T) {
	used := 0
	defer usePairs(&used)()
	d := New()
	r := rand.New(rand.NewPCG(7, 8))
	types := []backend.DType{backend.Float32, backend.BFloat16}
	for _, m := range [][3]int{{25, 33, 64}, {26, 7, 2}, {25, 40, 1030}, {40, 300, 18}, {30, 30, 9}, {257, 17, 33},
		{31, 35, 517}, {25, 2050, 11}, {28, 28, 1}, {29, 1, 577}, {25, 32, 2100}} {
		for form := range 32 {
			p := backend.MatMul{M: m[0], N: m[1], K: m[2], Batch: 1, AT: form&1 != 0, BT: form&2 != 0, Half: form&4 == 0,
				Accumulate: form == 0 || form == 7,
				A:          normals(d, types[form>>3&1], m[0]*m[2]), B: normals(d, types[form>>4&1], m[1]*m[2]),
				C: normals(d, backend.Float32, m[0]*m[1])}
			before, was := used, append([]float32{}, p.C.Float32()...)
			d.MatMul(&p)
			require.Equal(t, p.Half || form>>3 == 3, used > before, "what is not to be rounded is not")
			if used == before {
				continue
			}
			a, b := floats(p.A, p.K), floats(p.B, p.N)
			if p.AT {
				a.row, a.col = 1, p.M
			}
			if p.BT {
				b.row, b.col = 1, p.K
			}
			for range 200 {
				i, j := r.IntN(p.M), r.IntN(p.N)
				sum, magnitude := 0.0, 0.0
				if p.Accumulate {
					sum = float64(was[i*p.N+j])
				}
				for k := range p.K {
					term := rounded(a.at(i*a.row+k*a.col)) * rounded(b.at(k*b.row+j*b.col))
					sum, magnitude = sum+term, magnitude+max(term, -term)
				}
				require.True(t, near(p.C.Float32()[i*p.N+j], sum, 4*magnitude), "%v, form %d: element %d %d is %v, want %v", m,
					form, i, j, p.C.Float32()[i*p.N+j], sum)
			}
		}
	}
}

// usePairs makes products go by pairs, by tiles in plain Go where the processor has none, and counts how often this was
// asked for.
func usePairs(used *int) (restore func()) {
	before, pay, level := bf16DotTiler, bf16Dot, useLevel(vectorLevel()) // a matrix unit would come before
	bf16Dot = func() bool { *used++; return true }
	if !cpu.X86.HasAVX512BF16 || supported() < avx512 {
		bf16DotTiler.tile, bf16DotTiler.narrow = plainBF16Dot(), nil
	}
	return func() {
		bf16DotTiler, bf16Dot = before, pay
		level()
	}
}

// TestAttentionOfPairs holds attention by pairs, and its gradients, against that in float32.
func TestAttentionOfPairs(t *testing.T) {
	used := 0
	defer usePairs(&used)()
	d := New()
	for _, n := range [][5]int{{67, 67, 2, 1, 64}, {130, 131, 2, 2, 20}, {17, 300, 1, 1, 34}, {33, 33, 3, 3, 2}} {
		T, S, H, G, D := n[0], n[1], n[2], n[3], n[4]
		var results [2][]*backend.Buffer
		q, k, v := normals(d, backend.Float32, T*H*D), normals(d, backend.Float32, S*G*D), normals(d, backend.Float32, S*G*D)
		dOut := normals(d, backend.Float32, T*H*D)
		for i, half := range []bool{false, true} {
			a := backend.Attention{Q: q, K: k, V: v, B: 1, T: T, S: S, H: H, G: G, D: D, Keys: S, Causal: true, Offset: S - T,
				Scale: float32(1 / math.Sqrt(float64(D))), Half: half,
				Out: d.Alloc(backend.Float32, T*H*D), LSE: d.Alloc(backend.Float32, T*H)}
			before := used
			d.Attention(&a)
			require.Equal(t, half, used > before)
			dq, dk, dv := d.Alloc(backend.Float32, T*H*D), d.Alloc(backend.Float32, S*G*D), d.Alloc(backend.Float32, S*G*D)
			d.AttentionGrad(&a, dq, dk, dv, dOut)
			results[i] = []*backend.Buffer{a.Out, a.LSE, dq, dk, dv}
		}
		for i, want := range results[0] {
			far, square := 0.0, 0.0
			for j, x := range want.Float32() {
				diff := float64(x - results[1][i].Float32()[j])
				far, square = far+diff*diff, square+float64(x)*float64(x)
			}
			require.Less(t, math.Sqrt(far/square), 0.01, "%v: result %d", n, i)
			require.Positive(t, far, "%v: result %d is rounded", n, i)
		}
	}
}

// rounded is x as a bfloat16.
func rounded(x float32) float64 { return float64(math.Float32frombits(uint32(narrowed(x)) << 16)) }

// TestMakingPairs checks the kernels against those in plain Go.
func TestMakingPairs(t *testing.T) {
	if !cpu.X86.HasAVX512BF16 || supported() < avx512 {
		t.Skip("this processor has no AVX512_BF16")
	}
	src := normals(New(), backend.Float32, 40*96).Float32()
	src[5], src[101], src[200] = float32(math.Inf(1)), float32(math.Inf(-1)), math.MaxFloat32
	for steps := 1; steps <= 3; steps++ {
		got, want := make([]float32, 17*60), make([]float32, 17*60)
		narrowRowsBF16(17, steps, &got[0], 60, &src[0], 96)
		narrowRowsGo(17, steps, &want[0], 60, &src[0], 96)
		require.Equal(t, bitsOf(want), bitsOf(got))
	}
	for _, width := range []int{16, 32} {
		for pairs := 1; pairs <= 17; pairs += 4 {
			got, want := make([]float32, pairs*40), make([]float32, pairs*40)
			pairRows(pairs, got, 40, src, 96, width)
			pairRowsGo(pairs, want, 40, src, 96, width)
			require.Equal(t, bitsOf(want), bitsOf(got))
			half := unsafe.Slice((*uint16)(unsafe.Pointer(&src[0])), 2*len(src))
			pairHalfRows(pairs, got, 40, half, 97, width)
			pairHalfRowsGo(pairs, want, 40, half, 97, width)
			require.Equal(t, bitsOf(want), bitsOf(got))
		}
	}
}

func bitsOf(x []float32) []uint32 { return unsafe.Slice((*uint32)(unsafe.Pointer(&x[0])), len(x)) }

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
