// Package focalnet holds FocalNet, a convolutional backbone with four stages whose features [SEEM] and X-Decoder start
// from. Blocks mix places by focal modulation in place of attention.
//
// [SEEM]: https://arxiv.org/abs/2304.06718
package focalnet

import (
	"fmt"
	"math/rand/v2"

	"github.com/gollava/gollava/nn"
	"github.com/gollava/gollava/tensor"
)

// Config describes a backbone by the fields of SEEM's configuration.
type Config struct {
	EmbedDim int    `json:"EMBED_DIM"`     // channels of the first stage; each next one has twice as many
	Depths   [4]int `json:"DEPTHS"`        // blocks of each stage
	Levels   [4]int `json:"FOCAL_LEVELS"`  // depthwise convolutions of a block
	Windows  [4]int `json:"FOCAL_WINDOWS"` // kernel of the first of them; each next one is larger by 2

	// StemStride is the step of the first convolution, 0: 4, and Downsample are those between the stages, 0: 2, as in all
	// released models. Departures for small pictures.
	StemStride int    `json:"gollava_stem_stride,omitempty"`
	Downsample [3]int `json:"gollava_downsample,omitzero"`
}

// Large is the backbone of SEEM's Focal-L.
func Large() Config {
	return Config{EmbedDim: 192, Depths: [4]int{2, 2, 18, 2}, Levels: [4]int{4, 4, 4, 4}, Windows: [4]int{3, 3, 3, 3}}
}

// strides are the steps of the stem and of what lies between the stages.
func (c Config) strides() [4]int {
	s := [4]int{4, 2, 2, 2}
	for i, n := range [4]int{c.StemStride, c.Downsample[0], c.Downsample[1], c.Downsample[2]} {
		if n != 0 {
			s[i] = n
		}
	}
	return s
}

// Stride is how many pixels lie between the features of the last stage.
func (c Config) Stride() int {
	s := c.strides()
	return s[0] * s[1] * s[2] * s[3]
}

// What configs may ask for, far above any real model: a hostile file must not exhaust the memory.
const (
	maxWidth  = 1 << 16
	maxBlocks = 1 << 10
)

// Kernels of the convolutions of overlapping patches.
const (
	stemKernel = 7
	kernel     = 3
)

// Validate returns an error that names the first field with a value that no backbone can have.
func (c Config) Validate() error {
	if c.EmbedDim < 1 || c.EmbedDim > maxWidth {
		return fmt.Errorf("EMBED_DIM is %d, and must be at least 1 and at most %d", c.EmbedDim, maxWidth)
	}
	s := c.strides()
	if s[0] < 1 || s[0] > stemKernel {
		return fmt.Errorf("gollava_stem_stride is %d, and must be in 1 to %d, the kernel", s[0], stemKernel)
	}
	for i, n := range s[1:] {
		if n < 1 || n > kernel {
			return fmt.Errorf("gollava_downsample[%d] is %d, and must be in 1 to %d, the kernel", i, n, kernel)
		}
	}
	for i := range c.Depths {
		if c.Depths[i] < 1 || c.Levels[i] < 1 || c.Windows[i] < 1 || c.Windows[i]%2 == 0 {
			return fmt.Errorf("stage %d: DEPTHS %d and FOCAL_LEVELS %d must be at least 1, FOCAL_WINDOWS %d odd", i,
				c.Depths[i], c.Levels[i], c.Windows[i])
		}
		if c.Depths[i] > maxBlocks || c.Levels[i] > maxBlocks || c.Windows[i] > maxBlocks {
			return fmt.Errorf("stage %d: DEPTHS %d, FOCAL_LEVELS %d and FOCAL_WINDOWS %d must be at most %d", i,
				c.Depths[i], c.Levels[i], c.Windows[i], maxBlocks)
		}
	}
	return nil
}

// Backbone is the stem and four stages. Source: Yang et al. 2022, "Focal Modulation Networks";
// modeling/vision/backbone/focal.py of SEEM, names included, with overlapping patches, LayerNorm behind each branch
// and layer scale. It is safe for concurrent use while nobody changes its parameters.
type Backbone struct {
	Stem   *Patches `param:"patch_embed"`
	Stages []*Stage `param:"layers"`
	Norm0  nn.Layer `param:"norm0"`
	Norm1  nn.Layer `param:"norm1"`
	Norm2  nn.Layer `param:"norm2"`
	Norm3  nn.Layer `param:"norm3"`
}

