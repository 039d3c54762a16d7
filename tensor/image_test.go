package tensor_test

import (
	"math"
	"math/rand/v2"
	"testing"

	"github.com/gollava/gollava/tensor"
	"github.com/stretchr/testify/require"
)

// apart is numbers in random order that are 0.1 apart, so that small steps change no order.
func apart(shape ...int) *T {
	t := tensor.New(shape...)
	for i, p := range rand.New(rand.NewPCG(3, 1)).Perm(t.Len()) {
		t.Data()[i] = float32(p)/10 - float32(t.Len())/20
	}
	return t.Param()
}

// points are (x, y) of a grid [1, 3, 2, 2], within and outside of a picture, and not where the slope changes.
func points() *T {
	return tensor.From([]float32{0.62, -0.57, -0.91, 0.9, 0.15, -0.13, 1.1, 0.08, -1.12, 0.44, 0.7, -1.07},
		1, 3, 2, 2).Param()
}

// imageCases are operations on pictures, and those that order and choose.
func imageCases() []gradientCase {
	sample := func(c tensor.GridSampleConfig) func(x []*T) *T {
		return func(x []*T) *T { return tensor.GridSample(x[0], x[1], c) }
	}
	ids := tensor.Ints([]int{2, 0, 1, 1, 2, 2, 0, 0, 1, 2, 1, 0}, 2, 2, 3)
	rows := tensor.Ints([]int{2, 0, 2, 1, 1, 0}, 2, 3)
	mask := tensor.From([]float32{1, 0, 0, 2, 1}, 5)
	return []gradientCase{
		{"GroupNorm", func(x []*T) *T { return x[0].GroupNorm(2, x[1], x[2], 0.1) },
			[]*T{normal(2, 4, 3, 2), normal(4), normal(4)}},
		{"GroupNorm no weight", func(x []*T) *T { return x[0].GroupNorm(3, nil, x[1], 0.1) },
			[]*T{normal(2, 3, 5), normal(3)}},
		{"GroupNorm plain", func(x []*T) *T { return x[0].GroupNorm(1, nil, nil, 0.1) }, []*T{normal(2, 3, 5)}},
		{"Interpolate nearest", resize(5, 3, tensor.InterpolateConfig{}), []*T{normal(2, 1, 3, 4)}},
		{"Interpolate nearest exact", resize(2, 7, tensor.InterpolateConfig{Mode: tensor.NearestExact}),
			[]*T{normal(2, 3, 4)}},
		{"Interpolate bilinear", resize(5, 3, tensor.InterpolateConfig{Mode: tensor.Bilinear}),
			[]*T{normal(2, 1, 3, 4)}},
		{"Interpolate bilinear aligned",
			resize(5, 3, tensor.InterpolateConfig{Mode: tensor.Bilinear, AlignCorners: true}),
			[]*T{normal(3, 4)}},
		{"Interpolate bicubic", resize(5, 3, tensor.InterpolateConfig{Mode: tensor.Bicubic}), []*T{normal(2, 1, 3, 4)}},
		{"Interpolate bicubic smooth", resize(2, 3, tensor.InterpolateConfig{Mode: tensor.Bicubic, Antialias: true}),
			[]*T{normal(1, 1, 5, 4)}},
		{"Interpolate area", resize(2, 3, tensor.InterpolateConfig{Mode: tensor.Area}), []*T{normal(1, 2, 5, 4)}},
		{"AvgPool", func(x []*T) *T {
			return tensor.AvgPool(x[0], tensor.PoolConfig{Kernel: []int{3, 2}, Stride: []int{2}, Padding: []int{1}})
		}, []*T{normal(1, 2, 5, 4)}},
		{"MaxPool", func(x []*T) *T {
			return tensor.MaxPool(x[0], tensor.PoolConfig{Kernel: []int{3, 2}, Stride: []int{2}, Padding: []int{1}})
		}, []*T{apart(1, 2, 5, 4)}},
		{"GridSample", sample(tensor.GridSampleConfig{}), []*T{normal(1, 2, 4, 5), points()}},
		{"GridSample border", sample(tensor.GridSampleConfig{Outside: tensor.Border}),
			[]*T{normal(1, 2, 4, 5), points()}},
		{"GridSample reflection aligned",
			sample(tensor.GridSampleConfig{Outside: tensor.Reflection, AlignCorners: true}),
			[]*T{normal(1, 2, 4, 5), points()}},
		{"GridSample nearest", func(x []*T) *T {
			return tensor.GridSample(x[0], points().Detach(), tensor.GridSampleConfig{Nearest: true})
		}, []*T{normal(1, 2, 4, 5)}},
		{"Where", func(x []*T) *T { return tensor.Where(mask, x[0], x[1]) }, []*T{normal(3, 5), normal(3, 1)}},
		{"Where repeated", func(x []*T) *T { return tensor.Where(mask.Reshape(5, 1), x[0], x[1]) },
			[]*T{normal(2), normal(2, 5, 1)}},
		{"MaskedFill", func(x []*T) *T { return x[0].MaskedFill(mask, -7) }, []*T{normal(3, 5)}},
		{"TopK", func(x []*T) *T { v, _ := x[0].TopK(2, 1); return v }, []*T{apart(3, 4, 2)}},
		{"Sort", func(x []*T) *T { v, _ := x[0].Sort(-1, false); return v }, []*T{apart(3, 5)}},
		{"Sort twice", func(x []*T) *T { v, _ := x[0].Sort(0, true); return v.Mul(x[0]) }, []*T{apart(3, 5)}},
		{"GatherAlong", func(x []*T) *T { return x[0].GatherAlong(1, ids) }, []*T{normal(2, 3, 3)}},
		{"GatherBatch", func(x []*T) *T { return x[0].GatherBatch(rows) }, []*T{normal(2, 3, 4)}},
		{"CumSum", func(x []*T) *T { return x[0].CumSum(1) }, []*T{normal(2, 5, 3)}},
		{"CumSum last", func(x []*T) *T { return x[0].Tanh().CumSum(-1) }, []*T{normal(3, 5)}},
	}
}

