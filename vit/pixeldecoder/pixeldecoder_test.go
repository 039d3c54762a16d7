package pixeldecoder

import (
	"fmt"
	"math"
	"math/rand/v2"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/gollava/gollava/nn/nntest"
	"github.com/gollava/gollava/tensor"
)

func tiny() Config {
	return Config{Channels: [4]int{2, 4, 8, 16}, Dim: 32, MaskDim: 5, Layers: 1, Heads: 2, FeedForward: 8}
}

func stages(r *rand.Rand) (s [4]*tensor.Tensor) {
	for i, c := range tiny().Channels {
		s[i] = tensor.Randn(r, 1, 2, c, 10>>i+1, 17>>i+1)
	}
	return s
}

// All parameters train, at sizes of which none is half of the other. That numbers are those of the authors' code is
// tested by connector/seem.
func TestDecoder(t *testing.T) {
	d, err := New(rand.New(rand.NewPCG(1, 2)), tiny())
	require.NoError(t, err)
	in := stages(rand.New(rand.NewPCG(3, 4)))
	f := d.Forward(in)
	require.Equal(t, []int{2, 5, 11, 18}, f.Masks.Shape())
	require.Equal(t, "[2 32 2 3] [2 32 3 5] [2 32 6 9]", fmt.Sprint(f.Levels[0].Shape(), " ", f.Levels[1].Shape(),
		" ", f.Levels[2].Shape()))
	nntest.Check(t, d, func() *tensor.Tensor {
		y := d.Forward(in).Masks
		return y.Mul(tensor.Randn(rand.New(rand.NewPCG(5, 6)), 1, y.Shape()...)).Sum()
	}, "transformer.encoder.layers.*.self_attn.in_proj_bias") // that of the keys has none
}

// Rows come before columns, sines before cosines, and the last of each is 2π.
func TestSinePositions(t *testing.T) {
	const D, h, w = 8, 3, 5
	x := SinePositions(D, h, w)
	require.Equal(t, []int{h * w, D}, x.Shape())
	at := x.Data()[(1*w+4)*D:][:D] // row 1, column 4
	for i, want := range []float64{math.Sin(2 * math.Pi * 2 / 3), math.Cos(2 * math.Pi * 2 / 3),
		math.Sin(2 * math.Pi * 2 / 3 / 100),
		math.Cos(2 * math.Pi * 2 / 3 / 100), math.Sin(2 * math.Pi), math.Cos(2 * math.Pi),
		math.Sin(2 * math.Pi / 100), math.Cos(2 * math.Pi / 100)} {
		require.InDelta(t, want, at[i], 1e-5, i)
	}
	require.ErrorContains(t, tensor.Catch(func() { SinePositions(6, 1, 1) }), "6 numbers: needs a multiple of 4")
}

func TestValidate(t *testing.T) {
	for want, change := range map[string]func(*Config){
		"CONVS_DIM is 33": func(c *Config) { c.Dim = 33 },
		"NHEADS is 3":     func(c *Config) { c.Heads = 3 },
		"TRANSFORMER_ENC_LAYERS 1099511627776 at most": func(c *Config) { c.Layers = 1 << 40 },
		"MASK_DIM 0":           func(c *Config) { c.MaskDim = 0 },
		"gollava_groups is -1": func(c *Config) { c.Groups = -1 },
		"CONVS_DIM is 32, and must be a multiple of 4 and of the 5": func(c *Config) { c.Groups = 5 },
	} {
		c := tiny()
		change(&c)
		_, err := New(nil, c)
		require.ErrorContains(t, err, want)
	}
}

// The levels that a mask decoder looks at, and the features of its masks.
func Example() {
	d, err := New(rand.New(rand.NewPCG(1, 2)), Config{Channels: [4]int{8, 16, 32, 64}, Dim: 32, MaskDim: 32,
		Layers: 1, Heads: 4, FeedForward: 64})
	if err != nil {
		panic(err)
	}
	f := d.Forward([4]*tensor.Tensor{tensor.New(1, 8, 16, 16), tensor.New(1, 16, 8, 8), tensor.New(1, 32, 4, 4),
		tensor.New(1, 64, 2, 2)})
	fmt.Println(f.Levels[0].Shape(), f.Levels[1].Shape(), f.Levels[2].Shape(), f.Masks.Shape())
	// Output: [1 32 2 2] [1 32 4 4] [1 32 8 8] [1 32 16 16]
}
