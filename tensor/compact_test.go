package tensor

import (
	"testing"

	"github.com/stretchr/testify/require"
)

func TestCompact(t *testing.T) {
	x := From([]float32{1, 2, 3}, 3)
	var inner, y *Tensor
	Scope(func() {
		y = Compact(func() *Tensor {
			inner = x.Scale(2)
			return inner.Add(x)
		})
		require.Equal(t, []float32{3, 6, 9}, y.Data())
		require.Panics(t, func() { inner.Data() }) // recycled
		view := Compact(func() *Tensor { return y.Scale(2).Reshape(3, 1) })
		require.Equal(t, []float32{6, 12, 18}, view.Data())
	})
	require.Panics(t, func() { y.Data() }) // it belonged to the outer scope

	w := From([]float32{1, 1, 1}, 3).Param()
	Scope(func() {
		z := Compact(func() *Tensor { return x.Mul(w).Exp() }) // recorded: all stays until Backward
		Compact(func() *Tensor { return z.Mul(z).Sum() }).Backward()
		require.InDelta(t, 2*7.389056, w.Grad().Data()[0], 1e-4) // d/dw exp(2w) at 1
	})

	require.NoError(t, Catch(func() { y = Compact(func() *Tensor { return x }) })) // a leaf is nobody's
	require.Equal(t, []float32{1, 2, 3}, y.Data())
	require.Error(t, Catch(func() { Compact(func() *Tensor { inner = x.Scale(3); return inner.Add(From([]float32{1, 2}, 2)) }) }))
	require.Panics(t, func() { inner.Data() })
	y = Compact(func() *Tensor { return x.Scale(5) }) // without a scope the garbage collector has it
	require.Equal(t, []float32{5, 10, 15}, y.Data())

	peak := func(f func() *Tensor) int64 { return PeakMemory(func() { Scope(func() { f() }) }) }
	big := New(1000)
	loose := peak(func() *Tensor {
		y := big
		for range 20 {
			y = y.Scale(2).Scale(3).Scale(4)
		}
		return y
	})
	var deep func(n int) *Tensor
	deep = func(n int) *Tensor {
		if n == 0 {
			return big
		}
		return Compact(func() *Tensor { return deep(n - 1).Scale(2).Scale(3).Scale(4) })
	}
	require.EqualValues(t, 60*4000, loose)
	require.EqualValues(t, 4*4000, peak(func() *Tensor { return deep(20) }))
}
