package gligen

import (
	"context"
	"fmt"
	"image"
	"math/rand/v2"

	"github.com/gollava/gollava/data/tokenizer"
	"github.com/gollava/gollava/tensor"
	"github.com/gollava/gollava/vit"
	"github.com/gollava/gollava/vit/diffusion"
	"github.com/gollava/gollava/vit/unet"
)

// Pipeline is a text-to-image model with all of its parts. It is safe for concurrent use while nobody changes its parts
// or their parameters.
type Pipeline struct {
	UNet      *unet.UNet           `param:"unet"`
	VAE       Autoencoder          `param:"vae"`
	Text      *vit.CLIPText        `param:"text_encoder"`
	Tokenizer *tokenizer.Tokenizer `param:"-"`
	Schedule  *diffusion.Schedule  `param:"-"`
	Slots     int                  // boxes that there are grounding tokens for; those without an object are null tokens
}

// Slots is how many boxes diffusers has grounding tokens for.
const Slots = 30

// Autoencoder turns images [B, 3, H, W] in −1…1 into latents [B, Z, H/f, W/f] and back, with f = Factor and Z =
// Channels. [unet.VAE] is one.
type Autoencoder interface {
	Encode(pixels *tensor.Tensor) (mean, logVar *tensor.Tensor)
	Latents(mean, logVar, noise *tensor.Tensor) *tensor.Tensor // noise may be nil
	Decode(latents *tensor.Tensor) *tensor.Tensor
	Factor() int
	Channels() int
}

// Request is one image to be drawn.
type Request struct {
	Prompt   string
	Negative string   // what guidance leads away from
	Objects  []Object // what is to be where; none: null tokens, which leave everything to the prompt
}

// Object is a phrase, or an image, with the box that it is to fill.
type Object struct {
	Phrase  string
	Feature *tensor.Tensor // [E], of an image, by [ImageFeature]; nil: none. Needs attention_type "gated-text-image"
	Box     [4]float64     // x0, y0, x1, y1 as shares of the width and the height, from the top left
}

// Options say how to draw. [Defaults] are where to start from.
type Options struct {
	Steps     int     // of the sampler
	Guidance  float64 // scale s of classifier-free guidance, ε_u + s·(ε_c − ε_u); 1 or less: none
	Tau       float64 // share of the steps, the first ones, in which the gated layers are on; 0: the base model
	Decay     float64 // share of the steps after these in which the gates close linearly
	Scheduler string  // [diffusion.DDIM] or another of diffusers' classes; empty: the pipeline's own
	Seed      uint64  // of the noise that an image starts from, together with its place among the requests
	Height    int     // pixels, a multiple of the autoencoder's factor; 0: that of Latents, else as in training
	Width     int

	// Inpaint, if not nil, is an image [3, H, W] in 0…1 of which only what is in the boxes is drawn anew. It needs
	// Height and Width to be its own, or 0.
	Inpaint *tensor.Tensor

	// Latents, if not nil, are what the images start from instead of noise of Seed, of variance 1: [B, Z, h, w].
	Latents *tensor.Tensor

	// Each, if not nil, sees the latents [B, Z, h, w] after every call of the model.
	Each func(call, calls int, latents *tensor.Tensor)
}

// Defaults are those of diffusers' pipeline: 50 steps, guidance 7.5, the gated layers on for the
// first 30 % of the steps.
func Defaults() Options { return Options{Steps: 50, Guidance: 7.5, Tau: 0.3} }

// Draw draws one image for each request: [B, 3, H, W] in 0…1. Its errors name the request and the field that is wrong.
// It stops between two steps when ctx is done.
func (p *Pipeline) Draw(ctx context.Context, rs []Request, o Options) (*tensor.Tensor, error) {
	d, err := p.plan(rs, o)
	if err != nil {
		return nil, fmt.Errorf("draw: %w", err)
	}
	tensor.Scope(func(s *tensor.Arena) {
		d.text = p.embed(prompts(rs, d.guided), s).Clone()
		if d.grounded {
			d.tokens = p.tokens(rs, d.guided, s).Clone()
		}
		if o.Inpaint != nil {
			d.erase(rs, o.Inpaint, s)
		}
	})
	x, ts := d.start, d.sampler.Timesteps()
	for k, t := range ts {
		if err := ctx.Err(); err != nil {
			return nil, fmt.Errorf("draw: step %d of %d: %w", k, len(ts), err)
		}
		tensor.Scope(func(s *tensor.Arena) { x = d.step(k, t, x.In(s)).Clone() })
		if o.Each != nil {
			o.Each(k, len(ts), x)
		}
	}
	tensor.Scope(func(s *tensor.Arena) {
		x = clamp(p.VAE.Decode(x.In(s).NoGrad()).Affine(0.5, 0.5)).Clone()
	})
	return x, nil
}

