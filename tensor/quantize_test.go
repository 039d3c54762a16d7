package tensor

import (
	"math/rand/v2"
	"testing"

	"github.com/stretchr/testify/require"
)

// blockTypes are those that can be written, with a length of rows that fits them.
var blockTypes = map[DType]int{Q8_0: 96, Q4_0: 32, Q4_1: 96, Q5_0: 32, Q5_1: 64, Q4_K: 256, Q5_K: 512, Q6_K: 256, IQ4_NL: 96,
	NF4: 33, FP4: 100, NF4D: 65, FP4D: 7, INT8: 96}

// A product with weights in blocks, its gradient with respect to the input, and rows of an embedding are those of the
// widened weights.
func TestBlocksComputeAsWidened(t *testing.T) {
	r := rand.New(rand.NewPCG(1, 2))
	for dt, in := range blockTypes {
		t.Run(dt.String(), func(t *testing.T) {
			const out, rows = 37, 11
			w := Randn(r, 0.3, out, in).Cast(dt)
			wide, bias := w.Cast(Float32), Randn(r, 1, out)
			x := Randn(r, 1, rows, in)
			labels := make([]int, rows)
			for i := range labels {
				labels[i] = r.IntN(out)
			}
			for name, f := range map[string]func(x, w *Tensor) *Tensor{
				"Linear":  func(x, w *Tensor) *Tensor { return Linear(x, w, bias, SiLU) },
				"MatMulT": func(x, w *Tensor) *Tensor { return x.MatMulT(w) },
				"LinearCrossEntropy": func(x, w *Tensor) *Tensor {
					return LinearCrossEntropy(x, w, Ints(labels, rows))
				},
			} {
				a, b := x.Clone().Param(), x.Clone().Param()
				y, want := f(a, w), f(b, wide)
				y, want = y.Keep(), want.Keep()
				g := Randn(r, 1, y.Shape()...)
				y.Mul(g).Sum().Backward()
				want.Mul(g).Sum().Backward()
				require.InDeltaSlice(t, want.Data(), y.Data(), 2e-4, name)
				require.InDeltaSlice(t, b.Grad().Data(), a.Grad().Data(), 2e-4, "gradient of "+name)
			}
			back := Randn(r, 1, rows, out)
			require.InDeltaSlice(t, back.MatMul(wide).Data(), back.MatMul(w).Data(), 2e-4, "MatMul")
			ids := Ints([]int{36, 0, 5, 5}, 2, 2)
			require.Equal(t, Gather(wide, ids).Data(), Gather(w, ids).Data(), "Gather")
			require.Equal(t, w.Bytes(), w.Clone().Bytes(), "Clone")
			require.Equal(t, wide.Data(), WrapBlocks(dt, w.Bytes(), out, in).Cast(Float32).Data())
		})
	}
}

// Misuse of blocks panics with what is wrong and what would do.
func TestBlockMisuse(t *testing.T) {
	w := New(4, 64).Cast(Q8_0)
	says := func(fn func()) string {
		err := Catch(fn)
		require.Error(t, err)
		return err.Error()
	}
	require.Contains(t, says(func() { New(4, 33).Cast(Q8_0) }), "multiple of 32")
	require.Contains(t, says(func() { NewOf(Q4_K, 4, 64) }), "multiple of 256")
	require.Contains(t, says(func() { New(4, 256).Cast(Q2_K) }), "can be read but not written")
	require.Contains(t, says(func() { w.Cast(BFloat16) }), "Q8_0")
	require.Contains(t, says(func() { w.Cast(Q4_0) }), "Q8_0")
	require.Contains(t, says(func() { w.Param() }), "adapters")
	require.Contains(t, says(func() { w.Data() }), "needs float32, got Q8_0")
	require.Contains(t, says(func() { w.Add(w) }), "Q8_0")
	require.Contains(t, says(func() { New(3, 64).RMSNorm(New(2, 32).Cast(Q8_0).Reshape(64), 1e-6) }), "RMSNorm")
	require.Contains(t, says(func() { WrapBlocks(Q8_0, make([]byte, 33), 1, 32) }), "takes 34")
	require.Contains(t, says(func() { WrapBlocks(Float32, nil, 0) }), "not stored in blocks")
	p := New(4, 64).Param()
	p.SetStorage(w)
	require.False(t, p.Trainable())
	require.Equal(t, "Q8_0", p.DType().String())
	dt, ok := ParseDType("q4_k")
	require.True(t, ok)
	require.Equal(t, Q4_K, dt)
	_, ok = ParseDType("q9_k")
	require.False(t, ok)
}
