package unet

import (
	"math/rand/v2"

	"github.com/gollava/gollava/nn"
	"github.com/gollava/gollava/tensor"
)

// Resnet is a residual block of two convolutions that a timestep may shift between them. Source: diffusers'
// ResnetBlock2D.
type Resnet struct {
	Norm1    nn.Layer `param:"norm1"`
	Conv1    nn.Layer `param:"conv1"`                  // [Co, C, 3, 3]
	Time     nn.Layer `param:"time_emb_proj,optional"` // [Co, T]; nil in an autoencoder
	Norm2    nn.Layer `param:"norm2"`
	Conv2    nn.Layer `param:"conv2"`                  // [Co, Co, 3, 3]
	Shortcut nn.Layer `param:"conv_shortcut,optional"` // [Co, C, 1, 1]; nil where Co is C
}

// norms are what the group norms of a model share.
type norms struct {
	groups int
	eps    float64
}

func (n norms) layer(r *rand.Rand, c int) *nn.GroupNorm {
	return nn.NewGroupNorm(r, n.groups, c, n.eps)
}

// newResnet makes a block of width in to out. time is the width of the timestep's embedding, 0 for none.
func newResnet(r *rand.Rand, in, out, time int, n norms) *Resnet {
	b := &Resnet{Norm1: n.layer(r, in), Conv1: conv(r, in, out, 3), Norm2: n.layer(r, out), Conv2: conv(r, out, out, 3)}
	if time > 0 {
		b.Time = nn.NewLinear(r, time, out, true)
	}
	if in != out {
		b.Shortcut = conv(r, in, out, 1)
	}
	return b
}

// conv is a convolution that keeps the image's size; kernel is odd.
func conv(r *rand.Rand, in, out, kernel int) *nn.Conv {
	return nn.NewConv(r, in, out, []int{kernel, kernel}, tensor.ConvConfig{Padding: []int{kernel / 2}}, true)
}

// Forward maps x [B, C, H, W] to [B, Co, H, W]. time is [B, T], with its SiLU already applied, or nil.
func (b *Resnet) Forward(x, time *tensor.Tensor) *tensor.Tensor {
	y := b.Conv1.Forward(b.Norm1.Forward(x).SiLU()) // [B, Co, H, W]
	if time != nil {
		shift := b.Time.Forward(time) // [B, Co]
		B, C := shift.Dims2()
		y = y.Add(shift.Reshape(B, C, 1, 1))
	}
	y = b.Conv2.Forward(b.Norm2.Forward(y).SiLU())
	if b.Shortcut != nil {
		x = b.Shortcut.Forward(x)
	}
	return x.Add(y)
}

// Resample is the convolution that halves an image or follows its enlargement.
type Resample struct {
	Conv nn.Layer `param:"conv"` // [C, C, 3, 3]
}

// newDownsample halves each side, with so much padding on all sides; with 0 one row at the right and one at the bottom,
// as the autoencoder has it.
func newDownsample(r *rand.Rand, c, padding int) *Resample {
	pad := []int{padding}
	if padding == 0 {
		pad = []int{0, 1, 0, 1}
	}
	return &Resample{nn.NewConv(r, c, c, []int{3, 3}, tensor.ConvConfig{Stride: []int{2}, Padding: pad}, true)}
}

// Enlarge maps x [B, C, h, w] to [B, C, H, W] by repeating pixels, and convolves.
func (s *Resample) Enlarge(x *tensor.Tensor, H, W int) *tensor.Tensor {
	return s.Conv.Forward(tensor.Interpolate(x, H, W, tensor.InterpolateConfig{}))
}
