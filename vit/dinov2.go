package vit

import (
	"math"
	"math/rand/v2"
	"sync/atomic"

	"github.com/gollava/gollava/nn"
	"github.com/gollava/gollava/tensor"
)

// DINOv2 is the vision transformer of DINOv2, with registers or without: pre-norm blocks whose parts are scaled channel
// by channel. It takes images of any size in whole patches and resizes its positions to them. Sources: Oquab et al.
// 2023; Darcet et al. 2023 for the registers; transformers' Dinov2Model and Dinov2WithRegistersModel, whose names its
// parameters have behind vision_model.
// It is safe for concurrent use while nobody changes its parameters.
type DINOv2 struct {
	Model DINOTransformer `param:"vision_model"`

	config    VisionConfig
	recompute atomic.Bool
}

// DINOTransformer is patches, class token, positions and registers, blocks, and LayerNorm of all tokens.
type DINOTransformer struct {
	Embeddings *DINOEmbeddings `param:"embeddings"`
	Encoder    DINOEncoder     `param:"encoder"`
	Norm       nn.Layer        `param:"layernorm"`
}

// DINOEncoder holds the blocks.
type DINOEncoder struct {
	Layers []*DINOBlock `param:"layer"`
}

// DINOEmbeddings turns images into tokens.
type DINOEmbeddings struct {
	Class     *tensor.Tensor `param:"cls_token"`                // [1, 1, D]
	Mask      *tensor.Tensor `param:"mask_token,optional"`      // [1, D], of DINOv2's own training
	Registers *tensor.Tensor `param:"register_tokens,optional"` // [1, R, D]
	Patch     *DINOPatch     `param:"patch_embeddings"`
	Position  *tensor.Tensor `param:"position_embeddings"` // [1, 1+n, D], of images of ImageSize
}

// DINOPatch is the patches' convolution.
type DINOPatch struct {
	Projection *PatchEmbed `param:"projection"`
}

// DINOBlock is x + λ₁∘Attention(LN₁ x), then x + λ₂∘MLP(LN₂ x).
type DINOBlock struct {
	Norm1     nn.Layer       `param:"norm1"`
	Attention *DINOAttention `param:"attention"`
	Scale1    *LayerScale    `param:"layer_scale1"`
	Norm2     nn.Layer       `param:"norm2"`
	MLP       nn.Layer       `param:"mlp"`
	Scale2    *LayerScale    `param:"layer_scale2"`
}

// DINOAttention is multi-head self-attention with biases.
type DINOAttention struct {
	Heads struct {
		Query nn.Layer `param:"query"`
		Key   nn.Layer `param:"key"`
		Value nn.Layer `param:"value"`
	} `param:"attention"`
	Output struct {
		Dense nn.Layer `param:"dense"`
	} `param:"output"`

	heads int
}

// LayerScale multiplies channels by λ.
type LayerScale struct {
	Lambda *tensor.Tensor `param:"lambda1"` // [D]
}

// swiGLU is weights_out(SiLU(gate)·value).
type swiGLU struct {
	In  nn.Layer `param:"weights_in"` // [2h, D], the rows of gate, then value
	Out nn.Layer `param:"weights_out"`
}

// swiGLUWidth is the width of the MLP with SwiGLU for an MLP of the given width.
func swiGLUWidth(h int) int { return (int(float64(h)*2/3) + 7) / 8 * 8 }

// dinoStd is the deviation that weights start with.
const dinoStd = 0.02

