//go:build amd64 && !purego

package cpu

import (
	"fmt"
	"math"
	"math/rand/v2"
	"slices"
	"testing"
	"unsafe"

	"github.com/stretchr/testify/require"

	"github.com/gollava/gollava/internal/backend"
)

// TestSplit multiplies in parts, of float32 and bfloat16 matrices in all forms and at odd sizes, with kernels in plain Go where there is no matrix unit.
func TestSplit(t *testing.T) {
	if supported() < avx512 {
		t.Skip("what splits matrices into parts takes AVX-512, which this processor has not")
	}
	defer useLevel(amx)()
	defer splitSmall()()
	t.Run("plain", func(t *testing.T) {
		if testing.Short() {
			t.Skip("-short: kernels in plain Go take minutes under the race detector")
		}
		defer func(before [2][2]tiler) { bf16x3Tilers = before }(bf16x3Tilers)
		for i, row := range bf16x3Tilers {
			for j := range row {
				plain := plainBlocks(1+2*i, 1+2*j)
				bf16x3Tilers[i][j] = bf16x3Tiler(1+2*i, 1+2*j, [2][2]blocksFunc{{plain(16, 16), plain(16, 32)}, {plain(32, 16), plain(32, 32)}})
			}
		}
		testSplit(t)
	})
	t.Run("amx", func(t *testing.T) {
		if supported() < amx {
			t.Skip("this processor has no AMX-BF16, or its tiles may not be used")
		}
		testSplit(t)
	})
}

// splitSmall makes small products worth splitting, until what it returns is called.
func splitSmall() (restore func()) {
	before := worthBF16x3
	worthBF16x3 = bf16x3Step
	return func() { worthBF16x3 = before }
}

func testSplit(t *testing.T) {
	d := New()
	r := rand.New(rand.NewPCG(7, 8))
	for _, s := range [][3]int{{32, 16, 32}, {37, 33, 33}, {41, 19, 64}, {33, 16, 97}, {47, 70, 300}, {129, 77, 161}, {64, 64, 256}, {70, 131, 541}, {300, 17, 40}, {128, 128, 70}, {135, 300, 1000}} {
		for form := range 16 {
			p := backend.MatMul{M: s[0], N: s[1], K: s[2], AT: form&1 != 0, BT: form&2 != 0, Batch: 1, Accumulate: s[1]%2 == 0}
			a, b := backend.DType(backend.Float32), backend.DType(backend.Float32)
			if form&4 != 0 {
				a = backend.BFloat16
			}
			if form&8 != 0 {
				b = backend.BFloat16
			}
			p.A, p.B, p.C = normals(d, a, p.M*p.K), normals(d, b, p.N*p.K), normals(d, backend.Float32, p.M*p.N)
			before := slices.Clone(p.C.Float32())
			d.MatMul(&p)
			g := item(&p, 0, nil)
			for range 300 {
				i, j := r.IntN(p.M), r.IntN(p.N)
				sum := 0.0
				if p.Accumulate {
					sum = float64(before[i*p.N+j])
				}
				magnitude := math.Abs(sum)
				for k := range p.K {
					term := float64(g.a.at(i*g.a.row+k*g.a.col)) * float64(g.b.at(k*g.b.row+j*g.b.col))
					sum, magnitude = sum+term, magnitude+math.Abs(term)
				}
				require.InDelta(t, sum, p.C.Float32()[i*p.N+j], 1e-6*magnitude, "%v, form %d: element %d %d", s, form, i, j)
			}
		}
	}
}

// TestSplitIsFloat32 multiplies constants, with which no errors cancel: dropping one of the six products costs some 2⁻¹⁷ of the result.
func TestSplitIsFloat32(t *testing.T) {
	if supported() < amx {
		t.Skip("this processor has no AMX-BF16, or its tiles may not be used")
	}
	defer useLevel(amx)()
	defer splitSmall()()
	d := New()
	r := rand.New(rand.NewPCG(3, 4))
	for range 100 {
		x, y := float32(1+r.Float64()), float32(1+r.Float64())
		p := backend.MatMul{M: 32, N: 16, K: 64, Batch: 1, A: d.Alloc(backend.Float32, 32*64), B: d.Alloc(backend.Float32, 64*16), C: d.Alloc(backend.Float32, 32*16)}
		d.Fill(p.A, x)
		d.Fill(p.B, y)
		d.MatMul(&p)
		require.InEpsilon(t, 64*float64(x)*float64(y), p.C.Float32()[5*16+3], 2.4e-7, "64 · %v · %v", x, y)
	}
}

// plainBlocks are the kernels for parts in plain Go.
func plainBlocks(partsA, partsB int) func(height, width int) blocksFunc {
	return func(height, width int) blocksFunc {
		return func(shapes *[64]byte, tiles, steps int, a *float32, aTile int, b *float32, d *float32, dRow int, c *float32, cRow int) {
			widened := func(p *float32, n int) []float32 { // n bfloat16
				x := make([]float32, n)
				(&operand{half: unsafe.Slice((*uint16)(unsafe.Pointer(p)), n)}).copyRow(x, 0)
				return x
			}
			rows := int(shapes[48+4]) + int(shapes[48+5])
			cols := (int(shapes[16+2*6]) + int(shapes[16+2*7])) / 4
			inB := widened(b, steps*partsB*bf16x3Step*width)
			for t := range tiles {
				inA := widened(index(a, t*aTile), steps*partsA*bf16x3Step*height)
				for i := range rows {
					for j := range cols {
						s := float32(0)
						if d != nil {
							s = *index(d, (t*height+i)*dRow+j)
						}
						for step := range steps {
							sum := 0.0
							for x := range partsA {
								row := inA[((step*partsA+x)*height+i)*bf16x3Step:][:bf16x3Step]
								for y := range min(partsB, 3-x) {
									pairs := inB[((step*partsB+y)*16*width+j)*2:]
									for k, v := range row {
										sum += float64(v) * float64(pairs[k/2*width*2+k%2])
									}
								}
							}
							s += float32(sum)
						}
						*index(c, (t*height+i)*cRow+j) = s
					}
				}
			}
		}
	}
}

// TestSplitNotFinite states what becomes of elements that no sum of bfloat16 is: they are never lost.
func TestSplitNotFinite(t *testing.T) {
	if supported() < amx {
		t.Skip("this processor has no AMX-BF16, or its tiles may not be used")
	}
	defer useLevel(amx)()
	defer splitSmall()()
	d := New()
	for _, x := range []float64{math.NaN(), math.Inf(1), math.Inf(-1), math.MaxFloat32} {
		for _, side := range []string{"a", "b"} {
			t.Run(fmt.Sprint(side, x), func(t *testing.T) {
				p := backend.MatMul{M: 40, N: 40, K: 40, Batch: 1, A: normals(d, backend.Float32, 1600), B: normals(d, backend.Float32, 1600), C: d.Alloc(backend.Float32, 1600)}
				map[string]*backend.Buffer{"a": p.A, "b": p.B}[side].Float32()[7*40+9] = float32(x)
				d.MatMul(&p)
				for i := range 40 {
					for j := range 40 {
						hit := side == "a" && i == 7 || side == "b" && j == 9
						require.Equal(t, hit, p.C.Float32()[i*40+j] != p.C.Float32()[i*40+j], "element %d %d", i, j)
					}
				}
			})
		}
	}
}
