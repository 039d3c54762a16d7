package connector

import (
	"fmt"
	"slices"

	"github.com/gollava/gollava/data/imaging"
	"github.com/gollava/gollava/tensor"
	"github.com/gollava/gollava/vit"
)

// Media is what one place in the text stands for: an image, or a video.
type Media struct {
	Size    imaging.Size // as it came
	Frames  int          // of a video; 0: an image
	Several bool         // an image in a sample with other images
}

// MediaConnector is a [Connector] that takes videos, or that shows an image otherwise where a sample has several
// (LLaVA-OneVision).
type MediaConnector interface {
	Connector

	// MediaLayout is Layout for any media. The views of a video are its frames. It returns an error for media that
	// the model does not take.
	MediaLayout(m Media) (Layout, error)

	// MediaForward is Forward for any media.
	MediaForward(features *tensor.Tensor, media []Media) *tensor.Tensor
}

// Encoder is a [Connector] that has the tower look in a way of its own: at videos with another tower (Video-LLaVA), or
// at several scales (S²), or with a second tower beside it (Prismatic).
type Encoder interface {
	Connector

	// Encodes is the number of channels of the images that Encode takes, their width and height, and the width D of
	// the features that it returns, where the model has such a tower.
	Encodes(tower vit.VisionConfig, s vit.Select) (channels, side, width int)

	// Encode returns the features [V, P, D] that s selects of the views of media, pixels [V, channels, S, S]. images
	// is the model's tower.
	Encode(images vit.Tower, pixels *tensor.Tensor, s vit.Select, media []Media) *tensor.Tensor
}

// Layout is the views and the tokens that x becomes. It returns an error for media that the model does not take.
func (m *VLM) Layout(x Media) (Layout, error) {
	switch c, ok := m.Connector.(MediaConnector); {
	case m.Connector == nil:
		return Layout{}, errTextOnly
	case x.Size.W <= 0 || x.Size.H <= 0:
		return Layout{}, fmt.Errorf("a picture of %d×%d pixels", x.Size.W, x.Size.H)
	case ok:
		return c.MediaLayout(x)
	case x.Frames > 0:
		return Layout{}, fmt.Errorf("a video: the model takes images; give it frames as images")
	}
	return m.Connector.Layout(x.Size), nil
}

// side is the width and height of the images that the encoder takes; 0 where there is no encoder.
func (m *VLM) side() int {
	_, side, _ := m.encodes()
	return side
}

// encodes is the number of channels, and the width and height, of the images that the encoder takes, and the width of
// its features.
func (m *VLM) encodes() (channels, side, width int) {
	if m.Vision == nil {
		return 0, 0, 0
	}
	v := m.Vision.Config()
	if e, ok := m.Connector.(Encoder); ok {
		return e.Encodes(v, m.config.Select)
	}
	return v.NumChannels, v.ImageSize, len(m.config.Select.Layers) * v.HiddenSize
}

// Features is what the connector gets of pixels [V, channels, S, S], the views of media: [V, P, D]. nil media are
// images of one view.
func (m *VLM) Features(pixels *tensor.Tensor, media []Media) *tensor.Tensor {
	e, ok := m.Connector.(Encoder)
	if !ok {
		return vit.Features(m.Vision, pixels, m.config.Select)
	}
	if media == nil {
		S := m.side()
		media = slices.Repeat([]Media{{Size: imaging.Size{W: S, H: S}}}, pixels.Dim(0))
	}
	return e.Encode(m.Vision, pixels, m.config.Select, media)
}

// media are those of the batch.
func (m *VLM) media(b Batch) []Media {
	switch S := m.side(); {
	case b.Media != nil:
		return b.Media
	case b.Sizes == nil:
		return slices.Repeat([]Media{{Size: imaging.Size{W: S, H: S}}}, b.views())
	}
	media := make([]Media, len(b.Sizes))
	for i, s := range b.Sizes {
		media[i].Size = s
	}
	return media
}

// forward maps features [V, P, D] of media to tokens [N, C].
func forward(c Connector, features *tensor.Tensor, media []Media) *tensor.Tensor {
	if m, ok := c.(MediaConnector); ok {
		return m.MediaForward(features, media)
	}
	sizes := make([]imaging.Size, len(media))
	for i, m := range media {
		sizes[i] = m.Size
	}
	return c.Forward(features, sizes)
}

// together marks the images of a sample as several, if they are, and leaves each the views that it then has.
func (m *VLM) together(images []Image) []Image {
	n := 0
	for _, x := range images {
		if x.Frames == 0 {
			n++
		}
	}
	if _, ok := m.Connector.(MediaConnector); !ok || n < 2 {
		return images
	}
	images = slices.Clone(images)
	for i := range images {
		if images[i].Frames == 0 {
			images[i].Several = true
			images[i] = m.baseView(images[i])
		}
	}
	return images
}

// baseView leaves an image of which tiles are not shown its first view.
func (m *VLM) baseView(x Image) Image {
	l, err := m.Layout(x.media())
	if err != nil || l.Views != 1 {
		return x
	}
	if x.Features != nil && x.Features.Rank() == 3 && x.Features.Dim(0) > 1 {
		x.Features = x.Features.Slice(0, 0, 1)
	} else if p := x.Pixels; p.N > 1 {
		x.Pixels.N, x.Pixels.Data = 1, p.Data[:len(p.Data)/p.N]
	}
	return x
}

func (x Image) media() Media { return Media{Size: x.Size, Frames: x.Frames, Several: x.Several} }
