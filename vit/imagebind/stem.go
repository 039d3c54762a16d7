package imagebind

import (
	"math/rand/v2"

	"github.com/gollava/gollava/nn"
	"github.com/gollava/gollava/tensor"
)

// Preprocessor turns inputs of a modality into tokens.
type Preprocessor interface {
	// Tokens maps a batch [B, ...] to what enters the first block: [B, T, D].
	Tokens(x *tensor.Tensor) *tensor.Tensor

	// Clips is the number S of clips of each element of x, or 0 if x has no axis for clips.
	Clips(x *tensor.Tensor) int
}

// preprocessor builds that of a modality.
func (c *Config) preprocessor(r *rand.Rand, kind Modality) Preprocessor {
	D := c.trunk(kind).dim
	conv := func(in int, kernel []int, stride ...int) *nn.Conv {
		return nn.NewConv(r, in, D, kernel, tensor.ConvConfig{Stride: stride}, false)
	}
	picture := func(size [2]int) (*Stem, *Grid) {
		side, p := size[0], size[1]
		return &Stem{Proj: conv(1, []int{p, p}, p, p), Norm: nn.NewLayerNorm(r, D, 1e-5, true)},
			c.grid(r, D, []int{1, side, side}, (side/p)*(side/p))
	}
	switch kind {
	case Vision:
		side, p := c.VisionPatch[0], c.VisionPatch[1]
		g := c.grid(r, D, []int{3, side, side}, (side/p)*(side/p))
		g.RGB = &Stem{Video: conv(3, []int{2, p, p}, 2, p, p)}
		return g
	case Text:
		return &Tokens{Token: nn.NewEmbedding(r, c.VocabSize, D, 0.02),
			Position: tensor.Randn(r, 0.01, 1, c.ContextLength, D).Param()}
	case Audio:
		k, s := c.AudioKernel[0], c.AudioKernel[1]
		bins, frames := c.AudioShape[0], c.AudioShape[1]
		g := c.grid(r, D, []int{1, bins, frames}, ((bins-k)/s+1)*((frames-k)/s+1))
		g.RGB = &Stem{Proj: conv(1, []int{k, k}, s, s), Norm: nn.NewLayerNorm(r, D, 1e-5, true)}
		return g
	case Depth:
		stem, g := picture(c.DepthPatch)
		g.Depth = stem
		return g
	case Thermal:
		stem, g := picture(c.ThermalPatch)
		g.RGB = stem
		return g
	}
	channels, samples, window := c.IMUShape[0], c.IMUShape[1], c.IMUShape[2]
	return &Windows{Class: tensor.Randn(r, 0.02, 1, 1, D).Param(),
		Position: tensor.Randn(r, 0.01, 1, samples/window+1, D).Param(),
		Stem:     &Stem{Proj: nn.NewLinear(r, channels*window, D, false), Norm: nn.NewLayerNorm(r, D, 1e-5, true)},
		channels: channels, samples: samples, window: window}
}

// Grid makes tokens of the cells of a picture, a spectrogram, a depth map or a thermal image, behind a class token.
type Grid struct {
	Class    *tensor.Tensor `param:"cls_token"`                      // [1, 1, D]
	Position *tensor.Tensor `param:"pos_embedding_helper.pos_embed"` // [1, T, D]
	RGB      *Stem          `param:"rgbt_stem,optional"`
	Depth    *Stem          `param:"depth_stem,optional"`

	in []int // an input without the batch
}

// grid is one without its stem, for pictures of the shape in and so many cells.
func (c *Config) grid(r *rand.Rand, D int, in []int, cells int) *Grid {
	std := c.PositionStd
	if std == 0 {
		std = 0.02
	}
	return &Grid{Class: tensor.Randn(r, 0.02, 1, 1, D).Param(), Position: tensor.Randn(r, std, 1, cells+1, D).Param(),
		in: in}
}

// Stem maps cells to width D: a convolution, or a linear layer for windows of samples.
type Stem struct {
	Proj  nn.Layer `param:"proj,optional"`
	Video nn.Layer `param:"proj.1,optional"`     // [D, 3, 2, p, p]; proj.0 repeats a picture to make two frames
	Norm  nn.Layer `param:"norm_layer,optional"` // pictures have none
}

// Clips implements [Preprocessor]: pictures with five axes or more have clips, as the authors' code has it.
func (g *Grid) Clips(x *tensor.Tensor) int {
	if x.Rank() >= 5 {
		return x.Dim(1)
	}
	return 0
}

