// Package pixeldecoder turns the features of a backbone's four stages into what a mask decoder looks at: three levels
// of features and, for every fourth pixel, the features that masks are made of.
package pixeldecoder

import (
	"fmt"
	"math"
	"math/rand/v2"

	"github.com/gollava/gollava/nn"
	"github.com/gollava/gollava/tensor"
)

// Config describes a decoder.
type Config struct {
	Channels    [4]int // of the backbone's stages
	Dim         int    // of the levels
	MaskDim     int    // of the mask features
	Layers      int    // of the transformer on the coarsest features
	Heads       int
	FeedForward int
	Groups      int // of every group norm; 0: 32
}

func (c Config) groups() int {
	if c.Groups == 0 {
		return 32
	}
	return c.Groups
}

// What configs may ask for, far above any real model: a hostile file must not exhaust the memory.
const (
	maxWidth  = 1 << 16
	maxLayers = 1 << 12
)

// Validate returns an error that names the first field with a value that no decoder can have.
func (c Config) Validate() error {
	groups := c.groups()
	switch {
	case groups < 1:
		return fmt.Errorf("gollava_groups is %d, and must be at least 1", groups)
	case c.Dim < 1 || c.Dim%groups != 0 || c.Dim%4 != 0:
		return fmt.Errorf("CONVS_DIM is %d, and must be a multiple of 4 and of the %d groups of its norms", c.Dim, groups)
	case c.Heads < 1 || c.Dim%c.Heads != 0:
		return fmt.Errorf("NHEADS is %d, and must divide CONVS_DIM %d", c.Heads, c.Dim)
	case c.MaskDim < 1 || c.Layers < 0 || c.FeedForward < 1:
		return fmt.Errorf(
			"MASK_DIM %d and DIM_FEEDFORWARD %d must be at least 1, TRANSFORMER_ENC_LAYERS %d at least 0", c.MaskDim,
			c.FeedForward, c.Layers)
	case c.Dim > maxWidth || c.MaskDim > maxWidth || c.FeedForward > maxWidth || c.Layers > maxLayers:
		return fmt.Errorf("CONVS_DIM %d, MASK_DIM %d and DIM_FEEDFORWARD %d must be at most %d, "+
			"TRANSFORMER_ENC_LAYERS %d at most %d", c.Dim, c.MaskDim, c.FeedForward, maxWidth, c.Layers, maxLayers)
	}
	return nil
}

// Decoder is a transformer on the coarsest stage and a feature pyramid. Source: TransformerEncoderPixelDecoder of SEEM
// (Cheng et al. 2021, "Per-Pixel Classification Is Not All You Need"), names included. It is safe for concurrent use
// while nobody changes its parameters.
type Decoder struct {
	InputProj    nn.Layer   `param:"input_proj"` // [D, C, 1, 1]
	Encoder      []*Encoder `param:"transformer.encoder.layers"`
	Lateral      []*Conv    `param:"adapter_#"` // of stages 2, 3 and 4, without an activation
	Output       []*Conv    `param:"layer_#"`   // of stages 2 to 5
	MaskFeatures nn.Layer   `param:"mask_features"`
}

// Conv is a convolution without bias and group norm.
type Conv struct {
	Conv *nn.Conv      `param:",inline"`
	Norm *nn.GroupNorm `param:"norm"`
}

// Encoder is a post-norm transformer layer.
type Encoder struct {
	Attention *nn.PackedAttention `param:"self_attn"`
	Norm1     nn.Layer            `param:"norm1"`
	Linear1   nn.Layer            `param:"linear1"` // [F, D]
	Linear2   nn.Layer            `param:"linear2"` // [D, F]
	Norm2     nn.Layer            `param:"norm2"`
}

