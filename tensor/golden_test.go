package tensor_test

import (
	"encoding/json"
	"os"
	"testing"

	"github.com/gollava/gollava/tensor"
	"github.com/gollava/gollava/tensor/tensortest"
	"github.com/stretchr/testify/require"
)

// golden is one case of testdata/golden.json, which golden.py wrote.
type golden struct {
	Shapes [][]int
	Shape  []int
	Y      []float32
	Grads  [][]float32 // null: none
}

// goldenInput is the k-th input of a case.
func goldenInput(k int, shape ...int) *T {
	t := tensor.New(shape...)
	for i := range t.Data() {
		t.Data()[i] = float32(float64((7919*i+104729*k)%1009)/504.5 - 1)
	}
	return t
}

type list = []int

func resize(h, w int, c tensor.InterpolateConfig) func(x []*T) *T {
	return func(x []*T) *T { return tensor.Interpolate(x[0], h, w, c) }
}

func avgPool(c tensor.PoolConfig) func(x []*T) *T {
	return func(x []*T) *T { return tensor.AvgPool(x[0], c) }
}

func maxPool(c tensor.PoolConfig) func(x []*T) *T {
	return func(x []*T) *T { return tensor.MaxPool(x[0], c) }
}

// goldenTests are the operations by their cases' names.
func goldenTests() map[string]func(x []*T) *T {
	ids := make([]int, 2*4*3)
	for i := range ids {
		ids[i] = i * 7 % 5
	}
	three := tensor.PoolConfig{Kernel: list{3}, Stride: list{2}, Padding: list{1}}
	ceil, own := three, three
	ceil.Ceil = true
	own.Ceil, own.ExcludePadding = true, true
	tests := map[string]func(x []*T) *T{
		"conv":                  conv(tensor.ConvConfig{Padding: list{1}}),
		"conv stride 2, 1":      conv(tensor.ConvConfig{Stride: list{2, 1}, Padding: list{1, 0}}),
		"conv right and bottom": conv(tensor.ConvConfig{Stride: list{2}, Padding: list{0, 1, 0, 1}}),
		"conv dilation":         conv(tensor.ConvConfig{Dilation: list{2, 3}, Padding: list{2, 1}}),
		"conv groups":           conv(tensor.ConvConfig{Groups: 2, Padding: list{1}}),
		"conv depthwise":        conv(tensor.ConvConfig{Groups: 5, Padding: list{2}, Stride: list{1, 2}}),
		"conv patches":          conv(tensor.ConvConfig{Stride: list{4}}),
		"conv 1×1":              conv(tensor.ConvConfig{}),
		"conv 1d":               conv(tensor.ConvConfig{Stride: list{3}, Padding: list{2}}),
		"conv 3d":               conv(tensor.ConvConfig{Stride: list{2, 1, 2}, Padding: list{0, 1, 1}}),
		"conv transpose":        convTranspose(tensor.ConvConfig{Stride: list{2}}),
		"conv transpose 4":      convTranspose(tensor.ConvConfig{Stride: list{2}, Padding: list{1}}),
		"conv transpose odd": convTranspose(tensor.ConvConfig{Stride: list{2, 3}, Padding: list{1}, Groups: 2,
			OutputPadding: list{1, 2}, Dilation: list{1, 2}}),
		"group norm": func(x []*T) *T { return x[0].GroupNorm(3, x[1], x[2], 1e-5) },

		"nearest":          resize(11, 4, tensor.InterpolateConfig{}),
		"nearest ×2":       resize(14, 18, tensor.InterpolateConfig{}),
		"nearest exact":    resize(10, 5, tensor.InterpolateConfig{Mode: tensor.NearestExact}),
		"bilinear":         resize(13, 5, tensor.InterpolateConfig{Mode: tensor.Bilinear}),
		"bilinear aligned": resize(13, 1, tensor.InterpolateConfig{Mode: tensor.Bilinear, AlignCorners: true}),
		"bilinear smooth":  resize(4, 13, tensor.InterpolateConfig{Mode: tensor.Bilinear, Antialias: true}),
		"bicubic":          resize(5, 16, tensor.InterpolateConfig{Mode: tensor.Bicubic}),
		"bicubic aligned":  resize(5, 16, tensor.InterpolateConfig{Mode: tensor.Bicubic, AlignCorners: true}),
		"bicubic smooth":   resize(3, 16, tensor.InterpolateConfig{Mode: tensor.Bicubic, Antialias: true}),
		"area":             resize(4, 13, tensor.InterpolateConfig{Mode: tensor.Area}),

		"avg pool": avgPool(tensor.PoolConfig{Kernel: list{3, 2}, Stride: list{2, 3},
			Padding: list{1, 0}}),
		"avg pool ceil":                 avgPool(ceil),
		"avg pool ceil without padding": avgPool(own),
		"max pool":                      maxPool(three),
		"max pool ceil": maxPool(tensor.PoolConfig{Kernel: list{2, 3}, Stride: list{3, 2}, Padding: list{1},
			Dilation: list{2, 1}, Ceil: true}),

		"where":           func(x []*T) *T { return tensor.Where(tensor.New().Less(x[0]), x[1], x[2]) },
		"sort":            func(x []*T) *T { v, _ := x[0].Sort(1, false); return v },
		"sort descending": func(x []*T) *T { v, _ := x[0].Sort(0, true); return v },
		"top-k":           func(x []*T) *T { v, _ := x[0].TopK(4, -1); return v },
		"gather":          func(x []*T) *T { return x[0].GatherAlong(1, tensor.Ints(ids, 2, 4, 3)) },
		"cumsum":          func(x []*T) *T { return x[0].CumSum(1) },
	}
	for mode, nearest := range map[string]bool{"bilinear": false, "nearest": true} {
		for i, padding := range []string{"zeros", "border", "reflection"} {
			for align, aligned := range map[string]bool{"False": false, "True": true} {
				c := tensor.GridSampleConfig{Nearest: nearest, Outside: tensor.Outside(i), AlignCorners: aligned}
				tests["grid sample "+mode+" "+padding+" "+align] = func(x []*T) *T {
					return tensor.GridSample(x[0], x[1].Scale(1.3), c)
				}
			}
		}
	}
	return tests
}

// TestGolden compares results and gradients with those of PyTorch.
func TestGolden(t *testing.T) {
	data, err := os.ReadFile("testdata/golden.json")
	require.NoError(t, err)
	var cases map[string]golden
	require.NoError(t, json.Unmarshal(data, &cases))
	tests := goldenTests()
	require.Equal(t, len(tests), len(cases))
	for name, f := range tests {
		t.Run(name, func(t *testing.T) {
			c, ok := cases[name]
			require.True(t, ok)
			var in []*T
			for k, shape := range c.Shapes {
				in = append(in, goldenInput(k, shape...).Param())
			}
			y := f(in)
			tensortest.Close(t, y.Clone(), tensor.From(c.Y, c.Shape...), 2e-6, 2e-6)
			y.Mul(goldenInput(9, c.Shape...)).Sum().Backward()
			for k, g := range c.Grads {
				want := tensor.New(c.Shapes[k]...) // where there is no gradient
				if g != nil {
					want = tensor.From(g, c.Shapes[k]...)
				}
				got := in[k].Grad()
				if got == nil {
					got = tensor.New(c.Shapes[k]...)
				}
				tensortest.Close(t, got, want, 5e-6, 5e-6)
			}
		})
	}
}