// Tokens implements [Preprocessor]: x is [B, C, H, W], or [B, 3, 2, H, W] for clips of two frames.
func (g *Grid) Tokens(x *tensor.Tensor) *tensor.Tensor {
	defer tensor.Blame(g)
	s, stem := x.Shape(), g.RGB
	if stem == nil {
		stem = g.Depth
	}
	C, H, W := g.in[0], g.in[1], g.in[2]
	still := len(s) == 4 && s[1] == C && s[2] == H && s[3] == W
	moving := stem.Video != nil && len(s) == 5 && s[1] == C && s[2] == 2 && s[3] == H && s[4] == W
	switch {
	case !still && !moving && stem.Video != nil:
		tensor.Fail("ImageBind", "pictures %v: needs [B %d %d %d] or clips [B S %[2]d 2 %[3]d %[4]d]", s, C, H, W)
	case !still && !moving:
		tensor.Fail("ImageBind", "input %v: needs [B %d %d %d] or clips [B S %[2]d %[3]d %[4]d]", s, C, H, W)
	}
	B := s[0]
	var y *tensor.Tensor
	if stem.Video != nil {
		if still {
			x = x.Reshape(B, C, 1, H, W)
			x = tensor.Concat(2, x, x) // [B, 3, 2, H, W]
		}
		y = stem.Video.Forward(x) // [B, D, 1, h, w]
	} else {
		y = stem.Proj.Forward(x) // [B, D, h, w]
	}
	y = y.Reshape(B, y.Dim(1), y.Dim(-2)*y.Dim(-1)).Transpose() // [B, h·w, D]
	if stem.Norm != nil {
		y = stem.Norm.Forward(y)
	}
	return behind(g.Class, y).Add(g.Position) // [B, 1+h·w, D]
}

// behind puts a class token [1, 1, D] in front of tokens [B, T, D].
func behind(class, x *tensor.Tensor) *tensor.Tensor {
	B, _, D := x.Dims3()
	first := tensor.WrapInts(make([]int32, B), B, 1).In(x.Arena())
	return tensor.Concat(1, tensor.Gather(class.Reshape(1, D), first), x)
}

// Tokens embeds text.
type Tokens struct {
	Token    *nn.Embedding  `param:"token_embedding"` // [V, D]
	Position *tensor.Tensor `param:"pos_embed"`       // [1, 77, D]
}

// Clips implements [Preprocessor]: text has none.
func (t *Tokens) Clips(*tensor.Tensor) int { return 0 }

// Tokens implements [Preprocessor]: ids are int32 [B, 77], with the end of text followed by zeros.
func (t *Tokens) Tokens(ids *tensor.Tensor) *tensor.Tensor {
	defer tensor.Blame(t)
	if s := ids.Shape(); len(s) != 2 || s[1] != t.Position.Dim(1) {
		tensor.Fail("ImageBind", "ids %v: needs [B %d]", s, t.Position.Dim(1))
	}
	return t.Token.Lookup(ids).Add(t.Position)
}

// Windows makes tokens of windows of samples.
type Windows struct {
	Class    *tensor.Tensor `param:"cls_token"` // [1, 1, D]
	Position *tensor.Tensor `param:"pos_embed"` // [1, T, D]
	Stem     *Stem          `param:"imu_stem"`

	channels, samples, window int
}

// Clips implements [Preprocessor]: samples have none.
func (w *Windows) Clips(*tensor.Tensor) int { return 0 }

// Tokens implements [Preprocessor]: x is [B, channels, samples]; samples that fill no window are left out.
func (w *Windows) Tokens(x *tensor.Tensor) *tensor.Tensor {
	defer tensor.Blame(w)
	if s := x.Shape(); len(s) != 3 || s[1] != w.channels || s[2] != w.samples {
		tensor.Fail("ImageBind", "samples %v: needs [B %d %d]", s, w.channels, w.samples)
	}
	B, C, K := x.Dim(0), w.channels, w.window
	N := w.samples / K
	y := x.Slice(2, 0, N*K).Reshape(B, C, N, K).Transpose(0, 2, 1, 3).Reshape(B, N, C*K) // [B, N, C·K]
	return behind(w.Class, w.Stem.Norm.Forward(w.Stem.Proj.Forward(y))).Add(w.Position)
}
