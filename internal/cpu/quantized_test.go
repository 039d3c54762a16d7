package cpu

import (
	"fmt"
	"math"
	"math/rand/v2"
	"runtime"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/gollava/gollava/internal/backend"
)

// A product with rounded activations is that of the rounded values, at odd sizes, with all that may follow it.
func TestRoundedProducts(t *testing.T) {
	dev, r := New(), rand.New(rand.NewPCG(3, 4))
	normal := func(n int) *backend.Buffer {
		b := dev.Alloc(backend.Float32, n)
		for i := range b.Float32() {
			b.Float32()[i] = float32(r.NormFloat64())
		}
		return b
	}
	tested := 0
	for dt := backend.DType(0); dt < 64; dt++ {
		if dt.Blocks() == nil || kernelsOf(dt) == nil {
			continue
		}
		tested++
		for _, m := range []int{1, 2, 3, 5, 17, 33} {
			for _, n := range []int{1, 3, 8, 17, 67} {
				k := dt.Blocks().Length * (1 + r.IntN(1+1200/dt.Blocks().Length))
				w, x, bias, c := dev.Alloc(dt, n*k), normal(m*k), normal(n), normal(m*n)
				dev.Cast(w, normal(n*k))
				wide := make([]float32, n*k)
				w.Decode(wide, 0)
				p := backend.MatMul{A: x, B: w, C: c, M: m, N: n, K: k, BT: true, Batch: 1, Rounded: true}
				before := append([]float32(nil), c.Float32()...)
				if p.Accumulate = r.IntN(2) == 0; !p.Accumulate {
					p.Bias, p.Act, p.Pre = bias, backend.SiLU, dev.Alloc(backend.Float32, m*n)
				}
				dev.MatMul(&p)
				q, d, s := make([]int8, k), make([]float32, k/32), make([]float32, k/32)
				for i := range m {
					roundRow(q, d, s, x.Float32()[i*k:][:k])
					for j := range n {
						want, size, exact := 0.0, 0.0, 0.0
						for e := range k {
							term := float64(wide[j*k+e]) * float64(d[e/32]) * float64(q[e])
							want += term
							size += math.Abs(term)
							exact += float64(wide[j*k+e]) * float64(x.Float32()[i*k+e])
						}
						require.InDelta(t, exact, want, 0.02*size/math.Sqrt(float64(k))*8, "rounding itself")
						o := i*n + j
						switch {
						case p.Accumulate:
							require.InDelta(t, want+float64(before[o]), c.Float32()[o], 1e-5*size+1e-6, "%v [%d %d %d]", dt, m, n, k)
						default:
							want += float64(bias.Float32()[j])
							require.InDelta(t, want, p.Pre.Float32()[o], 1e-5*size+1e-5, "%v [%d %d %d]", dt, m, n, k)
							require.InDelta(t, want/(1+math.Exp(-want)), c.Float32()[o], 2e-5*size+1e-5, "%v [%d %d %d]", dt, m, n, k)
						}
					}
				}
			}
		}
	}
	want := map[string]int{"amd64": 10, "arm64": 5}[runtime.GOARCH]
	if want > 0 && kernelsOf(backend.Q8_0) != nil {
		require.Equal(t, want, tested)
	}
}

// Sums of eight bits overflow nowhere, with codes at both ends of every type's range.
func TestRoundedProductsOfExtremes(t *testing.T) {
	dev := New()
	const most, n, k = 7, 19, 512
	signs := func(rows, odd int) *backend.Buffer {
		b := dev.Alloc(backend.Float32, rows*k)
		for i := range rows {
			for e := range k {
				v := float32(1 - 2*(i&1))
				if e%32 == 3*i%32 && i >= odd { // so that blocks with a minimum have one
					v = -v
				}
				b.Float32()[i*k+e] = v
			}
		}
		return b
	}
	for dt := backend.DType(0); dt < 64; dt++ {
		if dt.Blocks() == nil || kernelsOf(dt) == nil {
			continue
		}
		w, x := dev.Alloc(dt, n*k), signs(most, 4)
		dev.Cast(w, signs(n, 2))
		wide := make([]float32, n*k)
		w.Decode(wide, 0)
		products := func(from, m int) {
			c := dev.Alloc(backend.Float32, m*n)
			dev.MatMul(&backend.MatMul{A: x.Slice(from*k, m*k), B: w, C: c, M: m, N: n, K: k, BT: true, Batch: 1,
				Rounded: true})
			for i := range m {
				for j := range n {
					want := 0.0
					for e := range k { // ±1 are rounded exactly
						want += float64(wide[j*k+e]) * float64(x.Float32()[(from+i)*k+e])
					}
					require.InDelta(t, want, c.Float32()[i*n+j], 1e-5*k, "%v [%d %d]", dt, from+i, j)
				}
			}
		}
		products(0, most)
		for i := range most {
			products(i, 1) // which has kernels of its own
		}
	}
}

