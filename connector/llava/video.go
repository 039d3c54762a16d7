package llava

import (
	"fmt"
	"math"
	"math/rand/v2"
	"slices"

	"github.com/gollava/gollava/connector"
	"github.com/gollava/gollava/tensor"
	"github.com/gollava/gollava/vit"
)

// Video says how the frames of a video, each of which is one view, become tokens. Sources: transformers'
// modeling_llava_next_video and modeling_llava_onevision; LLaVA-NeXT's get_2dPool and
// prepare_inputs_labels_for_multimodal.
type Video struct {
	Pool    string // average, max, bilinear or, early, conv; "": each feature is a token
	Stride  int    // Stride×Stride features become one
	Early   bool   // pool features, before the projector, rather than tokens
	Newline string // where image_newline stands: after each row (grid), frame (frame) or video (one_token); no_token
	Token   int    // id that stands for one token of a video in expanded ids (video_token_index)
}

// spatialPool is the original repository's mm_resampler_type of a model that pools features before the projector.
const spatialPool = "spatial_pool"

// Resampler is the convolution, with a kernel and a stride of Stride patches, that spatial_pool_mode conv pools frames
// with. Source: transformers' LlavaNextVideoPooler.
type Resampler struct {
	Pool *vit.PatchEmbed `param:"pool"` // its channels are features: weight [D, D, Stride, Stride], bias [D]
}

// newResampler has the initial weights of PyTorch's convolution.
func newResampler(r *rand.Rand, D, stride int) *Resampler {
	bound := 1 / math.Sqrt(float64(D*stride*stride))
	return &Resampler{&vit.PatchEmbed{Weight: tensor.Uniform(r, -bound, bound, D, D, stride, stride).Param(),
		Bias: tensor.Uniform(r, -bound, bound, D).Param()}}
}

// Forward maps the features of frames [F, P, D] to fewer: [F, P', D].
func (p *Resampler) Forward(x *tensor.Tensor) *tensor.Tensor {
	F, P, D := x.Dims3()
	g := side(P)
	return p.Pool.Forward(x.Transpose(0, 2, 1).Reshape(F, D, g, g))
}

// maxFrames is far more than a language model can read.
const maxFrames = 1 << 14

func (v *Video) validate() error {
	switch {
	case v == nil:
		return nil
	case !slices.Contains([]string{"", "average", "max", "bilinear"}, v.Pool) && (v.Pool != "conv" || !v.Early):
		return fmt.Errorf("spatial_pool_mode %q is not supported (average, max and bilinear are, and, in "+
			"llava_next_video, conv)", v.Pool)
	case v.Pool != "" && (v.Stride < 1 || v.Stride > 1<<10):
		return fmt.Errorf("spatial_pool_stride %d is out of range", v.Stride)
	case !slices.Contains([]string{"grid", "frame", "one_token", "no_token"}, v.Newline):
		return fmt.Errorf("mm_newline_position %q is not supported (grid, frame, one_token and no_token are)",
			v.Newline)
	}
	return nil
}

// side is how many tokens stand along a side of a frame of g×g features.
func (v *Video) side(g int) int {
	switch v.Pool {
	case "":
		return g
	case "bilinear":
		return (g + v.Stride - 1) / v.Stride
	}
	return g / v.Stride // what fills no window is left out
}

// Tokens is the number of tokens of a video of frames with P features each.
func (v *Video) Tokens(frames, P int) int {
	n, newlines := P, 0
	if g := side(P); v.Pool != "" || v.Newline == "grid" {
		h := v.side(g)
		n = h * h
		newlines = map[string]int{"grid": frames * h}[v.Newline]
	}
	switch v.Newline {
	case "frame":
		newlines = frames
	case "one_token":
		newlines = 1
	}
	return frames*n + newlines
}

// Pooled makes the tokens or features x [F, P, C] of frames fewer: [F, P', C]. It does not know conv, whose weights are
// the connector's.
func (v *Video) Pooled(x *tensor.Tensor) *tensor.Tensor {
	if v.Pool == "" {
		return x
	}
	F, P, C := x.Dims3()
	g := side(P)
	h := v.side(g)
	x = x.Reshape(F, g, g, C).Transpose(0, 3, 1, 2) // [F, C, g, g]
	switch window := (tensor.PoolConfig{Kernel: []int{v.Stride}}); v.Pool {
	case "average":
		x = tensor.AvgPool(x, window)
	case "max":
		x = tensor.MaxPool(x, window)
	default:
		x = tensor.Interpolate(x, h, h, tensor.InterpolateConfig{Mode: tensor.Bilinear})
	}
	return x.Transpose(0, 2, 3, 1).Reshape(F, h*h, C)
}

