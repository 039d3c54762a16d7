// Package unet holds the networks of latent diffusion: the [UNet] that predicts the noise in a latent image from a
// text, with GLIGEN's gated layers for boxes, and the [VAE] between images and latents. Names and configurations are
// diffusers' (UNet2DConditionModel, AutoencoderKL):
//
//	u, err := unet.Load("gligen/unet", nn.LoadOptions{})
//	tokens := u.Position.Forward(boxes, mask, phrases)
//	noise := u.Forward(x, timesteps, text, &unet.Grounding{Tokens: tokens, Gate: 1})
package unet

import (
	"math"
	"math/rand/v2"
	"slices"

	"github.com/gollava/gollava/nn"
	"github.com/gollava/gollava/tensor"
)

// UNet goes down to lower resolutions and up again, each level on the way up seeing what the way down has left there.
// Source: Rombach et al. 2022, "High-Resolution Image Synthesis with Latent Diffusion Models"; diffusers'
// UNet2DConditionModel. It is safe for concurrent use while nobody changes its parameters.
type UNet struct {
	ConvIn   nn.Layer       `param:"conv_in"` // [C0, in, 3, 3]
	Time     *TimeEmbedding `param:"time_embedding"`
	Down     []*Level       `param:"down_blocks"` // the highest resolution first
	Mid      *Level         `param:"mid_block"`
	Up       []*Level       `param:"up_blocks"` // the lowest resolution first
	NormOut  nn.Layer       `param:"conv_norm_out"`
	ConvOut  nn.Layer       `param:"conv_out"`              // [out, C0, 3, 3]
	Position *PositionNet   `param:"position_net,optional"` // nil without gated layers

	config Config
}

// TimeEmbedding is two linear layers with SiLU between them.
type TimeEmbedding struct {
	Linear1 nn.Layer `param:"linear_1"` // [4·C0, C0]
	Linear2 nn.Layer `param:"linear_2"` // [4·C0, 4·C0]
}

// Level is the blocks of one resolution: every resnet is followed by a transformer, if there are any.
type Level struct {
	Attentions   []*Transformer `param:"attentions"`
	Resnets      []*Resnet      `param:"resnets"`
	Downsamplers []*Resample    `param:"downsamplers"` // one, or none at the lowest resolution
	Upsamplers   []*Resample    `param:"upsamplers"`   // one, or none at the highest
}

// New builds a UNet with PyTorch's initial weights and closed gates; with a nil r the weights are to be loaded.
func New(r *rand.Rand, c Config) (*UNet, error) {
	if err := c.Validate(); err != nil {
		return nil, err
	}
	widths, last := c.BlockOutChannels, len(c.BlockOutChannels)-1
	first, time, n := widths[0], 4*widths[0], norms{c.NormNumGroups, c.NormEps}
	u := &UNet{config: c, ConvIn: conv(r, c.InChannels, first, 3),
		Time: &TimeEmbedding{nn.NewLinear(r, first, time, true), nn.NewLinear(r, time, time, true)}}
	transformer := func(level int) *Transformer {
		return newTransformer(r, c, widths[level], c.TransformerLayers.At(level), c.Heads.At(level))
	}
	width, skips := first, []int{first} // of x, and of what the way down leaves
	for i, w := range widths {
		l := &Level{}
		for range c.LayersPerBlock.At(i) {
			l.Resnets = append(l.Resnets, newResnet(r, width, w, time, n))
			if c.DownBlockTypes[i] == CrossDown {
				l.Attentions = append(l.Attentions, transformer(i))
			}
			width, skips = w, append(skips, w)
		}
		if i < last {
			l.Downsamplers, skips = []*Resample{newDownsample(r, w, c.DownsamplePadding)}, append(skips, w)
		}
		u.Down = append(u.Down, l)
	}
	u.Mid = &Level{Attentions: []*Transformer{transformer(last)},
		Resnets: []*Resnet{newResnet(r, width, width, time, n), newResnet(r, width, width, time, n)}}
	for i, w := range slices.Backward(widths) {
		l := &Level{}
		for range c.LayersPerBlock.At(i) + 1 {
			top := len(skips) - 1
			l.Resnets = append(l.Resnets, newResnet(r, width+skips[top], w, time, n))
			if c.UpBlockTypes[last-i] == CrossUp {
				l.Attentions = append(l.Attentions, transformer(i))
			}
			width, skips = w, skips[:top]
		}
		if i > 0 {
			l.Upsamplers = []*Resample{{conv(r, w, w, 3)}}
		}
		u.Up = append(u.Up, l)
	}
	u.NormOut, u.ConvOut, u.Position = n.layer(r, first), conv(r, first, c.OutChannels, 3), newPositionNet(r, c)
	return u, nil
}