func TestCompare(t *testing.T) {
	nan := float32(math.NaN())
	a, b := tensor.From([]float32{1, 2, 3, nan}, 4), tensor.From([]float32{2}, 1)
	require.Equal(t, []float32{1, 0, 0, 0}, a.Less(b).Data())
	require.Equal(t, []float32{0, 0, 1, 0}, b.Less(a).Data())
	require.Equal(t, []float32{1, 1, 0, 0}, a.LessEqual(b).Data())
	require.Equal(t, []float32{0, 1, 0, 0}, a.Equal(b).Data())
	require.Equal(t, []float32{1, 1, 1, 0}, a.Equal(a).Data())
	require.Equal(t, []int{3, 4}, tensor.New(3, 1).Less(a).Shape())
	p := normal(4)
	require.False(t, p.Less(b).Recorded(), "a comparison is a constant")
	// What is not taken does not matter, be it NaN.
	require.Equal(t, []float32{1, 2, 3, 0}, tensor.Where(a.Equal(a), a, tensor.New()).Data())
}

func TestOrder(t *testing.T) {
	nan := float32(math.NaN())
	x := tensor.From([]float32{2, 1, nan, 2, -1, 2}, 6)
	v, i := x.Sort(0, false)
	require.Equal(t, []int32{4, 1, 0, 3, 5, 2}, i.IntData())
	require.Equal(t, []float32{-1, 1, 2, 2, 2}, v.Data()[:5])
	_, i = x.Sort(0, true)
	require.Equal(t, []int32{2, 0, 3, 5, 1, 4}, i.IntData())
	_, i = x.TopK(3, 0)
	require.Equal(t, []int32{2, 0, 3}, i.IntData())
	v, i = tensor.New(2, 3).TopK(0, 1)
	require.Equal(t, []int{2, 0}, v.Shape())
	require.Equal(t, []int{2, 0}, i.Shape())
	require.Equal(t, []float32{0, 0, 1, 1, 0, 0}, tensor.OneHot(tensor.Ints([]int{2, 0}, 2), 3).Data())
	require.Equal(t, []int{2, 0, 4}, tensor.OneHot(tensor.Ints([]int{}, 2, 0), 4).Shape())
}

// TestTopKOfMany takes more candidates than are kept at once, the best of them last.
func TestTopKOfMany(t *testing.T) {
	x := tensor.New(2, 5000)
	for i := range x.Data() {
		x.Data()[i] = float32(i % 5000 / 2)
	}
	v, at := x.TopK(3, 1)
	require.Equal(t, []float32{2499, 2499, 2498, 2499, 2499, 2498}, v.Data())
	require.Equal(t, []int32{4998, 4999, 4996, 4998, 4999, 4996}, at.IntData())
}
