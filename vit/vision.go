// Package vit holds the encoders that LLaVA looks with: CLIP's vision and text towers, their contrastive loss and
// zero-shot classification, and SigLIP's vision tower, and BLIP-2's EVA-ViT-g. It reads and writes the checkpoints of
// transformers and reads OpenAI's.
package vit

import (
	"fmt"
	"math"
	"math/rand/v2"
	"slices"

	"github.com/gollava/gollava/nn"
	"github.com/gollava/gollava/tensor"
)

// Tower is a vision encoder.
// Those of this package are safe for concurrent use while nobody changes their parameters.
type Tower interface {
	Config() VisionConfig

	// HiddenStates returns the first n+1 hidden states of images [B, 3, S, S]: index 0 is what enters the first block,
	// index k what block k returns; [B, T, D] each, with T = patches, and one more in front for CLIP's class token.
	// Later blocks do not run.
	HiddenStates(pixels *tensor.Tensor, n int) []*tensor.Tensor

	// Hidden is the last of HiddenStates, [B, T, D], for less memory where the tower does not train.
	Hidden(pixels *tensor.Tensor, n int) *tensor.Tensor

	// HasClass reports whether token 0 is a class token.
	HasClass() bool

	// SetRecompute says whether training keeps only the inputs of each block.
	SetRecompute(on bool)
}

// Select says which features LLaVA takes.
type Select struct {
	// indices into the hidden states, whose features lie side by side; negative from the end: −2 is the last but one
	Layers []int
	Class  string // "patch" drops the class token, "cls_patch" keeps it
}

// Indices are s.Layers counted from 0, of a tower with so many blocks, or an error if there is no such layer.
func (s Select) Indices(blocks int) ([]int, error) {
	if len(s.Layers) == 0 {
		return nil, fmt.Errorf("no vision feature layer is named")
	}
	var list []int
	for _, layer := range s.Layers {
		n := layer
		if n < 0 {
			n += blocks + 1
		}
		if n < 0 || n > blocks {
			return nil, fmt.Errorf("vision feature layer %d of a tower of %d layers", layer, blocks)
		}
		list = append(list, n)
	}
	return list, nil
}

// Features returns the features of images [B, 3, S, S] that s selects: [B, P, L·D] or, with the class token, [B, P+1,
// L·D], for L layers. Blocks after the last that is needed do not run. Sources: LLaVA's clip_encoder.py; several
// layers: transformers' LlavaModel.get_image_features.
func Features(t Tower, pixels *tensor.Tensor, s Select) *tensor.Tensor {
	layers, err := s.Indices(t.Config().NumHiddenLayers)
	if err != nil {
		tensor.Fail("Features", "%v", err)
	}
	n := slices.Max(layers)
	var x *tensor.Tensor
	if len(layers) == 1 {
		x = t.Hidden(pixels, n)
	} else {
		states, chosen := t.HiddenStates(pixels, n), []*tensor.Tensor{}
		for _, i := range layers {
			chosen = append(chosen, states[i])
		}
		x = tensor.Concat(2, chosen...)
	}
	switch {
	case s.Class == "cls_patch" || !t.HasClass():
		return x
	case s.Class == "patch":
		return x.Slice(1, 1+t.Config().Registers, x.Dim(1))
	}
	tensor.Fail("Features", "selection %q is neither patch nor cls_patch", s.Class)
	return nil
}

// CLIPVision is CLIP's vision tower. Source: Radford et al. 2021; transformers' CLIPVisionModel, names included.
// It is safe for concurrent use while nobody changes its parameters.
type CLIPVision struct {
	Model VisionTransformer `param:"vision_model"`

	config VisionConfig
}

// VisionTransformer is patches + class token + positions, LayerNorm, blocks, and LayerNorm of the class token.
type VisionTransformer struct {
	Embeddings *VisionEmbeddings `param:"embeddings"`
	PreNorm    nn.Layer          `param:"pre_layrnorm"` // the name is misspelt in every checkpoint
	Encoder    *Encoder          `param:"encoder"`
	PostNorm   nn.Layer          `param:"post_layernorm"`
}

// VisionEmbeddings turns images into tokens.
type VisionEmbeddings struct {
	Class    *tensor.Tensor `param:"class_embedding"` // [D]
	Patch    *PatchEmbed    `param:"patch_embedding"`
	Position *nn.Embedding  `param:"position_embedding"` // [P+1, D]
}

// PatchEmbed is a convolution whose kernel and stride are the patch size.
type PatchEmbed struct {
	Weight *tensor.Tensor `param:"weight"`        // [D, 3, p, p]
	Bias   *tensor.Tensor `param:"bias,optional"` // [D], SigLIP only
}