// Config describes the model.
func (u *UNet) Config() Config { return u.config }

// Forward predicts what the model was trained to see in x [B, in, H, W], its noise or velocity, at one timestep for
// each of B, under a text [B, T, context]: [B, out, H, W]. g says what is to be where, nil for nothing.
func (u *UNet) Forward(x *tensor.Tensor, timesteps []int32, text *tensor.Tensor, g *Grounding) *tensor.Tensor {
	B, C, _, _ := x.Dims4()
	switch {
	case C != u.config.InChannels || len(timesteps) != B:
		tensor.Fail("UNet", "x %v at %d timesteps: needs [B, %d, H, W] and B timesteps", x.Shape(), len(timesteps),
			u.config.InChannels)
	case g != nil && g.Gate != 0 && u.Position == nil:
		tensor.Fail("UNet", "boxes for attention_type %q, which has no gated layers", u.config.AttentionType)
	}
	time := u.Time.Forward(u.config.sinusoid(timesteps).In(x.Arena())).SiLU() // [B, 4·C0]
	x = u.ConvIn.Forward(x)                                                   // [B, C0, H, W]
	skips := []*tensor.Tensor{x}
	for _, l := range u.Down {
		for j, b := range l.Resnets {
			x = l.attend(j, b.Forward(x, time), text, g)
			skips = append(skips, x)
		}
		for _, d := range l.Downsamplers {
			x = d.Conv.Forward(x) // [B, C, ⌈H/2⌉, ⌈W/2⌉]
			skips = append(skips, x)
		}
	}
	x = u.Mid.attend(0, u.Mid.Resnets[0].Forward(x, time), text, g)
	x = u.Mid.Resnets[1].Forward(x, time)
	for _, l := range u.Up {
		for j, b := range l.Resnets {
			top := len(skips) - 1
			x = l.attend(j, b.Forward(tensor.Concat(1, x, skips[top]), time), text, g)
			skips = skips[:top]
		}
		for _, s := range l.Upsamplers {
			_, _, H, W := skips[len(skips)-1].Dims4()
			x = s.Enlarge(x, H, W)
		}
	}
	return u.ConvOut.Forward(u.NormOut.Forward(x).SiLU())
}

// attend applies the transformer that follows resnet j, if there is one.
func (l *Level) attend(j int, x, text *tensor.Tensor, g *Grounding) *tensor.Tensor {
	if len(l.Attentions) == 0 {
		return x
	}
	return l.Attentions[j].Forward(x, text, g)
}

// Forward maps [B, C0] to [B, 4·C0].
func (e *TimeEmbedding) Forward(x *tensor.Tensor) *tensor.Tensor {
	return e.Linear2.Forward(nn.Activated(e.Linear1, x, tensor.SiLU))
}

// sinusoid is the position encoding of timesteps, [B, C0]: sines and then cosines, or the other way round, of the
// timestep times frequencies from 1 down to 1/10000. Source: diffusers' get_timestep_embedding.
func (c Config) sinusoid(timesteps []int32) *tensor.Tensor {
	width := c.BlockOutChannels[0]
	half := width / 2
	out := make([]float32, len(timesteps)*width)
	for b, t := range timesteps {
		for i := range half {
			angle := float64(t) * math.Exp(-math.Log(10000)*float64(i)/(float64(half)-c.FreqShift))
			sin, cos := i, half+i
			if c.FlipSinToCos {
				sin, cos = cos, sin
			}
			out[b*width+sin], out[b*width+cos] = float32(math.Sin(angle)), float32(math.Cos(angle))
		}
	}
	return tensor.Wrap(out, len(timesteps), width)
}
