//go:build (amd64 || arm64) && !purego

package cpu

import (
	"fmt"
	"math"
	"math/rand/v2"
	"slices"
	"testing"

	"github.com/stretchr/testify/require"
)

// fenced returns n random elements at an odd address between guards, and a function that fails the test if a guard was overwritten.
func fenced(t *testing.T, r *rand.Rand, n int) (x []float32, intact func(what string)) {
	const guard = 0x7fc5dead
	all := make([]float32, n+64)
	for i := range all {
		all[i] = math.Float32frombits(guard)
	}
	from := 32 + r.IntN(16)
	x = all[from:][:n:n]
	for i := range x {
		x[i] = float32(r.NormFloat64())
	}
	return x, func(what string) {
		for i, v := range all {
			if (i < from || i >= from+n) && math.Float32bits(v) != guard {
				require.FailNow(t, what, "wrote element %d, outside of its %d", i-from, n)
			}
		}
	}
}

// halves rounds x to bfloat16, and sets x to what is left.
func halves(x []float32) []uint16 {
	h := make([]uint16, len(x))
	for i, v := range x {
		h[i] = uint16(math.Float32bits(v) >> 16)
		x[i] = math.Float32frombits(uint32(h[i]) << 16)
	}
	return h
}

// near compares numbers that are sums of terms of the given magnitude; NaN equals NaN.
func near(got float32, want, magnitude float64) bool {
	return float64(got) == want || math.IsNaN(want) && got != got || math.Abs(float64(got)-want) <= 1e-6*magnitude
}

func specials(r *rand.Rand, x []float32) {
	for _, v := range []float64{math.NaN(), math.Inf(1), math.Inf(-1)} {
		if len(x) > 0 && r.IntN(4) == 0 {
			x[r.IntN(len(x))] = float32(v)
		}
	}
}

// TestTiles runs every tile kernel over every number of columns, all ways to store A, and both kinds of d.
func TestTiles(t *testing.T) {
	eachLevel(t, func(t *testing.T) {
		r := rand.New(rand.NewPCG(1, 2))
		wide := activeTiler()
		for n := range 2 * wide.rows * wide.cols * 4 {
			g := wide
			if n%2 == 1 && wide.narrow != nil {
				g = wide.narrow
			}
			m := 1 + n/2%g.rows
			for _, cols := range []int{g.cols, 1 + r.IntN(g.cols)} {
				k, tiles := r.IntN(11), 1+r.IntN(2)
				M := tiles * m
				aRow, aCol, aTile := k+3, 1, m*(k+3) // stored by rows
				switch r.IntN(3) {
				case 1: // by columns
					aRow, aCol, aTile = 1, M+2, m
				case 2: // packed
					aRow, aCol, aTile = 1, m, m*k
				}
				a, aIntact := fenced(t, r, (tiles-1)*aTile+(m-1)*aRow+max(k-1, 0)*aCol+1)
				b, bIntact := fenced(t, r, k*g.cols)
				c, cIntact := fenced(t, r, M*(cols+1)-1)
				bias, biasIntact := fenced(t, r, cols)
				specials(r, a)
				d, dRow, at := (*float32)(nil), 0, func(i, j int) float32 { return 0 }
				before := slices.Clone(c)
				switch r.IntN(3) {
				case 1:
					d, at = &bias[0], func(i, j int) float32 { return bias[j] }
				case 2:
					d, dRow, at = &c[0], cols+1, func(i, j int) float32 { return before[i*(cols+1)+j] }
				}
				var pb *float32
				if k > 0 {
					pb = &b[0]
				}
				g.tile[m-1](tiles, k, &a[0], aTile, aRow, aCol, pb, g.cols, d, dRow, &c[0], cols+1, cols)
				what := fmt.Sprintf("%d tiles of %d×%d, k %d, A's strides %d %d %d, d's %d", tiles, m, cols, k, aTile, aRow, aCol, dRow)
				for _, f := range []func(string){aIntact, bIntact, cIntact, biasIntact} {
					f(what)
				}
				for i := range M {
					for j := range cols {
						sum, magnitude := float64(at(i, j)), math.Abs(float64(at(i, j)))
						for p := range k {
							term := float64(a[i/m*aTile+i%m*aRow+p*aCol]) * float64(b[p*g.cols+j])
							sum, magnitude = sum+term, magnitude+math.Abs(term)
						}
						require.True(t, near(c[i*(cols+1)+j], sum, magnitude), "%s: element %d %d is %v, want %v", what, i, j, c[i*(cols+1)+j], sum)
					}
					if i < M-1 {
						require.Equal(t, before[i*(cols+1)+cols], c[i*(cols+1)+cols], "%s: wrote between rows", what)
					}
				}
			}
		}
	})
}

