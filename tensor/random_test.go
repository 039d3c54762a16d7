package tensor_test

import (
	"math"
	"math/rand/v2"
	"runtime"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/gollava/gollava/tensor"
)

// TestRandn: the numbers do not depend on how many processors draw them, r goes on alike, and they are normal; up to
// 2²⁰ are r's own.
func TestRandn(t *testing.T) {
	draw := func(procs, n int) ([]float32, uint64) {
		defer runtime.GOMAXPROCS(runtime.GOMAXPROCS(procs))
		r := rand.New(rand.NewPCG(3, 4))
		return tensor.Randn(r, 0.5, n).Data(), r.Uint64()
	}
	const n = 3<<20 + 17
	one, next := draw(1, n)
	two, then := draw(2, n)
	require.Equal(t, one, two)
	require.Equal(t, next, then)
	for from := 0; from < n-17; from += 1 << 20 {
		sum, squares := 0.0, 0.0
		for _, v := range one[from : from+1<<20] {
			sum, squares = sum+float64(v), squares+float64(v)*float64(v)
		}
		require.InDelta(t, 0, sum/(1<<20), 0.003)
		require.InDelta(t, 0.5, math.Sqrt(squares/(1<<20)), 0.002)
	}
	require.NotEqual(t, one[:100], one[1<<20:1<<20+100])

	r := rand.New(rand.NewPCG(3, 4))
	few, _ := draw(2, 1<<20)
	for i := range few {
		require.Equal(t, float32(r.NormFloat64()*0.5), few[i])
	}
}
