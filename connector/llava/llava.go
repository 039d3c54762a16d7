// Package llava is LLaVA, of every version from the first to LLaVA-NeXT: its projectors and tiles as a
// [connector.Connector], and every layout that its checkpoints come in. It writes the Hub's layout, which transformers
// loads, and the original repository's.
//
//	a, err := llava.Open("llava-1.5-7b-hf", llava.LoadOptions{})
//	answer, err := a.Ask(ctx, "What is this?", "picture.png")
package llava

import (
	"fmt"
	"math"
	"math/rand/v2"

	"github.com/gollava/gollava/connector"
	"github.com/gollava/gollava/data/imaging"
	"github.com/gollava/gollava/llm"
	"github.com/gollava/gollava/tensor"
	"github.com/gollava/gollava/vit"
)

// Connector projects each feature to a token. Of an image that is shown as tiles (LLaVA-NeXT) it lays the tiles'
// tokens together again.
// It is safe for concurrent use while nobody changes its parameters.
type Connector struct {
	Projector *Projector     `param:"multi_modal_projector"`
	Newline   *tensor.Tensor `param:"image_newline,optional"` // [C], the end of a row of tiles; nil without tiles

	VideoTower vit.Tower `param:"video_tower,optional"` // Video-LLaVA's; nil: frames pass the model's tower

	Resampler *Resampler `param:"vision_resampler,optional"` // of LLaVA-NeXT-Video with spatial_pool_mode conv

	// SecondTower looks at the views too, and its features are concatenated to those of the model's tower (Prismatic);
	// nil: there is none
	SecondTower vit.Tower `param:"second_vision_tower,optional"`

	config Config
}

// New builds the model that c describes. With a nil r its weights are to be loaded.
func New(r *rand.Rand, c Config) (*connector.VLM, error) {
	if err := c.Validate(); err != nil {
		return nil, err
	}
	v, err := vit.New(r, c.Vision)
	if err != nil {
		return nil, err
	}
	p, err := NewProjector(r, c)
	if err != nil {
		return nil, err
	}
	l, err := llm.New(r, c.Text)
	if err != nil {
		return nil, err
	}
	var second vit.Tower
	if c.Second != nil {
		if second, err = vit.New(r, *c.Second); err != nil {
			return nil, err
		}
	}
	return join(r, v, second, p, l, c)
}

// Join puts a trained encoder and a trained language model together with a fresh projector: the start of stage 1. c's
// Text, Vision and Second are taken from the parts; second is one tower that stands beside v, or none.
func Join(r *rand.Rand, v vit.Tower, l llm.Model, c Config, second ...vit.Tower) (*connector.VLM, error) {
	c.Text, c.Vision, c.Second = l.Config(), v.Config(), nil
	var beside vit.Tower
	switch len(second) {
	case 0:
	case 1:
		beside = second[0]
		config := beside.Config()
		c.Second = &config
	default:
		return nil, fmt.Errorf("%d towers beside the first: one is possible", len(second))
	}
	if err := c.Validate(); err != nil {
		return nil, err
	}
	p, err := NewProjector(r, c)
	if err != nil {
		return nil, err
	}
	return join(r, v, beside, p, l, c)
}

func join(r *rand.Rand, v, second vit.Tower, p *Projector, l llm.Model, c Config) (*connector.VLM, error) {
	x := &Connector{Projector: p, SecondTower: second, config: c}
	if c.Next() {
		x.Newline = tensor.Randn(r, 1/math.Sqrt(float64(c.Text.HiddenSize)), c.Text.HiddenSize).Param()
	}
	if c.Kind == VideoLLaVA {
		t, err := vit.New(r, c.Vision)
		if err != nil {
			return nil, err
		}
		x.VideoTower = t
		c.Select.Class = "cls_patch"
	}
	if c.Video != nil && c.Video.Pool == "conv" {
		x.Resampler = newResampler(r, c.featureWidth(), c.Video.Stride)
	}
	video := 0
	if c.Video != nil {
		video = max(c.Video.Token, 0)
	}
	return connector.New(v, x, l, connector.Config{Select: c.Select, Image: c.Image, Video: video,
		MaxLength: c.MaxLength, EOS: c.ends(), PAD: c.padding()})
}

// ConfigOf describes a LLaVA. It panics if m's connector is another one.
func ConfigOf(m *connector.VLM) Config {
	x, ok := m.Connector.(*Connector)
	if !ok {
		tensor.Fail("ConfigOf", "the connector is a %T, not LLaVA's", m.Connector)
	}
	return x.config
}

// Layout implements [connector.Connector].
func (x *Connector) Layout(size imaging.Size) connector.Layout {
	if !x.config.Next() {
		return connector.Layout{Views: 1, Tokens: x.config.FeaturesPerView()}
	}
	l := x.config.AnyRes().Layout(size.W, size.H)
	return connector.Layout{Views: 1 + l.Cols*l.Rows, Tokens: l.Tokens}
}

// Forward implements [connector.Connector]: features [V, P, D] to tokens [N, C].
func (x *Connector) Forward(features *tensor.Tensor, sizes []imaging.Size) *tensor.Tensor {
	media := make([]connector.Media, len(sizes))
	for i, s := range sizes {
		media[i].Size = s
	}
	return x.MediaForward(features, media)
}

// images maps the features of images [V, P, D] to tokens [N, C].
func (x *Connector) images(features *tensor.Tensor, media []connector.Media) *tensor.Tensor {
	y := x.Projector.Forward(features) // [V, P', C]
	V, P, C := y.Dims3()
	y = y.Reshape(V*P, C)
	if !x.config.Next() {
		return y
	}
	p, err := x.config.pack(media, P, V)
	if err != nil {
		tensor.Fail("Connector", "%v", err)
	}
	return p.apply(y, x.Newline)
}
