package unet

import (
	"cmp"
	"encoding/json"
	"fmt"
	"math/rand/v2"
	"path/filepath"
	"slices"

	"github.com/gollava/gollava/internal/jsonfile"
	"github.com/gollava/gollava/nn"
	"github.com/gollava/gollava/tensor"
)

// VAEConfig describes a [VAE] by the fields of diffusers' AutoencoderKL.
type VAEConfig struct {
	SampleSize       int      `json:"sample_size"` // side of the images that it was trained on
	InChannels       int      `json:"in_channels"`
	OutChannels      int      `json:"out_channels"`
	LatentChannels   int      `json:"latent_channels"`
	BlockOutChannels []int    `json:"block_out_channels"` // the highest resolution first
	LayersPerBlock   int      `json:"layers_per_block"`
	NormNumGroups    int      `json:"norm_num_groups"`
	ScalingFactor    float64  `json:"scaling_factor"` // of latents, so that a UNet sees a variance near 1
	ShiftFactor      float64  `json:"shift_factor"`   // taken off latents before they are scaled
	MidAttention     bool     `json:"mid_block_add_attention"`
	QuantConv        bool     `json:"use_quant_conv"`
	PostQuantConv    bool     `json:"use_post_quant_conv"`
	DownBlockTypes   []string `json:"down_block_types"` // DownEncoderBlock2D for each level
	UpBlockTypes     []string `json:"up_block_types"`   // UpDecoderBlock2D for each level
}

const (
	vaeDown = "DownEncoderBlock2D"
	vaeUp   = "UpDecoderBlock2D"
)

// StableDiffusionVAE is the autoencoder of Stable Diffusion 1 and 2.
func StableDiffusionVAE() VAEConfig {
	c := vaeDefaults()
	c.SampleSize, c.BlockOutChannels, c.LayersPerBlock = 512, []int{128, 256, 512, 512}, 2
	c.DownBlockTypes, c.UpBlockTypes = slices.Repeat([]string{vaeDown}, 4), slices.Repeat([]string{vaeUp}, 4)
	return c
}

// vaeDefaults are those of diffusers' constructor.
func vaeDefaults() VAEConfig {
	return VAEConfig{SampleSize: 32, InChannels: 3, OutChannels: 3, LatentChannels: 4, BlockOutChannels: []int{64},
		LayersPerBlock: 1, NormNumGroups: 32, ScalingFactor: 0.18215, MidAttention: true, QuantConv: true,
		PostQuantConv: true, DownBlockTypes: []string{vaeDown}, UpBlockTypes: []string{vaeUp}}
}

// UnmarshalJSON reads a configuration with diffusers' defaults, and validates it.
func (c *VAEConfig) UnmarshalJSON(raw []byte) error {
	if err := jsonfile.Only(raw, map[string][]string{"_class_name": {`"AutoencoderKL"`},
		"act_fn":       {`"silu"`, `"swish"`},
		"latents_mean": nil, "latents_std": nil}); err != nil {
		return err
	}
	type plain VAEConfig
	p := plain(vaeDefaults())
	if err := json.Unmarshal(raw, &p); err != nil {
		return err
	}
	*c = VAEConfig(p)
	return c.Validate()
}

// ReadVAEConfig reads dir/config.json of an autoencoder. Its errors name the file and the field.
func ReadVAEConfig(dir string) (c VAEConfig, err error) {
	err = jsonfile.Read(filepath.Join(dir, "config.json"), &c)
	return c, err
}

// Validate returns an error that names the first field that is wrong.
func (c *VAEConfig) Validate() error {
	n := len(c.BlockOutChannels)
	if err := cmp.Or(inRange("sample_size", 0, c.SampleSize), inRange("in_channels", 1, c.InChannels),
		inRange("out_channels", 1, c.OutChannels),
		inRange("latent_channels", 1, c.LatentChannels),
		within("block_out_channels: number of levels", 1, maxLevels, n),
		inRange("block_out_channels", 1, c.BlockOutChannels...),
		within("layers_per_block", 1, maxLayers, c.LayersPerBlock),
		inRange("norm_num_groups", 1, c.NormNumGroups)); err != nil {
		return err
	}
	if !(c.ScalingFactor > 0 && c.ScalingFactor < 1e6) {
		return fmt.Errorf("scaling_factor %v is not positive", c.ScalingFactor)
	}
	if len(c.DownBlockTypes) != n || len(c.UpBlockTypes) != n {
		return fmt.Errorf("down_block_types and up_block_types must have %d names, as many as block_out_channels", n)
	}
	for i, w := range c.BlockOutChannels {
		switch {
		case w%c.NormNumGroups != 0:
			return fmt.Errorf("block_out_channels %d is no multiple of norm_num_groups %d", w, c.NormNumGroups)
		case c.DownBlockTypes[i] != vaeDown:
			return fmt.Errorf("down_block_types: %q is not supported (%s is)", c.DownBlockTypes[i], vaeDown)
		case c.UpBlockTypes[i] != vaeUp:
			return fmt.Errorf("up_block_types: %q is not supported (%s is)", c.UpBlockTypes[i], vaeUp)
		}
	}
	return nil
}