// NewDINOv2 builds a tower; with a nil r its weights are to be loaded.
func NewDINOv2(r *rand.Rand, c VisionConfig) (*DINOv2, error) {
	if err := c.Validate(); err != nil {
		return nil, err
	}
	D, C, p := c.HiddenSize, c.NumChannels, c.PatchSize
	side := c.ImageSize / p
	e := &DINOEmbeddings{Class: tensor.Randn(r, dinoStd, 1, 1, D).Param(),
		Position: tensor.Randn(r, dinoStd, 1, side*side+1, D).Param(),
		Patch: &DINOPatch{&PatchEmbed{Weight: tensor.Randn(r, 1/math.Sqrt(float64(C*p*p)), D, C, p, p).Param(),
			Bias: zeros(r, D)}}}
	if c.UseMaskToken == nil || *c.UseMaskToken {
		e.Mask = zeros(r, 1, D)
	}
	if c.Registers > 0 {
		e.Registers = zeros(r, 1, c.Registers, D)
	}
	v := &DINOv2{config: c, Model: DINOTransformer{Embeddings: e, Norm: nn.NewLayerNorm(r, D, c.LayerNormEps, true)}}
	act, _ := activation(c.HiddenAct)
	for range c.NumHiddenLayers {
		v.Model.Encoder.Layers = append(v.Model.Encoder.Layers, newDINOBlock(r, c, act))
	}
	return v, nil
}

func newDINOBlock(r *rand.Rand, c VisionConfig, act tensor.Activation) *DINOBlock {
	D := c.HiddenSize
	qkv := func() nn.Layer {
		l := nn.NewNormalLinear(r, D, D, dinoStd)
		if c.QKVBias != nil && !*c.QKVBias {
			l.Bias = nil
		}
		return l
	}
	scale := func() *LayerScale {
		l := &LayerScale{Lambda: zeros(r, D)}
		if r != nil {
			l.Lambda.Fill(float32(c.LayerScale))
		}
		return l
	}
	b := &DINOBlock{Norm1: nn.NewLayerNorm(r, D, c.LayerNormEps, true),
		Norm2: nn.NewLayerNorm(r, D, c.LayerNormEps, true), Scale1: scale(), Scale2: scale(),
		Attention: &DINOAttention{heads: c.NumAttentionHeads}}
	a := b.Attention
	a.Heads.Query, a.Heads.Key, a.Heads.Value = qkv(), qkv(), qkv()
	a.Output.Dense = nn.NewNormalLinear(r, D, D, dinoStd)
	if c.SwiGLU {
		h := swiGLUWidth(c.IntermediateSize)
		b.MLP = &swiGLU{In: nn.NewNormalLinear(r, D, 2*h, dinoStd), Out: nn.NewNormalLinear(r, h, D, dinoStd)}
		return b
	}
	b.MLP = &MLP{FC1: nn.NewNormalLinear(r, D, c.IntermediateSize, dinoStd),
		FC2: nn.NewNormalLinear(r, c.IntermediateSize, D, dinoStd), act: act}
	return b
}

func (v *DINOv2) Config() VisionConfig { return v.config }

// HasClass implements [Tower]: token 0 is the class token; registers follow it, see [DINOv2.Prefix].
func (v *DINOv2) HasClass() bool       { return true }
func (v *DINOv2) SetRecompute(on bool) { v.recompute.Store(on) }

// Prefix is the number of tokens before those of the patches: the class token and the registers.
func (v *DINOv2) Prefix() int { return 1 + v.config.Registers }

// HiddenStates implements [Tower]; index 0 is the embeddings, [B, 1+R+P, D].
func (v *DINOv2) HiddenStates(pixels *tensor.Tensor, n int) []*tensor.Tensor {
	x := v.embed(pixels)
	states := []*tensor.Tensor{x}
	run := tensor.Compact
	if v.recompute.Load() {
		run = func(f func(in []*tensor.Tensor) *tensor.Tensor, in ...*tensor.Tensor) *tensor.Tensor {
			return tensor.Checkpoint(f, in...)
		}
	}
	for _, b := range v.Model.Encoder.Layers[:n] {
		x = run(func(in []*tensor.Tensor) *tensor.Tensor { return b.Forward(in[0]) }, x)
		states = append(states, x)
	}
	return states
}

// Hidden implements [Tower].
func (v *DINOv2) Hidden(pixels *tensor.Tensor, n int) *tensor.Tensor {
	return v.HiddenStates(pixels, n)[n]
}