// Lines puts newlines [C] among the pooled tokens x [F, P', C] of a video: [N, C]. It panics if there are none.
func (v *Video) Lines(x, newline *tensor.Tensor) *tensor.Tensor {
	F, P, C := x.Dims3()
	if F*P == 0 {
		tensor.Fail("Lines", "%v: a video without tokens", x.Shape())
	}
	after := func(rows int) *tensor.Tensor { // each of so many
		ids := tensor.WrapInts(make([]int32, rows), rows, 1)
		return tensor.Concat(1, x.Reshape(rows, F*P/rows, C), tensor.Gather(newline.Reshape(1, C), ids)).Reshape(-1, C)
	}
	switch v.Newline {
	case "grid":
		return after(F * side(P))
	case "frame":
		return after(F)
	case "one_token":
		return after(1)
	}
	return x.Reshape(F*P, C)
}

// MediaLayout implements [connector.MediaConnector].
func (x *Connector) MediaLayout(m connector.Media) (connector.Layout, error) {
	c := &x.config
	switch {
	case m.Frames == 0 && m.Several && c.alone():
		return connector.Layout{Views: 1, Tokens: c.patches() + 1}, nil
	case m.Frames == 0:
		return x.Layout(m.Size), nil
	case c.Video == nil:
		return connector.Layout{}, fmt.Errorf("a video: a model of type %s takes images; give it frames as images",
			c.kind())
	case m.Frames < 0 || m.Frames > maxFrames:
		return connector.Layout{}, fmt.Errorf("a video of %d frames; up to %d are possible", m.Frames, maxFrames)
	}
	P := c.FeaturesPerView()
	if c.Kind == VideoLLaVA {
		P = c.patches() + 1 // the class token too
	}
	return connector.Layout{Views: m.Frames, Tokens: c.Video.Tokens(m.Frames, P)}, nil
}

// MediaForward implements [connector.MediaConnector].
func (x *Connector) MediaForward(features *tensor.Tensor, media []connector.Media) *tensor.Tensor {
	if x.config.Kind != VideoLLaVA && !slices.ContainsFunc(media,
		func(m connector.Media) bool { return m.Frames > 0 }) {
		return x.images(features, media)
	}
	var parts []*tensor.Tensor
	at := 0
	for _, m := range media {
		l, err := x.MediaLayout(m)
		if err != nil || at+l.Views > features.Dim(0) {
			tensor.Fail("Connector", "%d views for %v: %v", features.Dim(0), media, err)
		}
		f := features.Slice(0, at, at+l.Views) // [views, P, D]
		if at += l.Views; m.Frames > 0 {
			parts = append(parts, x.video(f))
			continue
		}
		if x.config.Kind == VideoLLaVA {
			f = f.Slice(1, 1, f.Dim(1)) // the class token is for videos
		}
		parts = append(parts, x.images(f, []connector.Media{m}))
	}
	return tensor.Concat(0, parts...)
}

// video maps the features of frames [F, P, D] to tokens [N, C].
func (x *Connector) video(f *tensor.Tensor) *tensor.Tensor {
	v := x.config.Video
	switch {
	case v.Pool == "conv":
		return v.Lines(x.Projector.Forward(x.Resampler.Forward(f)), x.Newline)
	case v.Early:
		return v.Lines(x.Projector.Forward(v.Pooled(f)), x.Newline)
	}
	return v.Lines(v.Pooled(x.Projector.Forward(f)), x.Newline)
}

// Encodes implements [connector.Encoder].
func (x *Connector) Encodes(tower vit.VisionConfig, s vit.Select) (channels, side, width int) {
	channels, side, width = tower.NumChannels, tower.ImageSize, len(s.Layers)*tower.HiddenSize
	if n := len(x.config.Scales); n > 0 {
		return channels, x.config.Scales[n-1], n * width
	}
	if x.config.Second != nil {
		return 2 * channels, x.config.side(), x.config.featureWidth()
	}
	return channels, side, width
}

// Encode implements [connector.Encoder]: Video-LLaVA looks at videos with a tower of their own, a model with scales at
// all of them, one with two towers with both.
func (x *Connector) Encode(images vit.Tower, pixels *tensor.Tensor, s vit.Select,
	media []connector.Media) *tensor.Tensor {
	if len(x.config.Scales) > 0 {
		return vit.S2Features(images, pixels, s, x.config.Scales)
	}
	if x.SecondTower != nil {
		return x.beside(images, pixels, s)
	}
	if x.VideoTower == nil {
		return vit.Features(images, pixels, s)
	}
	var parts []*tensor.Tensor
	at := 0
	for _, m := range media {
		tower, n := images, 1
		if m.Frames > 0 {
			tower, n = x.VideoTower, m.Frames
		}
		parts = append(parts, vit.Features(tower, pixels.Slice(0, at, at+n), s))
		at += n
	}
	return tensor.Concat(0, parts...)
}