// Factor is how many pixels a latent's side covers.
func (c VAEConfig) Factor() int { return 1 << (len(c.BlockOutChannels) - 1) }

// VAE is an autoencoder whose latents are drawn from a Gaussian. Source: Rombach et al. 2022, appendix G; diffusers'
// AutoencoderKL. It is safe for concurrent use while nobody changes its parameters.
type VAE struct {
	Encoder   *Coder   `param:"encoder"`
	Decoder   *Coder   `param:"decoder"`
	Quant     nn.Layer `param:"quant_conv,optional"`      // [2·Z, 2·Z, 1, 1]
	PostQuant nn.Layer `param:"post_quant_conv,optional"` // [Z, Z, 1, 1]

	config VAEConfig
}

// Coder is one half of a [VAE]: down to latents, or up from them.
type Coder struct {
	ConvIn  nn.Layer `param:"conv_in"`
	Down    []*Level `param:"down_blocks"` // of the encoder
	Mid     *VAEMid  `param:"mid_block"`
	Up      []*Level `param:"up_blocks"` // of the decoder
	NormOut nn.Layer `param:"conv_norm_out"`
	ConvOut nn.Layer `param:"conv_out"`
}

// VAEMid is a resnet, self-attention of all pixels, and a resnet.
type VAEMid struct {
	Attentions []*PixelAttention `param:"attentions"` // one, or none
	Resnets    []*Resnet         `param:"resnets"`
}

// PixelAttention is x + attention of all pixels to each other with a single head. Source: diffusers' Attention with a
// group norm.
type PixelAttention struct {
	Norm      nn.Layer   `param:"group_norm"`
	Attention *Attention `param:"attn,inline"`
}

const vaeEps = 1e-6

// NewVAE builds an autoencoder with PyTorch's initial weights; with a nil r the weights are to be loaded.
func NewVAE(r *rand.Rand, c VAEConfig) (*VAE, error) {
	if err := c.Validate(); err != nil {
		return nil, err
	}
	n, widths, last := norms{c.NormNumGroups, vaeEps}, c.BlockOutChannels, len(c.BlockOutChannels)-1
	top, bottom, Z := widths[0], widths[last], c.LatentChannels
	mid := func() *VAEMid {
		m := &VAEMid{Resnets: []*Resnet{newResnet(r, bottom, bottom, 0, n), newResnet(r, bottom, bottom, 0, n)}}
		if c.MidAttention {
			m.Attentions = []*PixelAttention{{n.layer(r, bottom), newAttention(r, bottom, bottom, 1, true)}}
		}
		return m
	}
	e, width := &Coder{ConvIn: conv(r, c.InChannels, top, 3)}, top
	for i, w := range widths {
		l := &Level{}
		for range c.LayersPerBlock {
			l.Resnets, width = append(l.Resnets, newResnet(r, width, w, 0, n)), w
		}
		if i < last {
			l.Downsamplers = []*Resample{newDownsample(r, w, 0)}
		}
		e.Down = append(e.Down, l)
	}
	e.Mid, e.NormOut, e.ConvOut = mid(), n.layer(r, bottom), conv(r, bottom, 2*Z, 3)
	d := &Coder{ConvIn: conv(r, Z, bottom, 3), Mid: mid()}
	for i, w := range slices.Backward(widths) {
		l := &Level{}
		for range c.LayersPerBlock + 1 {
			l.Resnets, width = append(l.Resnets, newResnet(r, width, w, 0, n)), w
		}
		if i > 0 {
			l.Upsamplers = []*Resample{{conv(r, w, w, 3)}}
		}
		d.Up = append(d.Up, l)
	}
	d.NormOut, d.ConvOut = n.layer(r, top), conv(r, top, c.OutChannels, 3)
	m := &VAE{Encoder: e, Decoder: d, config: c}
	if c.QuantConv {
		m.Quant = conv(r, 2*Z, 2*Z, 1)
	}
	if c.PostQuantConv {
		m.PostQuant = conv(r, Z, Z, 1)
	}
	return m, nil
}

