package tensor_test

import (
	"math/rand/v2"
	"runtime"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/gollava/gollava/tensor"
)

// Products with a weight under autocast, and those of their gradients, are products of the operands rounded to
// bfloat16.
func TestAutocast(t *testing.T) {
	r := rand.New(rand.NewPCG(1, 2))
	rounded := func(x *tensor.Tensor) *tensor.Tensor { return x.Cast(tensor.BFloat16).Cast(tensor.Float32) }
	near := func(want, got *tensor.Tensor, what string) {
		t.Helper()
		require.Equal(t, want.Shape(), got.Shape())
		for i, v := range want.Data() {
			require.InDelta(t, v, got.Data()[i], 2e-6*40, "%s, element %d", what, i)
		}
	}
	for _, rows := range []int{1, 3, 17, 67, 131} {
		const in, out = 61, 37
		x, w := tensor.Randn(r, 1, rows, in).Param(), tensor.Randn(r, 1, out, in).Param()
		b := tensor.Randn(r, 1, out).Param()
		dy := tensor.Randn(r, 1, rows, out)
		plain := tensor.Linear(x, w, b, tensor.Identity)
		w.SetAutocast(true)
		require.True(t, w.NoGrad().Autocast())
		require.True(t, w.Detach().Autocast())
		for name, f := range map[string]func() *tensor.Tensor{
			"Linear":  func() *tensor.Tensor { return tensor.Linear(x, w, b, tensor.Identity) },
			"MatMulT": func() *tensor.Tensor { return x.MatMulT(w).Add(b) },
		} {
			y := f()
			require.NotEqual(t, plain.Data(), y.Data(), "it has an effect")
			near(rounded(x).MatMulT(rounded(w)).Add(b), y, name)
			x.ZeroGrad()
			w.ZeroGrad()
			y.Mul(dy).Sum().Backward()
			near(rounded(dy).MatMul(rounded(w)), x.Grad(), name+", dx")
			near(rounded(dy.Transpose(1, 0)).MatMul(rounded(x)), w.Grad(), name+", dw")
		}
		u := tensor.Randn(r, 1, in, out).Param()
		u.SetAutocast(true)
		y := x.MatMul(u)
		near(rounded(x).MatMul(rounded(u)), y, "MatMul")
		x.ZeroGrad()
		y.Mul(dy).Sum().Backward()
		near(rounded(dy).MatMulT(rounded(u)), x.Grad(), "MatMul, dx")
		near(rounded(x.Transpose(1, 0)).MatMul(rounded(dy)), u.Grad(), "MatMul, du")
	}
}

// Attention of what comes of products under autocast is under autocast, too, also behind RoPE and Reshape.
func TestAutocastAttention(t *testing.T) {
	r := rand.New(rand.NewPCG(3, 4))
	const T, H, D = 67, 2, 16
	x, w := tensor.Randn(r, 1, 1, T, H*D), tensor.Randn(r, 0.3, H*D, H*D).Param()
	cos, sin := tensor.Randn(r, 1, T, D/2), tensor.Randn(r, 1, T, D/2)
	norm := tensor.Randn(r, 1, D).Param()
	norm.SetAutocast(true) // it takes part in no product
	attend := func(half bool) []float32 {
		w.SetAutocast(half)
		q := tensor.Linear(x, w, nil, tensor.Identity).Reshape(1, T, H, D)
		w.SetAutocast(false)
		k := tensor.Linear(x, w, nil, tensor.Identity).Reshape(1, T, H, D)
		if !half { // the operands are the same: only attention differs
			w.SetAutocast(true)
			q = tensor.Linear(x, w, nil, tensor.Identity).Reshape(1, T, H, D)
			q = tensor.From(q.Data(), q.Shape()...)
		}
		return tensor.Attention(tensor.RoPE(q, cos, sin).Mul(norm), k, k, tensor.AttentionConfig{Causal: true}).Data()
	}
	full, half := attend(false), attend(true)
	for i, v := range full {
		require.InDelta(t, v, half[i], 0.1)
	}
	if tensor.FastBFloat16() && !strings.Contains(tensor.Unit(), "amx") {
		require.NotEqual(t, full, half)
	} else {
		require.Equal(t, full, half, "nothing is faster in bfloat16")
	}
}

// The loss from the last layer is what it is of logits under autocast.
func TestAutocastLoss(t *testing.T) {
	r := rand.New(rand.NewPCG(3, 4))
	x, w := tensor.Randn(r, 1, 33, 17).Param(), tensor.Randn(r, 0.3, 51, 17).Param()
	labels := make([]int, 33)
	for i := range labels {
		labels[i] = r.IntN(51)
	}
	for _, i := range []int{0, 7, 32} {
		labels[i] = tensor.IgnoreIndex
	}
	w.SetAutocast(true)
	want := tensor.CrossEntropy(x.MatMulT(w), tensor.Ints(labels, 33))
	want.Backward()
	dx, dw := x.Grad().Clone(), w.Grad().Clone()
	x.ZeroGrad()
	w.ZeroGrad()
	got := tensor.LinearCrossEntropy(x, w, tensor.Ints(labels, 33))
	got.Backward()
	require.InDelta(t, want.Item(), got.Item(), 1e-5)
	for i, v := range dx.Data() { // what is rounded, the logits' gradient, lies next to other numbers in either way
		require.InDelta(t, v, x.Grad().Data()[i], 1e-3)
	}
	for i, v := range dw.Data() {
		require.InDelta(t, v, w.Grad().Data()[i], 1e-3)
	}
	require.Equal(t, strings.Contains(tensor.Unit(), "amx") || strings.Contains(tensor.Unit(), "+bf16"),
		tensor.FastBFloat16())
	require.True(t, strings.HasPrefix(tensor.Unit(), runtime.GOARCH+"/"), tensor.Unit())
}