// embed is what enters the first block: [B, 1+R+P, D].
func (v *DINOv2) embed(pixels *tensor.Tensor) *tensor.Tensor {
	c, p := v.config, v.config.PatchSize
	if s := pixels.Shape(); len(s) != 4 || s[1] != c.NumChannels || s[2] < p || s[3] < p {
		tensor.Fail("DINOv2", "pixels %v: the tower needs [B %d H W] of at least one patch of %d pixels", s,
			c.NumChannels, p)
	}
	return tensor.Compact(func(in []*tensor.Tensor) *tensor.Tensor {
		e := v.Model.Embeddings
		x := e.Patch.Projection.Forward(in[0]) // [B, P, D]
		B, _, D := x.Dims3()
		first := tensor.Ints(make([]int, B), B).In(x.Arena())
		each := func(t *tensor.Tensor) *tensor.Tensor { // [1, n, D] for every image: [B, n, D]
			return tensor.Gather(t.Reshape(1, t.Dim(1)*D), first).Reshape(B, t.Dim(1), D)
		}
		x = tensor.Concat(1, each(e.Class), x).Add(v.positions(in[0].Dim(2)/p, in[0].Dim(3)/p)) // [B, 1+P, D]
		if e.Registers == nil {
			return x
		}
		return tensor.Concat(1, x.Slice(1, 0, 1), each(e.Registers), x.Slice(1, 1, x.Dim(1)))
	}, pixels)
}

// positions are those of the class token and of h×w patches: [1+h·w, D].
func (v *DINOv2) positions(h, w int) *tensor.Tensor {
	t := v.Model.Embeddings.Position
	n, D := t.Dim(1)-1, t.Dim(2)
	side := v.config.ImageSize / v.config.PatchSize
	t = t.Reshape(n+1, D)
	if h == side && w == side {
		return t
	}
	grid := t.Slice(0, 1, n+1).Reshape(side, side, D).Transpose(2, 0, 1) // [D, side, side]
	grid = tensor.Interpolate(grid, h, w, tensor.InterpolateConfig{Mode: tensor.Bicubic,
		Antialias: v.config.ModelType == "dinov2_with_registers"})
	return tensor.Concat(0, t.Slice(0, 0, 1), grid.Transpose(1, 2, 0).Reshape(h*w, D))
}

// LastHidden is the final LayerNorm of all tokens of the last hidden state: [B, 1+R+P, D].
func (v *DINOv2) LastHidden(last *tensor.Tensor) *tensor.Tensor { return v.Model.Norm.Forward(last) }

// Forward keeps the shape [B, T, D].
func (b *DINOBlock) Forward(x *tensor.Tensor) *tensor.Tensor {
	x = x.Add(b.Scale1.Forward(b.Attention.Forward(b.Norm1.Forward(x))))
	return x.Add(b.Scale2.Forward(b.MLP.Forward(b.Norm2.Forward(x))))
}

// Forward keeps the shape [B, T, D].
func (a *DINOAttention) Forward(x *tensor.Tensor) *tensor.Tensor {
	B, T, D := x.Dims3()
	q := a.Heads.Query.Forward(x).Reshape(B, T, a.heads, D/a.heads) // [B, T, H, D/H]
	k := a.Heads.Key.Forward(x).Reshape(B, T, a.heads, D/a.heads)
	v := a.Heads.Value.Forward(x).Reshape(B, T, a.heads, D/a.heads)
	return a.Output.Dense.Forward(tensor.Attention(q, k, v, tensor.AttentionConfig{}).Reshape(B, T, D))
}

// Forward keeps the shape [..., D].
func (s *LayerScale) Forward(x *tensor.Tensor) *tensor.Tensor {
	defer tensor.Blame(s)
	return x.Mul(s.Lambda)
}

// Forward keeps the shape [..., D].
func (m *swiGLU) Forward(x *tensor.Tensor) *tensor.Tensor {
	y := m.In.Forward(x) // [..., 2h]
	h := y.Dim(-1) / 2
	parts := y.Split(-1, h, h)
	return m.Out.Forward(tensor.SwiGLU(parts[0], parts[1]))
}