// Stage is blocks and, but for the last stage, a convolution that halves the size (see [Config]'s Downsample).
type Stage struct {
	Blocks     []*Block `param:"blocks"`
	Downsample *Patches `param:"downsample,optional"`
}

// Patches is a convolution of overlapping patches and LayerNorm.
type Patches struct {
	Proj *nn.Conv `param:"proj"`
	Norm nn.Layer `param:"norm"`
}

// Block is x + γ₁·LN₁(modulation(x)), then x + γ₂·LN₂(MLP(x)).
type Block struct {
	Modulation *Modulation    `param:"modulation"`
	Norm1      nn.Layer       `param:"norm1"`
	Gamma1     *tensor.Tensor `param:"gamma_1"` // [C]
	FC1        nn.Layer       `param:"mlp.fc1"` // [4C, C]
	FC2        nn.Layer       `param:"mlp.fc2"` // [C, 4C]
	Norm2      nn.Layer       `param:"norm2"`
	Gamma2     *tensor.Tensor `param:"gamma_2"` // [C]
}

// Modulation is proj(q ⊙ h(Σ gate_l·context_l/(L+1))).
type Modulation struct {
	F      nn.Layer `param:"f"` // [2C+L+1, C]: q, context, gates
	H      *nn.Conv `param:"h"` // [C, C, 1, 1]
	Focal  []*Focal `param:"focal_layers"`
	Output nn.Layer `param:"proj"` // [C, C]
}

// Focal is a depthwise convolution that GELU follows.
type Focal struct {
	Conv *nn.Conv `param:"0"`
}

// layerScale is what Gamma1 and Gamma2 start with.
const layerScale = 1e-4

// New builds a backbone; with a nil r its weights are to be loaded.
func New(r *rand.Rand, c Config) (*Backbone, error) {
	if err := c.Validate(); err != nil {
		return nil, err
	}
	norm := func(stage int) nn.Layer { return nn.NewLayerNorm(r, c.EmbedDim<<stage, 1e-5, true) }
	s := c.strides()
	b := &Backbone{Stem: patches(r, 3, c.EmbedDim, stemKernel, s[0]), Norm0: norm(0), Norm1: norm(1), Norm2: norm(2),
		Norm3: norm(3)}
	for i := range c.Depths {
		C := c.EmbedDim << i
		stage := &Stage{}
		for range c.Depths[i] {
			stage.Blocks = append(stage.Blocks, newBlock(r, C, c.Levels[i], c.Windows[i]))
		}
		if i < 3 {
			stage.Downsample = patches(r, C, 2*C, kernel, s[i+1])
		}
		b.Stages = append(b.Stages, stage)
	}
	return b, nil
}

func patches(r *rand.Rand, in, out, kernel, stride int) *Patches {
	c := tensor.ConvConfig{Stride: []int{stride}, Padding: []int{(kernel - stride + 1) / 2}}
	return &Patches{Proj: nn.NewConv(r, in, out, []int{kernel, kernel}, c, true), Norm: nn.NewLayerNorm(r, out, 1e-5,
		true)}
}

func newBlock(r *rand.Rand, C, levels, window int) *Block {
	gamma := func() *tensor.Tensor {
		g := tensor.Meta(tensor.Float32, C).Param()
		if r != nil {
			g.Allocate()
			g.Fill(layerScale)
		}
		return g
	}
	m := &Modulation{F: nn.NewNormalLinear(r, C, 2*C+levels+1, 0.02), Output: nn.NewNormalLinear(r, C, C, 0.02),
		H: nn.NewConv(r, C, C, []int{1, 1}, tensor.ConvConfig{}, true)}
	for l := range levels {
		k := window + 2*l
		m.Focal = append(m.Focal, &Focal{nn.NewConv(r, C, C, []int{k, k}, tensor.ConvConfig{Padding: []int{k / 2},
			Groups: C}, false)})
	}
	return &Block{Modulation: m, Norm1: nn.NewLayerNorm(r, C, 1e-5, true), Gamma1: gamma(), Norm2: nn.NewLayerNorm(r,
		C, 1e-5, true), Gamma2: gamma(),
		FC1: nn.NewNormalLinear(r, C, 4*C, 0.02), FC2: nn.NewNormalLinear(r, 4*C, C, 0.02)}
}