// New builds a decoder; with a nil r its weights are to be loaded.
func New(r *rand.Rand, c Config) (*Decoder, error) {
	if err := c.Validate(); err != nil {
		return nil, err
	}
	D := c.Dim
	conv := func(in, kernel int) *Conv {
		return &Conv{Conv: nn.NewConv(r, in, D, []int{kernel, kernel}, tensor.ConvConfig{Padding: []int{kernel / 2}},
			false),
			Norm: nn.NewGroupNorm(r, c.groups(), D, 1e-5)}
	}
	d := &Decoder{InputProj: nn.NewConv(r, c.Channels[3], D, []int{1, 1}, tensor.ConvConfig{}, true),
		MaskFeatures: nn.NewConv(r, D, c.MaskDim, []int{3, 3}, tensor.ConvConfig{Padding: []int{1}}, true)}
	for range c.Layers {
		d.Encoder = append(d.Encoder, &Encoder{Attention: nn.NewPackedAttention(r, D, c.Heads,
			math.Sqrt(1/(2*float64(D))), false),
			Norm1: nn.NewLayerNorm(r, D, 1e-5, true), Linear1: nn.NewLinear(r, D, c.FeedForward, true),
			Linear2: nn.NewLinear(r, c.FeedForward, D, true), Norm2: nn.NewLayerNorm(r, D, 1e-5, true)})
	}
	for i := range 4 {
		if i < 3 {
			d.Lateral = append(d.Lateral, conv(c.Channels[i], 1))
		}
		d.Output = append(d.Output, conv(D, 3))
	}
	return d, nil
}

// Features are what a mask decoder looks at.
type Features struct {
	Levels  [3]*tensor.Tensor // from the coarsest to the finest: [B, D, h, w], at strides 32, 16 and 8
	Masks   *tensor.Tensor    // [B, M, H/4, W/4]
	Encoded *tensor.Tensor    // what the transformer made of the coarsest features: [B, D, H/32, W/32]
}

// Forward makes them of a backbone's stages, res2 to res5.
func (d *Decoder) Forward(stages [4]*tensor.Tensor) Features {
	x := d.InputProj.Forward(stages[3]) // [B, D, h, w]
	B, D, h, w := x.Dims4()
	pos := SinePositions(D, h, w)        // [h·w, D]
	x = x.Reshape(B, D, h*w).Transpose() // [B, h·w, D]
	for _, l := range d.Encoder {
		x = l.Forward(x, pos)
	}
	f := Features{Encoded: x.Transpose().Reshape(B, D, h, w)}
	y := d.Output[3].Forward(f.Encoded).ReLU() // [B, D, h, w]
	f.Levels[0] = y
	for i := 2; i >= 0; i-- {
		lateral := d.Lateral[i].Forward(stages[i]) // [B, D, 2h, 2w]
		y = lateral.Add(tensor.Interpolate(y, lateral.Dim(2), lateral.Dim(3),
			tensor.InterpolateConfig{Mode: tensor.Nearest}))
		if y = d.Output[i].Forward(y).ReLU(); i > 0 {
			f.Levels[3-i] = y
		}
	}
	f.Masks = d.MaskFeatures.Forward(y)
	return f
}

// Forward keeps the channels.
func (c *Conv) Forward(x *tensor.Tensor) *tensor.Tensor { return c.Norm.Forward(c.Conv.Forward(x)) }

// Forward keeps the shape [B, N, D]; pos [N, D] says where the tokens are.
func (l *Encoder) Forward(x, pos *tensor.Tensor) *tensor.Tensor {
	q := x.Add(pos)
	x = l.Norm1.Forward(x.Add(l.Attention.Forward(q, q, x, tensor.AttentionConfig{})))
	return l.Norm2.Forward(x.Add(l.Linear2.Forward(nn.Activated(l.Linear1, x, tensor.ReLU))))
}

// SinePositions are the positions of an h×w grid, row by row: [h·w, D], half of the D numbers for the row and then half
// for the column, with sines at even and cosines at odd places. They do not train. It panics unless 4 divides D.
// Source: PositionEmbeddingSine of DETR with normalize.
func SinePositions(D, h, w int) *tensor.Tensor {
	if D%4 != 0 {
		tensor.Fail("SinePositions", "%d numbers: needs a multiple of 4", D)
	}
	half := D / 2
	x := make([]float32, h*w*D)
	for row := range h {
		for col := range w {
			for axis, at := range [2]float64{float64(row+1) / (float64(h) + 1e-6), float64(col+1) / (float64(w) +
				1e-6)} {
				for k := range half {
					angle := at * 2 * math.Pi / math.Pow(10000, float64(k/2*2)/float64(half))
					v := math.Sin(angle)
					if k%2 == 1 {
						v = math.Cos(angle)
					}
					x[(row*w+col)*D+axis*half+k] = float32(v)
				}
			}
		}
	}
	return tensor.Wrap(x, h*w, D)
}
