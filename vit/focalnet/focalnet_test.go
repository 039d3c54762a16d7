package focalnet

import (
	"math/rand/v2"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/gollava/gollava/nn"
	"github.com/gollava/gollava/nn/nntest"
	"github.com/gollava/gollava/tensor"
	"github.com/gollava/gollava/tensor/tensortest"
)

func tiny() Config {
	return Config{EmbedDim: 8, Depths: [4]int{1, 1, 2, 1}, Levels: [4]int{2, 2, 2, 2}, Windows: [4]int{3, 3, 3, 3}}
}

// The authors' code computed the features of the first two stages.
func TestParity(t *testing.T) {
	b, err := New(rand.New(rand.NewPCG(1, 2)), tiny())
	require.NoError(t, err)
	w, err := nn.OpenWeights("testdata/tiny/model.safetensors")
	require.NoError(t, err)
	defer w.Close()
	require.NoError(t, nn.Load(b, w, nn.LoadOptions{DType: nn.As(tensor.Float32), Optional: []string{"layers.2.**",
		"layers.3.**", "norm2.*", "norm3.*"}}))
	e, err := nn.OpenWeights("testdata/tiny/expected.safetensors")
	require.NoError(t, err)
	defer e.Close()
	get := func(name string) *tensor.Tensor {
		x, err := e.Read(name, tensor.Float32)
		require.NoError(t, err)
		return x
	}
	mean, std := tensor.From([]float32{123.675, 116.28, 103.53}, 1, 3, 1, 1), tensor.From([]float32{58.395, 57.12,
		57.375}, 1, 3, 1, 1)
	got := b.Forward(get("in.pixel_values").Sub(mean).Div(std))
	tensortest.Close(t, got[0], get("out.res2"), 1e-4, 0)
	tensortest.Close(t, got[1], get("out.res3"), 1e-4, 0)
}

// All parameters train, at sizes that no stride divides; sizes are rounded up.
func TestBackbone(t *testing.T) {
	c := tiny()
	c.EmbedDim, c.Levels[2], c.Windows[1] = 2, 3, 5
	b, err := New(rand.New(rand.NewPCG(1, 2)), c)
	require.NoError(t, err)
	x := tensor.Randn(rand.New(rand.NewPCG(3, 4)), 1, 2, 3, 37, 70)
	got := b.Forward(x)
	for i, want := range [][]int{{2, 2, 10, 18}, {2, 4, 5, 9}, {2, 8, 3, 5}, {2, 16, 2, 3}} {
		require.Equal(t, want, got[i].Shape())
	}
	nntest.Check(t, b, func() *tensor.Tensor {
		sum := tensor.Full(0)
		for i, y := range b.Forward(x) {
			sum = sum.Add(y.Mul(tensor.Randn(rand.New(rand.NewPCG(5, uint64(i))), 1, y.Shape()...)).Sum())
		}
		return sum
	})
	require.ErrorContains(t, tensor.Catch(func() { b.Forward(tensor.New(1, 1, 8, 8)) }),
		"pixels [1 1 8 8]: needs [B 3 H W]")
}

// Steps between the stages are the configuration's, and every place of a picture is seen at any of them.
func TestStrides(t *testing.T) {
	for _, steps := range [][4]int{{2, 1, 2, 2}, {1, 3, 1, 2}, {7, 2, 1, 1}} {
		c := tiny()
		c.StemStride, c.Downsample = steps[0], [3]int(steps[1:])
		b, err := New(rand.New(rand.NewPCG(1, 2)), c)
		require.NoError(t, err)
		require.Equal(t, steps[0]*steps[1]*steps[2]*steps[3], c.Stride())
		h, w := 17, 33
		for i, y := range b.Forward(tensor.New(1, 3, h, w)) {
			h, w = (h+steps[i]-1)/steps[i], (w+steps[i]-1)/steps[i]
			require.Equal(t, []int{1, c.EmbedDim << i, h, w}, y.Shape())
		}
	}
	require.Equal(t, 32, Large().Stride())
}

func TestValidate(t *testing.T) {
	require.NoError(t, Large().Validate())
	for want, change := range map[string]func(*Config){
		"EMBED_DIM is 0":             func(c *Config) { c.EmbedDim = 0 },
		"stage 2: DEPTHS 0":          func(c *Config) { c.Depths[2] = 0 },
		"FOCAL_WINDOWS 4 odd":        func(c *Config) { c.Windows[0] = 4 },
		"EMBED_DIM is 1099511627776": func(c *Config) { c.EmbedDim = 1 << 40 },
		"DEPTHS 1099511627776":       func(c *Config) { c.Depths[3] = 1 << 40 },
		"gollava_stem_stride is 8":   func(c *Config) { c.StemStride = 8 },
		"gollava_downsample[1] is 4": func(c *Config) { c.Downsample[1] = 4 },
	} {
		c := tiny()
		change(&c)
		_, err := New(nil, c)
		require.ErrorContains(t, err, want)
	}
}