// Forward maps pixels [B, 3, H, W] to the features of the stages: res2 [B, C, H/4, W/4] to res5 [B, 8C, H/32, W/32],
// sizes rounded up.
func (b *Backbone) Forward(pixels *tensor.Tensor) [4]*tensor.Tensor {
	if s := pixels.Shape(); len(s) != 4 || s[1] != 3 || s[2] < 1 || s[3] < 1 {
		tensor.Fail("FocalNet", "pixels %v: needs [B 3 H W] of at least one pixel", s)
	}
	var out [4]*tensor.Tensor
	norms := [4]nn.Layer{b.Norm0, b.Norm1, b.Norm2, b.Norm3}
	x, h, w := b.Stem.Forward(pixels) // [B, h·w, C]
	for i, s := range b.Stages {
		for _, block := range s.Blocks {
			x = block.Forward(x, h, w)
		}
		out[i] = image(norms[i].Forward(x), h, w)
		if s.Downsample != nil {
			x, h, w = s.Downsample.Forward(image(x, h, w))
		}
	}
	return out
}

// image turns tokens [B, h·w, C] into [B, C, h, w].
func image(x *tensor.Tensor, h, w int) *tensor.Tensor {
	B, _, C := x.Dims3()
	return x.Transpose().Reshape(B, C, h, w)
}

// tokens turns [B, C, h, w] into [B, h·w, C].
func tokens(x *tensor.Tensor) *tensor.Tensor {
	B, C, h, w := x.Dims4()
	return x.Reshape(B, C, h*w).Transpose()
}

// Forward maps [B, C, H, W] to tokens [B, h·w, D] and their grid, which is H/stride × W/stride, rounded up.
func (p *Patches) Forward(x *tensor.Tensor) (y *tensor.Tensor, h, w int) {
	c := p.Proj.Config
	side, step, k := c.Padding[0], c.Stride[0], p.Proj.Weight.Dim(3)
	_, _, H, W := x.Dims4()
	behind := func(n int) int { return max((n+step-1)/step*step-step+k-side-n, 0) }
	c.Padding = []int{side, behind(H), side, behind(W)}
	x = (&nn.Conv{Weight: p.Proj.Weight, Bias: p.Proj.Bias, Config: c}).Forward(x) // [B, D, h, w]
	return p.Norm.Forward(tokens(x)), x.Dim(2), x.Dim(3)
}

// Forward keeps the shape [B, h·w, C].
func (b *Block) Forward(x *tensor.Tensor, h, w int) *tensor.Tensor {
	x = x.Add(b.Norm1.Forward(b.Modulation.Forward(x, h, w)).Mul(b.Gamma1))
	y := b.FC2.Forward(nn.Activated(b.FC1, x, tensor.GELU))
	return x.Add(b.Norm2.Forward(y).Mul(b.Gamma2))
}

// Forward keeps the shape [B, h·w, C].
func (m *Modulation) Forward(x *tensor.Tensor, h, w int) *tensor.Tensor {
	_, _, C := x.Dims3()
	L := len(m.Focal)
	parts := m.F.Forward(x).Split(2, C, C, L+1)
	// [B, h·w, C], [B, C, h, w], [B, L+1, h, w]
	q, context, gates := parts[0], image(parts[1], h, w), image(parts[2], h, w)
	var sum *tensor.Tensor
	add := func(t *tensor.Tensor, gate int) {
		t = t.Mul(gates.Slice(1, gate, gate+1)) // [B, C, h, w]
		if sum != nil {
			t = sum.Add(t)
		}
		sum = t
	}
	for l, f := range m.Focal {
		context = f.Conv.Forward(context).GELU()
		add(context, l)
	}
	B := x.Dim(0)
	add(context.Mean(2, 3).GELU().Reshape(B, C, 1, 1), L)
	y := tokens(m.H.Forward(sum.Scale(1 / float32(L+1)))) // [B, h·w, C]
	return m.Output.Forward(q.Mul(y))
}