// TestPackPanel packs from both orders of storage and both element types; what it writes beyond the panel stays within the spill.
func TestPackPanel(t *testing.T) {
	eachLevel(t, func(t *testing.T) {
		r := rand.New(rand.NewPCG(3, 4))
		for range 600 {
			width := []int{activeTiler().rows, activeTiler().cols, activeTiler().forColumns(1).rows, activeTiler().forColumns(1).cols}[r.IntN(4)]
			cols, k, k0, j0 := 1+r.IntN(width), r.IntN(40), r.IntN(3), r.IntN(3)
			x := operand{row: j0 + cols + r.IntN(12), col: 1}
			size := (k0+k-1)*x.row + j0 + cols
			if r.IntN(2) == 0 {
				x = operand{row: 1, col: k0 + k + r.IntN(12)}
				size = (j0+cols-1)*x.col + k0 + k
			}
			src, srcIntact := fenced(t, r, max(size, 1))
			if x.full = src; r.IntN(3) == 0 {
				x.full, x.half = nil, halves(src)
			}
			dst, dstIntact := fenced(t, r, k*width+spill)
			packPanel(dst, &x, k0, k, j0, j0+cols, width)
			what := fmt.Sprintf("%d rows of %d columns, width %d, strides %d %d, bfloat16 %v", k, cols, width, x.row, x.col, x.half != nil)
			srcIntact(what)
			dstIntact(what)
			for p := range k {
				for j := range cols {
					require.Equal(t, src[(k0+p)*x.row+(j0+j)*x.col], dst[p*width+j], "%s: element %d %d", what, p, j)
				}
			}
		}
	})
}

// TestThinKernels runs the kernels for few rows directly.
func TestThinKernels(t *testing.T) {
	eachLevel(t, func(t *testing.T) {
		th := skinnies[vectorLevel()]
		if th == nil {
			return
		}
		r := rand.New(rand.NewPCG(5, 6))
		for round := range 200 {
			m := 1 + round%3
			n, k := 4*(1+r.IntN(5)), th.floats*(1+r.IntN(5))
			bRow := k + r.IntN(3)
			switch round % 4 {
			case 1:
				k *= 2
				bRow = k + r.IntN(3)
			case 2, 3:
				n, k = th.floats*(1+r.IntN(5)), th.step[m-1]*(1+r.IntN(5))
				bRow = n + r.IntN(3)
			}
			a, aIntact := fenced(t, r, m*k)
			specials(r, a)
			b, bIntact := fenced(t, r, max(n, k)*bRow)
			c, cIntact := fenced(t, r, m*(n+2))
			before := slices.Clone(c)
			pairs := make([]float32, m*k)
			at := func(p, j int) float64 { return float64(b[j*bRow+p]) }
			switch round % 4 {
			case 0:
				if m == 1 && n%8 == 0 {
					th.dots8(n/8, k, &a[0], k, &b[0], bRow, n/8*bRow, &c[0], n+2, n/8)
				} else {
					th.dots[m-1](n/4, k, &a[0], k, &b[0], bRow, n/4*bRow, &c[0], n+2, n/4)
				}
			case 1:
				h := halves(b)
				for i := range m * k { // even places first
					p, floats := i%k, th.floats
					pairs[i/k*k+p/(2*floats)*2*floats+p%2*floats+p%(2*floats)/2] = a[i]
				}
				if m == 1 && n%8 == 0 {
					th.dotsHalf8(n/8, k, &pairs[0], k, &h[0], bRow, n/8*bRow, &c[0], n+2, n/8)
				} else {
					th.dotsHalf[m-1](n/4, k, &pairs[0], k, &h[0], bRow, n/4*bRow, &c[0], n+2, n/4)
				}
			default:
				at = func(p, j int) float64 { return float64(b[p*bRow+j]) }
				th.update[m-1](n, k, &a[0], k, 1, &b[0], bRow, &c[0], n+2)
			}
			what := fmt.Sprintf("kernel %d of %d rows, n %d, k %d", round%4, m, n, k)
			for _, f := range []func(string){aIntact, bIntact, cIntact} {
				f(what)
			}
			for i := range m {
				for j := range n {
					sum := 0.0
					if round%4 > 1 {
						sum = float64(before[i*(n+2)+j])
					}
					magnitude := math.Abs(sum)
					for p := range k {
						term := float64(a[i*k+p]) * at(p, j)
						sum, magnitude = sum+term, magnitude+math.Abs(term)
					}
					require.True(t, near(c[i*(n+2)+j], sum, magnitude), "%s: element %d %d is %v, want %v", what, i, j, c[i*(n+2)+j], sum)
				}
				require.Equal(t, before[i*(n+2)+n:][:2], c[i*(n+2)+n:][:2], "%s: wrote between rows", what)
			}
		}
	})
}
