package vit

import (
	"math"
	"math/rand/v2"

	"github.com/gollava/gollava/nn"
	"github.com/gollava/gollava/tensor"
)

// SigLIPVision is SigLIP's vision tower: no class token, no LayerNorm before the blocks. Source: Zhai et al. 2023;
// transformers' SiglipVisionModel, names included. It is safe for concurrent use while nobody changes its parameters.
type SigLIPVision struct {
	Model SigLIPTransformer `param:"vision_model"`

	config VisionConfig
}

// SigLIPTransformer is patches + positions, blocks, LayerNorm, and a pooling head.
type SigLIPTransformer struct {
	Embeddings *SigLIPEmbeddings `param:"embeddings"`
	Encoder    *Encoder          `param:"encoder"`
	PostNorm   nn.Layer          `param:"post_layernorm"`
	Head       *PoolingHead      `param:"head,optional"`
}

// SigLIPEmbeddings turns images into tokens.
type SigLIPEmbeddings struct {
	Patch    *PatchEmbed   `param:"patch_embedding"`
	Position *nn.Embedding `param:"position_embedding"` // [P, D]
}

// PoolingHead lets a learnt probe attend to all tokens. Source: transformers' SiglipMultiheadAttentionPoolingHead.
type PoolingHead struct {
	Probe     *tensor.Tensor      `param:"probe"` // [1, 1, D]
	Attention *nn.PackedAttention `param:"attention"`
	Norm      nn.Layer            `param:"layernorm"`
	MLP       *MLP                `param:"mlp"`
}

// NewSigLIPVision builds a tower; with a nil r its weights are to be loaded.
func NewSigLIPVision(r *rand.Rand, c VisionConfig) (*SigLIPVision, error) {
	if err := c.Validate(); err != nil {
		return nil, err
	}
	D, side := c.HiddenSize, c.ImageSize/c.PatchSize
	std := math.Pow(float64(D), -0.5)
	posStd := c.PositionStd
	if posStd == 0 {
		posStd = std
	}
	m := SigLIPTransformer{
		Embeddings: &SigLIPEmbeddings{
			Patch: &PatchEmbed{Weight: tensor.Randn(r, 1/math.Sqrt(float64(c.NumChannels*c.PatchSize*c.PatchSize)),
				D, c.NumChannels, c.PatchSize, c.PatchSize).Param(), Bias: zeros(r, D)},
			Position: nn.NewEmbedding(r, side*side, D, posStd),
		},
		Encoder:  newEncoder(r, c.width()),
		PostNorm: nn.NewLayerNorm(r, D, c.LayerNormEps, true),
	}
	if c.UseHead == nil || *c.UseHead {
		act, _ := activation(c.HiddenAct)
		m.Head = &PoolingHead{
			Probe:     tensor.Randn(r, 1, 1, 1, D).Param(),
			Attention: nn.NewPackedAttention(r, D, c.NumAttentionHeads, std, false),
			Norm:      nn.NewLayerNorm(r, D, c.LayerNormEps, true),
			MLP: &MLP{FC1: nn.NewNormalLinear(r, D, c.IntermediateSize, std),
				FC2: nn.NewNormalLinear(r, c.IntermediateSize, D, std), act: act},
		}
	}
	return &SigLIPVision{Model: m, config: c}, nil
}

func zeros(r *rand.Rand, shape ...int) *tensor.Tensor {
	t := tensor.Meta(tensor.Float32, shape...).Param()
	if r != nil {
		t.Allocate()
	}
	return t
}

func (v *SigLIPVision) Config() VisionConfig { return v.config }
func (v *SigLIPVision) HasClass() bool       { return false }
func (v *SigLIPVision) SetRecompute(on bool) { v.Model.Encoder.recompute.Store(on) }

// HiddenStates implements [Tower]; index 0 is the embeddings.
func (v *SigLIPVision) HiddenStates(pixels *tensor.Tensor, n int) []*tensor.Tensor {
	return v.Model.Encoder.Forward(v.embed(pixels), n, tensor.AttentionConfig{})
}

// Hidden implements [Tower].
func (v *SigLIPVision) Hidden(pixels *tensor.Tensor, n int) *tensor.Tensor {
	return v.Model.Encoder.Last(v.embed(pixels), n, tensor.AttentionConfig{})
}

// embed is what enters the first block: [B, P, D].
func (v *SigLIPVision) embed(pixels *tensor.Tensor) *tensor.Tensor {
	v.config.check(pixels)
	e := v.Model.Embeddings
	return tensor.Compact(func(in []*tensor.Tensor) *tensor.Tensor {
		return e.Patch.Forward(in[0]).Add(e.Position.Weight)
	}, pixels)
}

// LastHidden is post_layernorm of the last hidden state: [B, P, D].
func (v *SigLIPVision) LastHidden(last *tensor.Tensor) *tensor.Tensor {
	return v.Model.PostNorm.Forward(last)
}

// Pooled is what the head makes of [SigLIPVision.LastHidden]: [B, D].
func (v *SigLIPVision) Pooled(lastHidden *tensor.Tensor) *tensor.Tensor {
	B, _, D := lastHidden.Dims3()
	h := v.Model.Head
	first := tensor.Ints(make([]int, B), B, 1).In(lastHidden.Arena())
	probe := tensor.Gather(h.Probe.Reshape(1, D), first)                              // [B, 1, D]
	x := h.Attention.Forward(probe, lastHidden, lastHidden, tensor.AttentionConfig{}) // [B, 1, D]
	return x.Add(h.MLP.Forward(h.Norm.Forward(x))).Reshape(B, D)
}
