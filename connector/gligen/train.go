package gligen

import (
	"math/rand/v2"

	"github.com/gollava/gollava/tensor"
	"github.com/gollava/gollava/vit/unet"
)

// Batch is images with what is known of them, to train on.
type Batch struct {
	Latents   *tensor.Tensor // [B, Z, h, w], as [unet.VAE.Latents] makes them
	Noise     *tensor.Tensor // the same shape, N(0, 1)
	Timesteps []int32        // of each image
	Requests  []Request      // Prompt and Objects of each image
	Weights   []float32      // of each image's loss; nil: 1
	Grounded  bool           // the gated layers see the objects, or null tokens where a request has none
}

// In implements [train.Scoped].
func (b Batch) In(s *tensor.Arena) Batch {
	b.Latents, b.Noise = b.Latents.In(s), b.Noise.In(s)
	return b
}

// Drop says how often a part of what is known is left out in training, so that the model can draw without it and
// guidance has something to lead away from.
type Drop struct {
	Prompt float64 // each prompt by itself; GLIGEN: 0.5
	Boxes  float64 // those of the whole batch; GLIGEN: 0.1
}

// Batch draws noise and timesteps for images, and leaves out prompts and boxes by chance. Latents are [B, Z, h, w].
func (p *Pipeline) Batch(r *rand.Rand, latents *tensor.Tensor, rs []Request, grounded bool, d Drop) Batch {
	b := Batch{Latents: latents, Noise: tensor.Randn(r, 1, latents.Shape()...), Requests: append([]Request{}, rs...),
		Grounded: grounded}
	without := r.Float64() < d.Boxes
	for i := range b.Requests {
		b.Timesteps = append(b.Timesteps, int32(r.IntN(p.Schedule.Config().NumTrainTimesteps)))
		if r.Float64() < d.Prompt {
			b.Requests[i].Prompt = ""
		}
		if without {
			b.Requests[i].Objects = nil
		}
	}
	return b
}

// Loss is the mean square error of what the UNet predicts, the noise, the velocity or the sample as the schedule says,
// each image's times its weight. It trains the whole model, or with parameter groups [NewLayers] only what GLIGEN adds:
// then the first loss is that of the model without. It panics if there are more objects than Slots, or weights for
// another number of images. Source: Ho et al. 2020, equation 14; Li et al. 2023, equation 9.
func (p *Pipeline) Loss(b Batch) *tensor.Tensor {
	s := b.Latents.Arena()
	x := p.Schedule.AddNoise(b.Latents, b.Noise, b.Timesteps) // [B, Z, h, w]
	var g *unet.Grounding
	if b.Grounded {
		g = &unet.Grounding{Tokens: p.Ground(b.Requests, s), Gate: 1}
	}
	d := p.UNet.Forward(x, b.Timesteps, p.embed(prompts(b.Requests, false), s), g)
	d = d.Sub(p.Schedule.Target(b.Latents, b.Noise, b.Timesteps))
	d = d.Mul(d)
	if b.Weights != nil {
		if len(b.Weights) != d.Dim(0) {
			tensor.Fail("gligen.Pipeline.Loss", "%d weights for %d images", len(b.Weights), d.Dim(0))
		}
		d = d.Mul(tensor.Wrap(b.Weights, len(b.Weights), 1, 1, 1).In(s))
	}
	return d.Mean()
}

// NewLayers are patterns of the parameters that GLIGEN trains: the gated layers and the net that makes grounding
// tokens.
func NewLayers() []string { return []string{"unet.**.fuser.**", "unet.position_net.**"} }
