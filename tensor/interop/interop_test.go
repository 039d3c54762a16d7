package interop_test

import (
	"testing"

	"github.com/stretchr/testify/require"
	dense "gorgonia.org/tensor"

	"github.com/gollava/gollava/tensor"
	"github.com/gollava/gollava/tensor/interop"
)

func TestDenseSharesMemory(t *testing.T) {
	d := dense.New(dense.WithShape(3, 5), dense.WithBacking(make([]float32, 15)))
	x := interop.FromDense(d)
	require.Equal(t, []int{3, 5}, x.Shape())
	d.Set(7, float32(2))
	require.Equal(t, float32(2), x.Data()[7])
	x.Data()[8] = 3
	v, err := d.At(1, 3)
	require.NoError(t, err)
	require.Equal(t, float32(3), v)

	back := interop.ToDense(x)
	require.Same(t, &d.Float32s()[0], &back.Float32s()[0])
	require.Equal(t, dense.Shape{3, 5}, back.Shape())

	ids := interop.FromDense(dense.New(dense.WithShape(3), dense.WithBacking([]int32{4, 0, 9})))
	require.Equal(t, []int32{4, 0, 9}, ids.IntData())
	require.Equal(t, []int32{4, 0, 9}, interop.ToDense(ids).Int32s())

	scalar := interop.FromDense(dense.New(dense.FromScalar(float32(2.5))))
	require.Zero(t, scalar.Rank())
	require.Equal(t, float32(2.5), scalar.Item())
	require.Equal(t, float32(2.5), interop.ToDense(scalar).Data())
}

func TestDenseViews(t *testing.T) {
	backing := make([]float32, 20)
	for i := range backing {
		backing[i] = float32(i)
	}
	d := dense.New(dense.WithShape(4, 5), dense.WithBacking(backing))
	rows, err := d.Slice(dense.S(1, 3))
	require.NoError(t, err)
	require.Equal(t, backing[5:15], interop.FromDense(rows.(*dense.Dense)).Data())

	columns, err := d.Slice(nil, dense.S(1, 3))
	require.NoError(t, err)
	require.ErrorContains(t, tensor.Catch(func() { interop.FromDense(columns.(*dense.Dense)) }), "call Materialize first")
	require.Equal(t, []float32{1, 2, 6, 7, 11, 12, 16, 17}, interop.FromDense(columns.Materialize().(*dense.Dense)).Data())

	require.NoError(t, d.T())
	require.ErrorContains(t, tensor.Catch(func() { interop.FromDense(d) }), "float32 [5 4] with strides [1 5] is not contiguous and row-major")
}

func TestDenseMisuse(t *testing.T) {
	for want, f := range map[string]func(){
		"needs float32 or int32": func() { interop.FromDense(dense.New(dense.WithShape(2), dense.WithBacking([]float64{1, 2}))) },
		"the Dense is nil":       func() { interop.FromDense(nil) },
		"is masked": func() {
			interop.FromDense(dense.New(dense.WithShape(2), dense.WithBacking([]float32{1, 2}, []bool{true, false})))
		},
		"row-major":                func() { interop.FromDense(dense.New(dense.WithShape(2, 3), dense.AsFortran(make([]float32, 6)))) },
		"the tensor is nil":        func() { interop.ToDense(nil) },
		"Cast it to float32 first": func() { interop.ToDense(tensor.NewOf(tensor.BFloat16, 2)) },
		"has no elements":          func() { interop.ToDense(tensor.New(0, 2)) },
		"no storage":               func() { interop.ToDense(tensor.Meta(tensor.Float32, 2)) },
	} {
		require.ErrorContains(t, tensor.Catch(f), want)
	}
}

func TestToDenseSurvivesItsScope(t *testing.T) {
	var d *dense.Dense
	tensor.Scope(func(s *tensor.Arena) { d = interop.ToDense(tensor.Full(3, 33).In(s).Scale(2)) })
	tensor.Scope(func(s *tensor.Arena) { tensor.Full(1, 33).In(s).Scale(7) })
	for _, v := range d.Float32s() {
		require.Equal(t, float32(6), v)
	}
}
