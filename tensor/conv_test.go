package tensor_test

import (
	"testing"

	"github.com/gollava/gollava/tensor"
	"github.com/gollava/gollava/tensor/tensortest"
	"github.com/stretchr/testify/require"
)

func conv(c tensor.ConvConfig) func(x []*T) *T {
	return func(x []*T) *T {
		if len(x) == 2 {
			return tensor.Conv(x[0], x[1], nil, c)
		}
		return tensor.Conv(x[0], x[1], x[2], c)
	}
}

func convTranspose(c tensor.ConvConfig) func(x []*T) *T {
	return func(x []*T) *T { return tensor.ConvTranspose(x[0], x[1], x[2], c) }
}

func convCases() []gradientCase {
	return []gradientCase{
		{"Conv 3×3", conv(tensor.ConvConfig{Padding: []int{1}}),
			[]*T{normal(2, 3, 5, 4), normal(4, 3, 3, 3), normal(4)}},
		{"Conv 1×1", conv(tensor.ConvConfig{}), []*T{normal(2, 3, 2, 5), normal(4, 3, 1, 1), normal(4)}},
		{"Conv no bias", conv(tensor.ConvConfig{}), []*T{normal(1, 2, 3, 4), normal(3, 2, 2, 3)}},
		{"Conv stride 2, 1", conv(tensor.ConvConfig{Stride: []int{2, 1}, Padding: []int{0, 1}}),
			[]*T{normal(1, 2, 5, 4), normal(3, 2, 3, 2), normal(3)}},
		{"Conv padding of four sides", conv(tensor.ConvConfig{Stride: []int{2}, Padding: []int{0, 1, 0, 2}}),
			[]*T{normal(1, 2, 4, 5), normal(3, 2, 3, 3), normal(3)}},
		{"Conv dilation", conv(tensor.ConvConfig{Dilation: []int{2, 3}, Padding: []int{2}}),
			[]*T{normal(1, 2, 5, 6), normal(3, 2, 2, 3), normal(3)}},
		{"Conv groups", conv(tensor.ConvConfig{Groups: 2, Padding: []int{1}}),
			[]*T{normal(1, 4, 3, 4), normal(6, 2, 3, 3), normal(6)}},
		{"Conv depthwise", conv(tensor.ConvConfig{Groups: 3, Padding: []int{1}}),
			[]*T{normal(2, 3, 4, 3), normal(3, 1, 3, 3), normal(3)}},
		{"Conv patches", conv(tensor.ConvConfig{Stride: []int{3}}),
			[]*T{normal(1, 2, 6, 6), normal(5, 2, 3, 3), normal(5)}},
		{"Conv one axis", conv(tensor.ConvConfig{Stride: []int{2}, Padding: []int{1}}),
			[]*T{normal(2, 3, 7), normal(4, 3, 3), normal(4)}},
		{"Conv three axes", conv(tensor.ConvConfig{Stride: []int{2, 1, 1}}),
			[]*T{normal(1, 2, 4, 3, 3), normal(3, 2, 2, 2, 2), normal(3)}},
		{"ConvTranspose", convTranspose(tensor.ConvConfig{}), []*T{normal(2, 3, 2, 3), normal(3, 4, 2, 3), normal(4)}},
		{"ConvTranspose stride 2, groups", convTranspose(tensor.ConvConfig{Stride: []int{2}, Padding: []int{1},
			Groups: 2, OutputPadding: []int{1, 0}}), []*T{normal(1, 4, 3, 2), normal(4, 3, 3, 3), normal(6)}},
		{"ConvTranspose one axis", convTranspose(tensor.ConvConfig{Stride: []int{3}, Dilation: []int{2}}),
			[]*T{normal(1, 2, 3), normal(2, 3, 2), normal(3)}},
	}
}

// TestConvOfHalves: weights in bfloat16 count as what they round to.
func TestConvOfHalves(t *testing.T) {
	x, w, b := normal(1, 3, 5, 5), normal(4, 3, 3, 3).Cast(tensor.BFloat16), normal(4).Cast(tensor.BFloat16)
	c := tensor.ConvConfig{Padding: []int{1}}
	want := tensor.Conv(x, w.Cast(tensor.Float32), b.Cast(tensor.Float32), c)
	tensortest.Close(t, tensor.Conv(x, w, b, c), want, 1e-6, 0)
}

// TestConvFLOPs: two for every weight and output.
func TestConvFLOPs(t *testing.T) {
	x, w := tensor.New(2, 6, 5, 7), normal(4, 3, 3, 3)
	tensor.Scope(func(s *tensor.Arena) {
		y := tensor.Conv(x.In(s), w, nil, tensor.ConvConfig{Groups: 2, Padding: []int{1}})
		require.EqualValues(t, 2*y.Len()*3*9, s.FLOPs())
		y.Sum().Backward() // the input needs no gradient
		require.EqualValues(t, 2*2*y.Len()*3*9, s.FLOPs())
	})
}