// Panels of sixteen rows for VPDPBUSD give the bits of those of eight.
func TestRoundedProductsOfLevels(t *testing.T) {
	if kernelsOf(backend.Q8_0) == nil || kernelsOf(backend.Q8_0).wide == nil {
		t.Skip("the active level has no panels of sixteen rows")
	}
	dev, r := New(), rand.New(rand.NewPCG(7, 8))
	for dt := backend.DType(0); dt < 64; dt++ {
		if dt.Blocks() == nil || kernelsOf(dt) == nil {
			continue
		}
		for _, m := range []int{3, 4, 7, 33} {
			for _, n := range []int{1, 3, 15, 16, 17, 33, 100} {
				k := dt.Blocks().Length * (1 + r.IntN(2400/dt.Blocks().Length))
				x, wide := dev.Alloc(backend.Float32, m*k), dev.Alloc(backend.Float32, n*k)
				for i, b := range []*backend.Buffer{x, wide} {
					for e := range b.Float32() {
						if b.Float32()[e] = float32(r.NormFloat64()); r.IntN(1+m/2) == i { // at the ends of the range
							b.Float32()[e] = float32(4 - 8*r.IntN(2))
						}
					}
				}
				w, bias := dev.Alloc(dt, n*k), dev.Alloc(backend.Float32, n)
				dev.Cast(w, wide)
				product := func() []float32 {
					p := backend.MatMul{A: x, B: w, C: dev.Alloc(backend.Float32, m*n), M: m, N: n, K: k, BT: true, Batch: 1,
						Rounded: true}
					if m%2 == 1 {
						p.Bias = bias
					}
					dev.MatMul(&p)
					return p.C.Float32()
				}
				got := product()
				restore := useLevel(avx2)
				want := product()
				restore()
				require.Equal(t, want, got, "%v [%d %d %d]", dt, m, n, k)
			}
		}
	}
}

// Rounding takes the largest magnitude to 127, ties to even, and zeros to zeros.
func TestRoundRow(t *testing.T) {
	x := make([]float32, 64)
	x[3], x[40], x[41], x[42] = -12.7, 254, 3, -1
	q, d, s := make([]int8, 64), make([]float32, 2), make([]float32, 2)
	roundRow(q, d, s, x)
	require.InDelta(t, 0.1, d[0], 1e-6)
	require.Equal(t, []int8{0, 0, 0, -127}, q[:4])
	require.InDelta(t, -12.7, s[0], 1e-5)
	require.Equal(t, []int8{127, 2, 0}, q[40:43]) // ties to even: 1.5 and −0.5
	require.InDelta(t, 258, s[1], 1e-5)
	clear(x)
	roundRow(q, d, s, x)
	require.Equal(t, make([]int8, 64), q)
	require.Equal(t, []float32{0, 0}, d)
}

// Blocks are rounded as the Go loop does it.
func TestRoundBlocks(t *testing.T) {
	r := rand.New(rand.NewPCG(5, 6))
	for _, n := range []int{0, 1, 3, 17} {
		x := make([]float32, 32*n+1)
		for i := range x {
			x[i] = float32(r.NormFloat64() * math.Exp(20*r.NormFloat64()))
			if i/32%5 == 2 {
				x[i] = float32(i%2) * 0x1p-130
			} else if i/32%5 == 4 {
				x[i] = float32(i%9) - 4 // ties
			}
		}
		q, d, s := make([]int8, 32*n+1), make([]float32, n+1), make([]float32, n+1)
		q[32*n], d[n], s[n] = 7, 7, 7
		roundBlocks(n, q, d, s, x)
		wantQ, wantD, wantS := make([]int8, 32*n), make([]float32, n), make([]float32, n)
		roundRow(wantQ, wantD, wantS, x[:32*n])
		require.Equal(t, append(wantQ, 7), q)
		require.Equal(t, append(wantD, 7), d)
		require.Equal(t, append(wantS, 7), s)
	}
	for _, bad := range []float32{float32(math.NaN()), float32(math.Inf(-1))} {
		q, d, s, x := make([]int8, 32), make([]float32, 1), make([]float32, 1), make([]float32, 32)
		x[7] = bad
		roundBlocks(1, q, d, s, x)
		require.False(t, d[0]-d[0] == 0, "%v became %v", bad, d[0])
	}
}

func BenchmarkBlocks(b *testing.B) {
	dev, r := New(), rand.New(rand.NewPCG(3, 4))
	const n, k = 2048, 2048
	x, c, wide := dev.Alloc(backend.Float32, 128*k), dev.Alloc(backend.Float32, 128*n), dev.Alloc(backend.Float32, n*k)
	for i := range wide.Float32() {
		wide.Float32()[i] = float32(r.NormFloat64())
	}
	copy(x.Float32(), wide.Float32())
	for _, dt := range []backend.DType{backend.Q8_0, backend.Q4_0, backend.Q4_1, backend.Q4_K, backend.Q6_K} {
		w := dev.Alloc(dt, n*k)
		dev.Cast(w, wide)
		for _, m := range []int{0, 1, 4, 16, 128} { // rows; 0: one that is not rounded
			name, rows, rounded := fmt.Sprintf("%v/rounded-%d", dt, m), m, true
			if m == 0 {
				name, rows, rounded = dt.String(), 1, false
			}
			b.Run(name, func(b *testing.B) {
				p := backend.MatMul{A: x, B: w, C: c, M: rows, N: n, K: k, BT: true, Batch: 1, Rounded: rounded}
				b.SetBytes(int64(dt.Bytes(n * k)))
				for range b.N {
					dev.MatMul(&p)
				}
			})
		}
	}
}
