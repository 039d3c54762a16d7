package gligen

import (
	"errors"
	"fmt"
	"math"

	"github.com/gollava/gollava/tensor"
	"github.com/gollava/gollava/vit/diffusion"
	"github.com/gollava/gollava/vit/unet"
)

// maxSide is far above any image that a model draws.
const maxSide = 1 << 14

// plan checks the requests and the options, and makes of them what does not change while drawing.
func (p *Pipeline) plan(rs []Request, o Options) (*drawing, error) {
	if len(rs) == 0 {
		return nil, errors.New("there is no request")
	}
	for i, r := range rs {
		if err := p.Check(r); err != nil {
			return nil, fmt.Errorf("request %d: %w", i, err)
		}
	}
	if math.IsNaN(o.Guidance) || math.IsInf(o.Guidance, 0) {
		return nil, fmt.Errorf("guidance %v is no number", o.Guidance)
	}
	schedule := p.Schedule
	if o.Scheduler != "" && o.Scheduler != schedule.Config().ClassName {
		var err error
		if schedule, err = diffusion.New(schedule.Config().As(o.Scheduler)); err != nil {
			return nil, fmt.Errorf("scheduler: %w", err)
		}
	}
	sampler, err := schedule.Sampler(o.Steps)
	if err != nil {
		return nil, err
	}
	d := &drawing{p: p, o: o, sampler: sampler, guided: o.Guidance > 1, grounded: p.UNet.Position != nil}
	if d.gates, err = Gates(len(sampler.Timesteps()), o.Tau, o.Decay); err != nil {
		return nil, fmt.Errorf("tau and decay: %w", err)
	}
	shape, err := p.shape(o, len(rs))
	if err != nil {
		return nil, err
	}
	if d.start = o.Latents; d.start == nil {
		d.start = noise(o.Seed, 0, len(rs), shape[1:]...)
	} else if got := o.Latents.Shape(); fmt.Sprint(got) != fmt.Sprint(shape) {
		return nil, fmt.Errorf("latents %v: %v are needed", got, shape)
	}
	return d, nil
}

// shape is that of the latents.
func (p *Pipeline) shape(o Options, B int) ([]int, error) {
	f := p.VAE.Factor()
	H, W := o.Height, o.Width
	h, w := p.UNet.Config().SampleSize, p.UNet.Config().SampleSize // of latents, where nothing is said
	if o.Latents != nil && o.Latents.Rank() == 4 {
		_, _, h, w = o.Latents.Dims4()
	}
	if o.Inpaint != nil {
		s := o.Inpaint.Shape()
		if len(s) != 3 || s[0] != 3 || H != 0 && H != s[1] || W != 0 && W != s[2] {
			return nil, fmt.Errorf("the image to inpaint is %v: [3, %d, %d] is needed", s, H, W)
		}
		H, W = s[1], s[2]
	}
	if H == 0 {
		H = h * f
	}
	if W == 0 {
		W = w * f
	}
	if H < f || W < f || H%f != 0 || W%f != 0 || H > maxSide || W > maxSide {
		return nil, fmt.Errorf("an image of %d×%d pixels: both sides must be multiples of %d, at most %d", H, W, f,
			maxSide)
	}
	return []int{B, p.VAE.Channels(), H / f, W / f}, nil
}

// Check returns an error that names what is wrong with a request: a box outside [0, 1] or without area, more objects
// than Slots, an object without a phrase or image, objects for a model without gated layers.
func (p *Pipeline) Check(r Request) error {
	kind := p.UNet.Config().AttentionType
	switch {
	case len(r.Objects) > 0 && kind == unet.Plain:
		return fmt.Errorf("%d objects: attention_type %q of the model has no gated layers for boxes", len(r.Objects),
			kind)
	case len(r.Objects) > p.Slots:
		return fmt.Errorf("%d objects: the model has slots for %d", len(r.Objects), p.Slots)
	}
	for i, o := range r.Objects {
		what := fmt.Sprintf("object %d (%q)", i, o.Phrase)
		for _, v := range o.Box {
			if !(v >= 0 && v <= 1) {
				return fmt.Errorf("%s: box %v: every coordinate must be within [0, 1]", what, o.Box)
			}
		}
		switch E := p.UNet.Config().CrossAttentionDim; {
		case o.Box[2] <= o.Box[0] || o.Box[3] <= o.Box[1]:
			return fmt.Errorf("%s: box %v has no area: it is x0, y0, x1, y1 with x0 < x1 and y0 < y1", what, o.Box)
		case o.Phrase == "" && o.Feature == nil:
			return fmt.Errorf("%s: there is neither a phrase nor an image", what)
		case o.Feature != nil && kind != unet.GatedTextImage:
			return fmt.Errorf("%s: an image needs attention_type %q, not %q", what, unet.GatedTextImage, kind)
		case o.Feature != nil && (o.Feature.DType() != tensor.Float32 || o.Feature.Rank() != 1 || o.Feature.Len() != E):
			return fmt.Errorf("%s: feature %v of the image: [%d] is needed", what, o.Feature.Shape(), E)
		}
	}
	return nil
}
