package tensor_test

import (
	"fmt"
	"math/rand/v2"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/gollava/gollava/tensor"
	"github.com/gollava/gollava/tensor/tensortest"
)

// TestLinearSum: it is the sum of two Linears, with the gradients of theirs, for weights of each kind and at odd sizes.
func TestLinearSum(t *testing.T) {
	linear := func(x, w, b *tensor.Tensor) *tensor.Tensor { return tensor.Linear(x, w, b, tensor.Identity) }
	for _, dt := range []tensor.DType{tensor.Float32, tensor.BFloat16, tensor.Q8_0, tensor.NF4} {
		for _, rows := range []int{0, 1, 3, 17, 33} {
			r := rand.New(rand.NewPCG(5, uint64(rows)))
			const in, out, rank = 64, 37, 3
			x, u := tensor.Randn(r, 1, 1, rows, in).Param(), tensor.Randn(r, 1, 1, rows, rank).Param()
			w, v := tensor.Randn(r, 1, out, in).Cast(dt), tensor.Randn(r, 1, out, rank).Param()
			b, dy := tensor.Randn(r, 1, out).Param(), tensor.Randn(r, 1, 1, rows, out)
			learnt := []*tensor.Tensor{x, u, v, b}
			want := linear(x, w, b).Add(linear(u, v, nil))
			want.BackwardFrom(dy)
			var grads []*tensor.Tensor
			for _, p := range learnt {
				grads = append(grads, p.Grad().Clone())
				p.ZeroGrad()
			}
			got := tensor.LinearSum(x, w, b, u, v)
			got.BackwardFrom(dy)
			what := fmt.Sprintf("%v, %d rows", dt, rows)
			require.Equal(t, want.Shape(), got.Shape(), what)
			tensortest.Close(t, got, want, 1e-5, 1e-5)
			for i, p := range learnt {
				tensortest.Close(t, p.Grad(), grads[i], 1e-5, 1e-5)
			}
		}
	}
	x, w := tensor.New(2, 5), tensor.New(4, 5)
	for _, bad := range [][2]*tensor.Tensor{{tensor.New(3, 2), tensor.New(4, 2)}, {tensor.New(2, 2), tensor.New(3, 2)},
		{tensor.New(2, 2), tensor.New(4, 3)}} {
		require.ErrorContains(t, tensor.Catch(func() { tensor.LinearSum(x, w, nil, bad[0], bad[1]) }), "LinearSum")
	}
}