// Config describes the model.
func (m *VAE) Config() VAEConfig { return m.config }

// Encode maps images [B, 3, H, W] in −1…1 to the means and the logarithms of the variances of their latents, both
// [B, Z, H/f, W/f] with f = [VAEConfig.Factor] and not yet scaled; the latter are within −30…20.
func (m *VAE) Encode(pixels *tensor.Tensor) (mean, logVar *tensor.Tensor) {
	x := m.Encoder.ConvIn.Forward(pixels)
	for _, l := range m.Encoder.Down {
		for _, b := range l.Resnets {
			x = b.Forward(x, nil)
		}
		for _, d := range l.Downsamplers {
			x = d.Conv.Forward(x)
		}
	}
	x = m.Encoder.Mid.Forward(x)
	x = m.Encoder.ConvOut.Forward(m.Encoder.NormOut.Forward(x).SiLU()) // [B, 2·Z, h, w]
	if m.Quant != nil {
		x = m.Quant.Forward(x)
	}
	Z := m.config.LatentChannels
	mean, logVar = x.Slice(1, 0, Z), x.Slice(1, Z, 2*Z)
	return mean, clamp(logVar, -30, 20)
}

// clamp brings x into [lo, hi]; elements that are out of it pass no gradient.
func clamp(x *tensor.Tensor, lo, hi float32) *tensor.Tensor {
	x = x.MaskedFill(x.Less(tensor.Full(lo)), lo)
	return x.MaskedFill(tensor.Full(hi).Less(x), hi)
}

// Latents are (mean + e^(logVar/2)·noise − shift_factor)·scaling_factor, what a UNet sees. A nil noise takes the mean.
func (m *VAE) Latents(mean, logVar, noise *tensor.Tensor) *tensor.Tensor {
	if noise != nil {
		mean = mean.Add(logVar.Scale(0.5).Exp().Mul(noise))
	}
	s := float32(m.config.ScalingFactor)
	return mean.Affine(s, -s*float32(m.config.ShiftFactor))
}

// KL is ½Σ(μ² + σ² − 1 − ln σ²) for each image, the divergence of its latents from a standard normal: [B].
func KL(mean, logVar *tensor.Tensor) *tensor.Tensor {
	return mean.Mul(mean).Add(logVar.Exp()).Sub(logVar).Affine(0.5, -0.5).Sum(1, 2, 3)
}

// Decode maps latents as [VAE.Latents] makes them to images [B, 3, H, W], about −1…1.
func (m *VAE) Decode(latents *tensor.Tensor) *tensor.Tensor {
	x := latents.Affine(float32(1/m.config.ScalingFactor), float32(m.config.ShiftFactor))
	if m.PostQuant != nil {
		x = m.PostQuant.Forward(x)
	}
	x = m.Decoder.Mid.Forward(m.Decoder.ConvIn.Forward(x))
	for _, l := range m.Decoder.Up {
		for _, b := range l.Resnets {
			x = b.Forward(x, nil)
		}
		for _, s := range l.Upsamplers {
			_, _, H, W := x.Dims4()
			x = s.Enlarge(x, 2*H, 2*W)
		}
	}
	return m.Decoder.ConvOut.Forward(m.Decoder.NormOut.Forward(x).SiLU())
}

// Forward keeps the shape [B, C, H, W].
func (m *VAEMid) Forward(x *tensor.Tensor) *tensor.Tensor {
	x = m.Resnets[0].Forward(x, nil)
	for _, a := range m.Attentions {
		x = a.Forward(x)
	}
	return m.Resnets[1].Forward(x, nil)
}

// Forward keeps the shape [B, C, H, W].
func (a *PixelAttention) Forward(x *tensor.Tensor) *tensor.Tensor {
	B, C, H, W := x.Dims4()
	y := a.Norm.Forward(x).Reshape(B, C, H*W).Transpose() // [B, H·W, C]
	return x.Add(a.Attention.Forward(y, y).Transpose().Reshape(B, C, H, W))
}

// Factor is [VAEConfig.Factor].
func (m *VAE) Factor() int { return m.config.Factor() }

// Channels is how many channels latents have.
func (m *VAE) Channels() int { return m.config.LatentChannels }