// Forward maps images [B, 3, S, S] to [B, P, D], patches row by row. Pixels that fill no patch, at the right and at the
// bottom, are left out, as by a convolution without padding.
func (e *PatchEmbed) Forward(pixels *tensor.Tensor) *tensor.Tensor {
	defer tensor.Blame(e)
	D, C, p, _ := e.Weight.Dims4()
	for _, axis := range []int{2, 3} {
		if n := pixels.Dim(axis); n%p != 0 {
			pixels = pixels.Slice(axis, 0, n-n%p)
		}
	}
	return tensor.Linear(tensor.PatchRows(pixels, p), e.Weight.Reshape(D, C*p*p), e.Bias, tensor.Identity)
}

// NewCLIPVision builds a tower with OpenAI's initial weights; with a nil r they are to be loaded.
func NewCLIPVision(r *rand.Rand, c VisionConfig) (*CLIPVision, error) {
	if err := c.Validate(); err != nil {
		return nil, err
	}
	D, std := c.HiddenSize, math.Pow(float64(c.HiddenSize), -0.5)
	side := c.ImageSize / c.PatchSize
	posStd := c.PositionStd
	if posStd == 0 {
		posStd = std
	}
	fan := 1 / math.Sqrt(float64(c.NumChannels*c.PatchSize*c.PatchSize)) // torch's Conv2d
	return &CLIPVision{config: c, Model: VisionTransformer{
		Embeddings: &VisionEmbeddings{
			Class: tensor.Randn(r, std, D).Param(),
			Patch: &PatchEmbed{Weight: tensor.Uniform(r, -fan, fan, D, c.NumChannels, c.PatchSize,
				c.PatchSize).Param()},
			Position: nn.NewEmbedding(r, side*side+1, D, posStd),
		},
		PreNorm:  nn.NewLayerNorm(r, D, c.LayerNormEps, true),
		Encoder:  newEncoder(r, c.width()),
		PostNorm: nn.NewLayerNorm(r, D, c.LayerNormEps, true),
	}}, nil
}

func (c VisionConfig) width() width {
	return width{hidden: c.HiddenSize, mlp: c.IntermediateSize, layers: c.NumHiddenLayers, heads: c.NumAttentionHeads,
		act: c.HiddenAct, eps: c.LayerNormEps}
}

func (c VisionConfig) check(pixels *tensor.Tensor) {
	if s := pixels.Shape(); len(s) != 4 || s[1] != c.NumChannels || s[2] != c.ImageSize || s[3] != c.ImageSize {
		tensor.Fail("Vision", "pixels %v: the tower needs [B %d %d %d]", s, c.NumChannels, c.ImageSize, c.ImageSize)
	}
}

func (v *CLIPVision) Config() VisionConfig { return v.config }
func (v *CLIPVision) HasClass() bool       { return true }
func (v *CLIPVision) SetRecompute(on bool) { v.Model.Encoder.recompute.Store(on) }

// HiddenStates implements [Tower]; index 0 is after pre_layrnorm.
func (v *CLIPVision) HiddenStates(pixels *tensor.Tensor, n int) []*tensor.Tensor {
	return v.Model.Encoder.Forward(v.embed(pixels), n, tensor.AttentionConfig{})
}

// Hidden implements [Tower].
func (v *CLIPVision) Hidden(pixels *tensor.Tensor, n int) *tensor.Tensor {
	return v.Model.Encoder.Last(v.embed(pixels), n, tensor.AttentionConfig{})
}

// embed is what enters the first block: [B, P+1, D].
func (v *CLIPVision) embed(pixels *tensor.Tensor) *tensor.Tensor {
	v.config.check(pixels)
	return tensor.Compact(func(in []*tensor.Tensor) *tensor.Tensor {
		e := v.Model.Embeddings
		x := e.Patch.Forward(in[0]) // [B, P, D]
		B, _, D := x.Dims3()
		first := tensor.Ints(make([]int, B), B, 1).In(x.Arena())
		class := tensor.Gather(e.Class.Reshape(1, D), first)  // [B, 1, D]
		x = tensor.Concat(1, class, x).Add(e.Position.Weight) // [B, P+1, D]
		return v.Model.PreNorm.Forward(x)
	}, pixels)
}

// Pooled is the class token after post_layernorm: [B, D] from the last hidden state [B, T, D].
func (v *CLIPVision) Pooled(last *tensor.Tensor) *tensor.Tensor {
	B, _, D := last.Dims3()
	return v.Model.PostNorm.Forward(last.Slice(1, 0, 1).Reshape(B, D))
}

// New builds the tower that c describes; with a nil r its weights are to be loaded.
func New(r *rand.Rand, c VisionConfig) (Tower, error) {
	switch c.ModelType {
	case "siglip_vision_model":
		return NewSigLIPVision(r, c)
	case "blip_2_vision_model", "instructblip_vision_model":
		return NewEVAVision(r, c)
	case "dinov2", "dinov2_with_registers":
		return NewDINOv2(r, c)
	}
	return NewCLIPVision(r, c)
}
