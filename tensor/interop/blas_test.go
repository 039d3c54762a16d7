package interop_test

import (
	"math"
	"math/rand/v2"
	"sync"
	"testing"

	"github.com/stretchr/testify/require"
	"gonum.org/v1/gonum/blas"
	"gonum.org/v1/gonum/blas/blas32"
	"gonum.org/v1/gonum/blas/gonum"
	"gorgonia.org/gorgonia"
	dense "gorgonia.org/tensor"

	"github.com/gollava/gollava/tensor/interop"
)

var (
	_ blas.Float32  = interop.BLAS{}
	_ gorgonia.BLAS = interop.BLAS{}
)

func samples(r *rand.Rand, n int) []float32 {
	x := make([]float32, n)
	for i := range x {
		x[i] = float32(r.NormFloat64())
	}
	return x
}

func closeTo(t *testing.T, got, want []float32, tolerance float64) {
	t.Helper()
	require.Len(t, got, len(want))
	for i, g := range got {
		w := want[i]
		if !(math.Abs(float64(g-w)) <= tolerance*(1+math.Abs(float64(w)))) && !(g != g && w != w) {
			require.Failf(t, "differs", "element %d: got %v, want %v", i, g, w)
		}
	}
}

func TestSgemmEqualsGonum(t *testing.T) {
	r := rand.New(rand.NewPCG(1, 2))
	sides := []int{1, 2, 3, 17, 33, 67}
	for range 300 {
		m, n, k := sides[r.IntN(6)], sides[r.IntN(6)], sides[r.IntN(6)]
		tA, tB := []blas.Transpose{blas.NoTrans, blas.Trans, blas.ConjTrans}[r.IntN(3)], []blas.Transpose{blas.NoTrans, blas.Trans}[r.IntN(2)]
		alpha, beta := []float32{1, 1, 0, -0.5}[r.IntN(4)], []float32{0, 1, 0, 1, 2.5}[r.IntN(5)]
		gap := r.IntN(2) * r.IntN(4)
		aRows, aCols, bRows, bCols := m, k, k, n
		if tA != blas.NoTrans {
			aRows, aCols = k, m
		}
		if tB != blas.NoTrans {
			bRows, bCols = n, k
		}
		a, b := samples(r, aRows*(aCols+gap)), samples(r, bRows*(bCols+gap))
		c := samples(r, m*(n+gap))
		if beta == 0 {
			for i := range c {
				if i%(n+gap) < n {
					c[i] = float32(math.NaN())
				}
			}
		}
		want := append([]float32{}, c...)
		gonum.Implementation{}.Sgemm(tA, tB, m, n, k, alpha, a, aCols+gap, b, bCols+gap, beta, want, n+gap)
		interop.BLAS{}.Sgemm(tA, tB, m, n, k, alpha, a, aCols+gap, b, bCols+gap, beta, c, n+gap)
		closeTo(t, c, want, 3e-5)
	}
}

func TestSgemvEqualsGonum(t *testing.T) {
	r := rand.New(rand.NewPCG(3, 4))
	for range 100 {
		m, n := 1+r.IntN(120), 1+r.IntN(120)
		tA := []blas.Transpose{blas.NoTrans, blas.Trans}[r.IntN(2)]
		alpha, beta := []float32{1, 1, 2}[r.IntN(3)], []float32{0, 1, 0.5}[r.IntN(3)]
		lda, step := n+r.IntN(2), 1+r.IntN(2)
		inner, outer := n, m
		if tA == blas.Trans {
			inner, outer = m, n
		}
		a, x, y := samples(r, m*lda), samples(r, inner*step), samples(r, outer)
		want := append([]float32{}, y...)
		gonum.Implementation{}.Sgemv(tA, m, n, alpha, a, lda, x, step, beta, want, 1)
		interop.BLAS{}.Sgemv(tA, m, n, alpha, a, lda, x, step, beta, y, 1)
		closeTo(t, y, want, 3e-5)
	}
}

