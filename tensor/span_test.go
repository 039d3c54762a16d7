package tensor_test

import (
	"math"
	"math/rand/v2"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/gollava/gollava/tensor"
)

// TestBackwardEach: each parameter's gradient is reported once, complete, and equals that of Backward; shared and
// recomputed ones too.
func TestBackwardEach(t *testing.T) {
	build := func() (ps []*tensor.Tensor, loss *tensor.Tensor) {
		r := rand.New(rand.NewPCG(1, 2))
		a, b, c, unused := tensor.Randn(r, 1, 5, 5).Param(), tensor.Randn(r, 1, 5, 5).Param(), tensor.Randn(r, 1,
			5).Param(), tensor.New(3).Param()
		x := tensor.Randn(r, 1, 7, 5)
		block := func(in []*tensor.Tensor) *tensor.Tensor { return tensor.Linear(in[0], a, c, tensor.GELU).MatMulT(b) }
		h := tensor.Checkpoint(block, tensor.Checkpoint(block, x.MatMulT(a)))
		return []*tensor.Tensor{a, b, c, unused}, h.MatMulT(b).Mul(h).Add(c).Mean()
	}
	want, loss := build()
	loss.Backward()
	ps, loss := build()
	got := map[*tensor.Tensor][]float32{}
	order := []int{}
	loss.BackwardEach(func(p *tensor.Tensor) {
		require.NotContains(t, got, p)
		got[p] = p.Grad().Clone().Data()
		for i := range ps {
			if ps[i] == p {
				order = append(order, i)
			}
		}
		p.ZeroGrad()
	})
	require.Equal(t, []int{1, 2, 0}, order, "b and c are last used in the first block, a before it")
	for i := range 3 {
		require.Equal(t, want[i].Grad().Data(), got[ps[i]])
		require.Nil(t, ps[i].Grad())
	}
	require.Len(t, got, 3)
}

func TestSpan(t *testing.T) {
	x := tensor.From([]int{0, 1, 2, 3, 4, 5}, 2, 3)
	s := x.Span(1, 5).Span(1, 3)
	require.Equal(t, []float32{2, 3}, s.Data())
	s.AddFrom(tensor.From([]int{10, 20}, 1, 2))
	x.Span(5, 6).Fill(-1)
	require.Equal(t, []float32{0, 1, 12, 23, 4, -1}, x.Data())
	require.Empty(t, x.Span(6, 6).Data())
	h := x.Cast(tensor.BFloat16).Clone()
	h.Span(0, 2).CopyFrom(tensor.From([]int{7, 8}, 2))
	require.Equal(t, []float32{7, 8, 12, 23, 4, -1}, h.Cast(tensor.Float32).Data())

	var late *tensor.Tensor
	tensor.Scope(func(s *tensor.Arena) { late = x.In(s).Scale(2).Span(0, 3) })
	require.ErrorContains(t, tensor.Catch(func() { late.Data() }), "was released")
	require.ErrorContains(t, tensor.Catch(func() { x.Span(2, 7) }), "[2, 7) of [2 3], which has 6 elements")
	require.ErrorContains(t, tensor.Catch(func() { x.AddFrom(s) }), "the lengths 6 and 2 differ")
	require.ErrorContains(t, tensor.Catch(func() { tensor.Ints([]int{1}, 1).Fill(0) }), "int32")
}

// TestSquareSums: the norm of a tensor and that of its parts have the same bits.
func TestSquareSums(t *testing.T) {
	r := rand.New(rand.NewPCG(3, 4))
	const block = 16384
	for _, n := range []int{1, 17, block, block + 1, 5*block + 33} {
		x := tensor.Randn(r, 1, n)
		var parts []*tensor.Tensor
		for at := 0; at < n; at += block {
			parts = append(parts, x.Span(at, min(n, at+block)))
		}
		sum := 0.0
		for _, s := range tensor.SquareSums(parts) {
			sum += s
		}
		require.Equal(t, tensor.GlobalNorm([]*tensor.Tensor{x}), math.Sqrt(sum), n)
	}
}
