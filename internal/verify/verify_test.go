package verify

import (
	"math"
	"os"
	"path/filepath"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/gollava/gollava/internal/safetensors"
	"github.com/gollava/gollava/tensor"
)

func TestComparisons(t *testing.T) {
	want := []float64{3, 4, 0}
	require.True(t, absolute("x", []float64{3, 4.1, 0}, want, 0.11).Pass)
	require.False(t, absolute("x", []float64{3, 4.1, 0}, want, 0.09).Pass)
	require.False(t, absolute("x", want[:2], want, 1).Pass)
	require.False(t, absolute("x", []float64{3, 4, math.NaN()}, want, 1).Pass)
	require.True(t, relative("x", []float64{3.03, 4, 0}, want, 0.011).Pass)
	require.False(t, relative("x", []float64{3.03, 4, 1e-9}, want, 0.011).Pass)

	n := norm("x", []float64{3, 4.1, 0}, want, 0.02, 0)
	require.True(t, n.Pass)
	require.InDelta(t, 0.02, n.MaxRel, 1e-9)
	require.False(t, norm("x", []float64{3, 4.11, 0}, want, 0.02, 0).Pass)
	require.True(t, norm("x", []float64{3, 4.11, 0}, want, 0.02, 0.02).Pass)
	floor := norm("x", []float64{1e-7}, []float64{0}, 1e-3, 1e-6)
	require.True(t, floor.Pass)
	require.Less(t, floor.MaxRel, 1e-3, "what rounding leaves of a zero gradient is within the tolerance that is printed")

	infinite := []float64{math.Inf(1), 1} // a tolerance in parts of it would allow anything
	require.False(t, absolute("x", want[:2], infinite, 1).Pass)
	require.False(t, relative("x", want[:2], infinite, 1).Pass)
	require.False(t, norm("x", want[:2], infinite, 1, 0).Pass)
	require.False(t, relative("x", want[:2], want, 1).Pass, "other numbers of them")
	require.False(t, norm("x", want[:2], want, 1, 1).Pass)

	for _, empty := range [][]float64{nil, {}} {
		require.Equal(t, "no numbers to compare", absolute("x", nil, empty, 1).Detail)
		require.False(t, absolute("x", nil, empty, math.Inf(1)).Pass)
		require.False(t, relative("x", empty, nil, 1).Pass)
		require.False(t, norm("x", nil, empty, 1, 1).Pass)
	}
	require.False(t, sameIDs("x", nil, nil).Pass)

	require.True(t, sameIDs("x", [][]int32{{1, 2}}, [][]int32{{1, 2}}).Pass)
	require.False(t, sameIDs("x", [][]int32{{1, 2}}, [][]int32{{1, 3}}).Pass)
	require.False(t, sameIDs("x", [][]int32{{1, 2}}, [][]int32{{1, 2}, {3}}).Pass)
}

// With products in bfloat16 a result may be some per cent of its norm off, whatever its case allows.
func TestWithin(t *testing.T) {
	want := []float64{30, 40, 0}
	for _, autocast := range []bool{false, true} {
		r := &Report{autocast: autocast}
		r.within("exact", want, want, 1e-4)
		r.within("rounded", []float64{30, 41, 0}, want, 1e-4)
		r.within("wrong", []float64{30, 43, 0}, want, 1e-4)
		r.within("infinite", []float64{30, 40, math.Inf(1)}, want, 1e-4)
		var pass []bool
		for _, row := range r.rows {
			pass = append(pass, row.Pass)
		}
		require.Equal(t, []bool{true, autocast, false, false}, pass)
	}
}

// Gradients that only the file or only the model has are named, and the first kind fails.
func TestGradientsOfOneSide(t *testing.T) {
	path := filepath.Join(t.TempDir(), "expected.safetensors")
	one := []byte{0, 0, 128, 63}
	require.NoError(t, safetensors.Write(path, []safetensors.Tensor{
		{Name: "grad.both", DType: "F32", Shape: []int{1}, Write: safetensors.Bytes(one)},
		{Name: "grad.theirs", DType: "F32", Shape: []int{1}, Write: safetensors.Bytes(one)},
		{Name: "grad.empty", DType: "F32", Shape: []int{0}, Write: safetensors.Bytes(nil)},
	}, nil))
	f, err := safetensors.Open(path)
	require.NoError(t, err)
	defer f.Close()
	params := map[string]*tensor.Tensor{}
	for _, name := range []string{"both", "ours"} {
		params[name] = tensor.Full(1, 1).Param()
		params[name].Sum().Backward()
	}
	params["frozen"] = tensor.Full(1, 1)
	r := &Report{expected: expected{File: f}}
	r.gradientsOf(params, nil)
	said := map[string]bool{}
	for _, row := range r.rows {
		said[row.What+": "+row.Detail] = row.Pass
	}
	require.Equal(t, map[string]bool{"gradient: both: 1 numbers": true,
		"gradient: theirs: it is recorded, and the model has none": false,
		"gradient: empty: it is recorded, and the model has none":  false,
		"gradients without a record: 1 not compared: ours":         true}, said)
}

func TestSums(t *testing.T) {
	r := Result{Verdict: "FAIL"}
	rows := []Row{{What: "a: logits", MaxAbs: 1e-6, Tolerance: 1e-4, Pass: true},
		{What: "a: gradient: w", MaxRel: math.Inf(1), Tolerance: 1e-3, Relative: true, Detail: "far off"}}
	r.sum(rows, true)
	require.False(t, r.Pass())
	require.Equal(t, "2 results: logits, gradient", r.What)
	require.Equal(t, "a: gradient: w: far off", r.Note)
	require.Equal(t, 1e-6, r.MaxAbs)
	require.Equal(t, math.MaxFloat64, r.MaxRel, "JSON has no infinity")
}

func TestInside(t *testing.T) {
	for _, name := range []string{"../x", "/x", "a/../../x", ""} {
		require.ErrorContains(t, catch(func() { inside("dir", name) }), "leads out", name)
	}
	require.Equal(t, "dir/layouts/openai", inside("dir", "layouts/openai"))
}

// A fault of ours in one case must not hide the others.
func TestPanicFailsTheCaseOnly(t *testing.T) {
	dir := t.TempDir()
	require.NoError(t, os.WriteFile(filepath.Join(dir, "case.json"), []byte(`{"format": 1, "task": "boom"}`), 0o644))
	r := run(dir, map[string]task{"boom": whole(func(*Report, struct{}) { panic("boom") })}, false)
	require.False(t, r.Pass())
	require.Regexp(t, `^panic: boom at internal/verify\.TestPanic.* \(verify_test\.go:\d+\)$`, r.Note)
}

// What ends a part of a case early is a row; the rest is still compared.
func TestTry(t *testing.T) {
	r := &Report{Dir: "dir", expected: expected{File: new(safetensors.File)}}
	r.try("first", func() { failf("no %s", "weights") })
	r.try("second", func() { r.tensor("in.x") })
	r.add(holds("third", true, ""))
	require.Len(t, r.rows, 3)
	require.Equal(t, Row{What: "first", Detail: "no weights"}, r.rows[0])
	require.False(t, r.rows[1].Pass)
	require.True(t, r.rows[2].Pass)
}
