package vit

import (
	"math"
	"math/rand/v2"

	"github.com/gollava/gollava/nn"
	"github.com/gollava/gollava/tensor"
)

// EVAVision is EVA-ViT-g as BLIP-2 and InstructBLIP use it: pre-norm blocks with one stacked qkv projection, no norm
// before them, and a LayerNorm of all tokens behind. Source: Fang et al. 2022; transformers' Blip2VisionModel, names
// included.
// It is safe for concurrent use while nobody changes its parameters.
type EVAVision struct {
	Embeddings *EVAEmbeddings `param:"embeddings"`
	Encoder    *Encoder       `param:"encoder"`
	PostNorm   nn.Layer       `param:"post_layernorm,optional"` // nil where it trains with what follows the tower

	config VisionConfig
}

// EVAEmbeddings turns images into tokens.
type EVAEmbeddings struct {
	Class    *tensor.Tensor `param:"class_embedding"` // [1, 1, D]
	Patch    *PatchEmbed    `param:"patch_embedding"`
	Position *tensor.Tensor `param:"position_embedding"` // [1, P+1, D]
}

// StackedAttention is multi-head self-attention whose q, k and v projections are one.
type StackedAttention struct {
	QKV    nn.Layer `param:"qkv"` // [3D, D], the rows of q, then k, then v
	Output nn.Layer `param:"projection"`

	heads int
}

// evaStd is the deviation that weights start with. The config's initializer_range, 1e-10, is for weights to be loaded.
const evaStd = 0.02

// NewEVAVision builds a tower; with a nil r its weights are to be loaded.
func NewEVAVision(r *rand.Rand, c VisionConfig) (*EVAVision, error) {
	if err := c.Validate(); err != nil {
		return nil, err
	}
	D, C, p := c.HiddenSize, c.NumChannels, c.PatchSize
	side := c.ImageSize / p
	v := &EVAVision{config: c, PostNorm: nn.NewLayerNorm(r, D, c.LayerNormEps, true), Encoder: &Encoder{},
		Embeddings: &EVAEmbeddings{
			Class: tensor.Randn(r, evaStd, 1, 1, D).Param(),
			Patch: &PatchEmbed{Weight: tensor.Randn(r, 1/math.Sqrt(float64(C*p*p)), D, C, p, p).Param(),
				Bias: zeros(r, D)},
			Position: tensor.Randn(r, evaStd, 1, side*side+1, D).Param(),
		}}
	act, _ := activation(c.HiddenAct)
	for range c.NumHiddenLayers {
		qkv := nn.NewNormalLinear(r, D, 3*D, evaStd)
		if c.QKVBias != nil && !*c.QKVBias {
			qkv.Bias = nil
		}
		v.Encoder.Layers = append(v.Encoder.Layers, &Block{
			Norm1: nn.NewLayerNorm(r, D, c.LayerNormEps, true),
			Attention: &StackedAttention{QKV: qkv, Output: nn.NewNormalLinear(r, D, D, evaStd),
				heads: c.NumAttentionHeads},
			Norm2: nn.NewLayerNorm(r, D, c.LayerNormEps, true),
			MLP: &MLP{FC1: nn.NewNormalLinear(r, D, c.IntermediateSize, evaStd),
				FC2: nn.NewNormalLinear(r, c.IntermediateSize, D, evaStd), act: act},
		})
	}
	return v, nil
}

func (v *EVAVision) Config() VisionConfig { return v.config }
func (v *EVAVision) HasClass() bool       { return true }
func (v *EVAVision) SetRecompute(on bool) { v.Encoder.recompute.Store(on) }

// HiddenStates implements [Tower]; index 0 is the embeddings, and none has passed PostNorm.
func (v *EVAVision) HiddenStates(pixels *tensor.Tensor, n int) []*tensor.Tensor {
	return v.Encoder.Forward(v.embed(pixels), n, tensor.AttentionConfig{})
}

// Hidden implements [Tower].
func (v *EVAVision) Hidden(pixels *tensor.Tensor, n int) *tensor.Tensor {
	return v.Encoder.Last(v.embed(pixels), n, tensor.AttentionConfig{})
}

// embed is what enters the first block: [B, P+1, D].
func (v *EVAVision) embed(pixels *tensor.Tensor) *tensor.Tensor {
	v.config.check(pixels)
	return tensor.Compact(func(in []*tensor.Tensor) *tensor.Tensor {
		e := v.Embeddings
		x := e.Patch.Forward(in[0]) // [B, P, D]
		B, P, D := x.Dims3()
		first := tensor.Ints(make([]int, B), B, 1).In(x.Arena())
		class := tensor.Gather(e.Class.Reshape(1, D), first)              // [B, 1, D]
		return tensor.Concat(1, class, x).Add(e.Position.Reshape(P+1, D)) // [B, P+1, D]
	}, pixels)
}

// LastHidden is post_layernorm of all tokens of the last hidden state: [B, P+1, D].
func (v *EVAVision) LastHidden(last *tensor.Tensor) *tensor.Tensor { return v.PostNorm.Forward(last) }

// Pooled is the class token of [EVAVision.LastHidden] after post_layernorm once more, as transformers has it: [B, D].
func (v *EVAVision) Pooled(lastHidden *tensor.Tensor) *tensor.Tensor {
	B, _, D := lastHidden.Dims3()
	return v.PostNorm.Forward(lastHidden.Slice(1, 0, 1).Reshape(B, D))
}

// Forward implements the attention of a [Block]: tokens x [B, T, D] look at tokens y [B, S, D]: [B, T, D].
func (a *StackedAttention) Forward(x, y *tensor.Tensor, c tensor.AttentionConfig) *tensor.Tensor {
	B, T, D := x.Dims3()
	qkv := a.QKV.Forward(y).Split(2, D, D, D) // [B, S, D] each
	if x != y {
		qkv[0] = a.QKV.Forward(x).Split(2, D, D, D)[0] // [B, T, D]
	}
	for i, z := range qkv {
		qkv[i] = z.Reshape(B, z.Dim(1), a.heads, D/a.heads) // [B, ·, H, D/H]
	}
	return a.Output.Forward(tensor.Attention(qkv[0], qkv[1], qkv[2], c).Reshape(B, T, D))
}