func clamp(x *tensor.Tensor) *tensor.Tensor {
	x = x.ReLU() // max(x, 0)
	return x.MaskedFill(tensor.Full(1).Less(x), 1)
}

// drawing is Draw at work.
type drawing struct {
	p        *Pipeline
	o        Options
	sampler  *diffusion.Sampler
	gates    []float64
	guided   bool           // every batch holds the negative prompts first, without boxes
	grounded bool           // the model has gated layers
	start    *tensor.Tensor // [B, Z, h, w]
	text     *tensor.Tensor // [B or 2·B, T, D]
	tokens   *tensor.Tensor // [B or 2·B, N, D]

	kept *tensor.Tensor // Inpaint's latents, [1, Z, h, w]
	mask *tensor.Tensor // 1 where they stay, [B, 1, h, w]
}

// step moves x [B, Z, h, w] from one timestep to the next.
func (d *drawing) step(k, t int, x *tensor.Tensor) *tensor.Tensor {
	x = x.NoGrad()
	if d.mask != nil {
		noise := noise(d.o.Seed, uint64(k)+1<<32, 1, d.kept.Shape()[1:]...)
		kept := d.p.Schedule.AddNoise(d.kept, noise, []int32{int32(t)})
		x = kept.Mul(d.mask).Add(x.Mul(d.mask.Affine(-1, 1)))
	}
	in := x
	if d.p.UNet.Config().InChannels > x.Dim(1) { // an inpainting model sees what stays
		B, _, h, w := x.Dims4()
		kept, mask := tensor.New(x.Shape()...), tensor.New(B, 1, h, w)
		if d.mask != nil {
			kept, mask = d.kept.Mul(d.mask), d.mask
		}
		in = tensor.Concat(1, x, kept, mask)
	}
	if d.guided {
		in = tensor.Concat(0, in, in)
	}
	at := make([]int32, in.Dim(0))
	for i := range at {
		at[i] = int32(t)
	}
	var g *unet.Grounding
	if d.grounded && d.gates[k] != 0 {
		g = &unet.Grounding{Tokens: d.tokens, Gate: float32(d.gates[k])}
	}
	out := d.p.UNet.Forward(in, at, d.text, g)
	if d.guided {
		B := x.Dim(0)
		free, bound := out.Slice(0, 0, B), out.Slice(0, B, 2*B)
		out = free.Add(bound.Sub(free).Scale(float32(d.o.Guidance)))
	}
	return d.sampler.Step(x, out)
}

// erase says which part of an image is to be drawn anew: what the boxes cover.
func (d *drawing) erase(rs []Request, pixels *tensor.Tensor, s *tensor.Arena) {
	B, Z, h, w := d.start.Dims4()
	x := pixels.Reshape(append([]int{1}, pixels.Shape()...)...).In(s).NoGrad()
	mean, logVar := d.p.VAE.Encode(x.Affine(2, -1))
	d.kept = d.p.VAE.Latents(mean, logVar, noise(d.o.Seed, 1<<33, 1, Z, h, w)).Clone()
	mask := tensor.Full(1, B, 1, h, w)
	for b, r := range rs {
		for _, o := range r.Objects {
			for y := int(o.Box[1] * float64(h)); y < int(o.Box[3]*float64(h)); y++ {
				for x := int(o.Box[0] * float64(w)); x < int(o.Box[2]*float64(w)); x++ {
					mask.Data()[(b*h+y)*w+x] = 0
				}
			}
		}
	}
	d.mask = mask
}

// noise draws B latents of a shape from N(0, 1), each from the seed and its own place.
func noise(seed, place uint64, B int, shape ...int) *tensor.Tensor {
	rows := make([]*tensor.Tensor, B)
	for b := range rows {
		rows[b] = tensor.Randn(rand.New(rand.NewPCG(seed, place+uint64(b))), 1, append([]int{1}, shape...)...)
	}
	return tensor.Concat(0, rows...)
}

// Image is image b of what [Pipeline.Draw] returns.
func Image(x *tensor.Tensor, b int) *image.RGBA {
	_, _, H, W := x.Dims4()
	img := image.NewRGBA(image.Rect(0, 0, W, H))
	plane := x.Host().Data()[3*b*H*W:]
	for i := range H * W {
		for c := range 3 {
			img.Pix[4*i+c] = uint8(plane[c*H*W+i]*255 + 0.5)
		}
		img.Pix[4*i+3] = 255
	}
	return img
}
