package tensor

import (
	"testing"

	"github.com/stretchr/testify/require"
)

func TestCompact(t *testing.T) {
	x := From([]float32{1, 2, 3}, 3)
	var inner, y *Tensor
	Scope(func(s *Arena) {
		y = Compact(func(in []*Tensor) *Tensor {
			inner = in[0].Scale(2)
			return inner.Add(x)
		}, x.In(s))
		require.Equal(t, []float32{3, 6, 9}, y.Data())
		require.Panics(t, func() { inner.Data() }) // recycled
		view := Compact(func(in []*Tensor) *Tensor { return in[0].Scale(2).Reshape(3, 1) }, y)
		require.Equal(t, []float32{6, 12, 18}, view.Data())
		require.Same(t, s, view.Arena())
	})
	require.Panics(t, func() { y.Data() }) // it belonged to the outer scope

	w := From([]float32{1, 1, 1}, 3).Param()
	Scope(func(s *Arena) { // recorded: all stays until Backward
		z := Compact(func(in []*Tensor) *Tensor { return in[0].Mul(w).Exp() }, x.In(s))
		Compact(func(in []*Tensor) *Tensor { return in[0].Mul(in[0]).Sum() }, z).Backward()
		require.InDelta(t, 2*7.389056, w.Grad().Data()[0], 1e-4) // d/dw exp(2w) at 1
	})

	identity := func(in []*Tensor) *Tensor { return in[0] }
	require.NoError(t, Catch(func() { y = Compact(identity, x) })) // a leaf is nobody's
	require.Equal(t, []float32{1, 2, 3}, y.Data())
	require.Nil(t, y.Arena())
	require.Error(t, Catch(func() {
		Compact(func(in []*Tensor) *Tensor {
			inner = in[0].Scale(3)
			return inner.Add(From([]float32{1, 2}, 2))
		}, x)
	}))
	require.Panics(t, func() { inner.Data() })
	y = Compact(func(in []*Tensor) *Tensor { return in[0].Scale(5) }, x) // without a scope the garbage collector has it
	require.Equal(t, []float32{5, 10, 15}, y.Data())

	peak := func(f func(x *Tensor) *Tensor) (peak int64) {
		Scope(func(s *Arena) {
			f(New(1000).In(s))
			peak = s.Peak()
		})
		return peak
	}
	loose := peak(func(y *Tensor) *Tensor {
		for range 20 {
			y = y.Scale(2).Scale(3).Scale(4)
		}
		return y
	})
	var deep func(x *Tensor, n int) *Tensor
	deep = func(x *Tensor, n int) *Tensor {
		if n == 0 {
			return x
		}
		return Compact(func(in []*Tensor) *Tensor { return deep(in[0], n-1).Scale(2).Scale(3).Scale(4) }, x)
	}
	require.EqualValues(t, 60*4000, loose)
	require.EqualValues(t, 4*4000, peak(func(x *Tensor) *Tensor { return deep(x, 20) }))
}
