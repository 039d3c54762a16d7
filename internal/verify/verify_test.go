package verify

import (
	"math"
	"testing"

	"github.com/stretchr/testify/require"
)

func TestComparisons(t *testing.T) {
	want := []float64{3, 4, 0}
	require.True(t, Absolute("x", []float64{3, 4.1, 0}, want, 0.11).Pass)
	require.False(t, Absolute("x", []float64{3, 4.1, 0}, want, 0.09).Pass)
	require.False(t, Absolute("x", want[:2], want, 1).Pass)
	require.False(t, Absolute("x", []float64{3, 4, math.NaN()}, want, 1).Pass)
	require.True(t, Relative("x", []float64{3.03, 4, 0}, want, 0.011).Pass)
	require.False(t, Relative("x", []float64{3.03, 4, 1e-9}, want, 0.011).Pass)

	n := Norm("x", []float64{3, 4.1, 0}, want, 0.02, 0)
	require.True(t, n.Pass)
	require.InDelta(t, 0.02, n.MaxRel, 1e-9)
	require.False(t, Norm("x", []float64{3, 4.11, 0}, want, 0.02, 0).Pass)
	require.True(t, Norm("x", []float64{3, 4.11, 0}, want, 0.02, 0.02).Pass)
	floor := Norm("x", []float64{1e-7}, []float64{0}, 1e-3, 1e-6)
	require.True(t, floor.Pass)
	require.Less(t, floor.MaxRel, 1e-3, "what rounding leaves of a zero gradient is within the tolerance that is printed")

	require.True(t, IDs("x", [][]int32{{1, 2}}, [][]int32{{1, 2}}).Pass)
	require.False(t, IDs("x", [][]int32{{1, 2}}, [][]int32{{1, 3}}).Pass)
	require.False(t, IDs("x", [][]int32{{1, 2}}, [][]int32{{1, 2}, {3}}).Pass)
}

func TestSums(t *testing.T) {
	r := Result{Verdict: "FAIL"}
	rows := []Row{{What: "a: logits", MaxAbs: 1e-6, Tolerance: 1e-4, Pass: true}, {What: "a: gradient: w", MaxRel: math.Inf(1), Tolerance: 1e-3, Relative: true, Detail: "far off"}}
	r.sum(rows, true)
	require.False(t, r.Pass())
	require.Equal(t, "2 results: logits, gradient", r.What)
	require.Equal(t, "a: gradient: w: far off", r.Note)
	require.Equal(t, 1e-6, r.MaxAbs)
	require.Equal(t, math.MaxFloat64, r.MaxRel, "JSON has no infinity")
}

func TestInside(t *testing.T) {
	for _, name := range []string{"../x", "/x", "a/../../x", ""} {
		_, err := Inside("dir", name)
		require.Error(t, err, name)
	}
	p, err := Inside("dir", "layouts/openai")
	require.NoError(t, err)
	require.Equal(t, "dir/layouts/openai", p)
}