func TestSgemmPanicsAsGonum(t *testing.T) {
	big := make([]float32, 1<<12)
	for name, call := range map[string]func(g blas.Float32){
		"short A": func(g blas.Float32) {
			g.Sgemm(blas.NoTrans, blas.NoTrans, 64, 64, 64, 1, big[:9], 64, big, 64, 0, big, 64)
		},
		"short C": func(g blas.Float32) {
			g.Sgemm(blas.NoTrans, blas.Trans, 64, 64, 64, 1, big, 64, big, 64, 0, big[:99], 64)
		},
		"leading B":     func(g blas.Float32) { g.Sgemm(blas.NoTrans, blas.NoTrans, 64, 64, 64, 1, big, 64, big, 63, 0, big, 64) },
		"transpose":     func(g blas.Float32) { g.Sgemm('?', blas.NoTrans, 64, 64, 64, 1, big, 64, big, 64, 0, big, 64) },
		"negative":      func(g blas.Float32) { g.Sgemm(blas.NoTrans, blas.NoTrans, -1, 64, 64, 1, big, 64, big, 64, 0, big, 64) },
		"short x":       func(g blas.Float32) { g.Sgemv(blas.NoTrans, 64, 64, 1, big, 64, big[:3], 1, 0, big, 1) },
		"zero stride":   func(g blas.Float32) { g.Sgemv(blas.Trans, 64, 64, 1, big, 64, big, 0, 0, big, 1) },
		"short A for y": func(g blas.Float32) { g.Sgemv(blas.Trans, 64, 64, 1, big[:99], 64, big, 1, 0, big, 1) },
	} {
		said := func(g blas.Float32) (v any) {
			defer func() { v = recover() }()
			call(g)
			return nil
		}
		require.NotNil(t, said(interop.BLAS{}), name)
		require.Equal(t, said(gonum.Implementation{}), said(interop.BLAS{}), name)
	}
}

func TestUse(t *testing.T) {
	interop.Use()
	defer func() {
		blas32.Use(gonum.Implementation{})
		gorgonia.Use(gonum.Implementation{})
	}()
	require.IsType(t, interop.BLAS{}, blas32.Implementation())
	require.IsType(t, interop.BLAS{}, gorgonia.WhichBLAS())
	require.IsType(t, interop.BLAS{}, dense.WhichBLAS())

	r := rand.New(rand.NewPCG(5, 6))
	a, b := samples(r, 33*17), samples(r, 17*65)
	want := make([]float32, 33*65)
	gonum.Implementation{}.Sgemm(blas.NoTrans, blas.NoTrans, 33, 65, 17, 1, a, 17, b, 65, 0, want, 65)

	c := blas32.General{Rows: 33, Cols: 65, Stride: 65, Data: make([]float32, 33*65)}
	blas32.Gemm(blas.NoTrans, blas.NoTrans, 1, blas32.General{Rows: 33, Cols: 17, Stride: 17, Data: a}, blas32.General{Rows: 17, Cols: 65, Stride: 65, Data: b}, 0, c)
	closeTo(t, c.Data, want, 3e-5)

	y, err := dense.MatMul(dense.New(dense.WithShape(33, 17), dense.WithBacking(a)), dense.New(dense.WithShape(17, 65), dense.WithBacking(b)))
	require.NoError(t, err)
	closeTo(t, y.Data().([]float32), want, 3e-5)
}

func TestSgemmFromManyGoroutines(t *testing.T) {
	r := rand.New(rand.NewPCG(7, 8))
	a, b := samples(r, 40*40), samples(r, 40*40)
	want := make([]float32, 40*40)
	gonum.Implementation{}.Sgemm(blas.NoTrans, blas.Trans, 40, 40, 40, 1, a, 40, b, 40, 0, want, 40)
	results := make([][]float32, 8)
	var wg sync.WaitGroup
	for i := range results {
		results[i] = make([]float32, 40*40)
		wg.Go(func() {
			interop.BLAS{}.Sgemm(blas.NoTrans, blas.Trans, 40, 40, 40, 1, a, 40, b, 40, 0, results[i], 40)
		})
	}
	wg.Wait()
	for _, c := range results {
		closeTo(t, c, want, 3e-5)
	}
}

func BenchmarkSgemm512(b *testing.B) {
	r := rand.New(rand.NewPCG(9, 9))
	x, y, z := samples(r, 512*512), samples(r, 512*512), make([]float32, 512*512)
	for _, g := range []struct {
		name string
		blas.Float32
	}{{"ours", interop.BLAS{}}, {"gonum", gonum.Implementation{}}} {
		b.Run(g.name, func(b *testing.B) {
			for b.Loop() {
				g.Sgemm(blas.NoTrans, blas.NoTrans, 512, 512, 512, 1, x, 512, y, 512, 0, z, 512)
			}
			b.ReportMetric(2*512*512*512*float64(b.N)/b.Elapsed().Seconds()/1e9, "GFLOP/s")
		})
	}
}
