package vit

import (
	"math"
	"math/rand/v2"

	"github.com/gollava/gollava/nn"
	"github.com/gollava/gollava/tensor"
)

// CLIP is both towers with their projections into a common space. Source: Radford et al. 2021; transformers' CLIPModel,
// names included. It is safe for concurrent use while nobody changes its parameters.
type CLIP struct {
	Text             TextTransformer   `param:"text_model"`
	Vision           VisionTransformer `param:"vision_model"`
	VisualProjection nn.Layer          `param:"visual_projection"` // [E, D]
	TextProjection   nn.Layer          `param:"text_projection"`   // [E, Dt]
	LogitScale       *tensor.Tensor    `param:"logit_scale"`       // scalar, ln of the inverse temperature

	config CLIPConfig
}

// NewCLIP builds both towers with OpenAI's initial weights; with a nil r they are to be loaded.
func NewCLIP(r *rand.Rand, c CLIPConfig) (*CLIP, error) {
	if err := c.Validate(); err != nil {
		return nil, err
	}
	v, err := NewCLIPVision(r, c.Vision)
	if err != nil {
		return nil, err
	}
	t, E := c.Text, c.ProjectionDim
	m := &CLIP{
		Text:   newTextTransformer(r, t),
		Vision: v.Model,
		VisualProjection: &nn.Linear{Weight: tensor.Randn(r, math.Pow(float64(c.Vision.HiddenSize), -0.5), E,
			c.Vision.HiddenSize).Param()},
		TextProjection: &nn.Linear{Weight: tensor.Randn(r, math.Pow(float64(t.HiddenSize), -0.5), E,
			t.HiddenSize).Param()},
		LogitScale: zeros(r).Param(),
		config:     c,
	}
	if r != nil {
		m.LogitScale.Fill(float32(c.LogitScaleInit))
	}
	return m, nil
}

// Config describes the model.
func (m *CLIP) Config() CLIPConfig { return m.config }

// SetRecompute says whether training keeps only the inputs of each block of both towers.
func (m *CLIP) SetRecompute(on bool) {
	m.Vision.Encoder.recompute.Store(on)
	m.Text.Encoder.recompute.Store(on)
}

// Tower is the vision tower alone, sharing its weights: what LLaVA takes.
func (m *CLIP) Tower() *CLIPVision {
	return &CLIPVision{Model: m.Vision, config: m.config.Vision}
}

// EncodeImage maps images [B, 3, S, S] to unit vectors [B, E].
func (m *CLIP) EncodeImage(pixels *tensor.Tensor) *tensor.Tensor {
	// [B, 1, D]
	class := m.Vision.Encoder.One(m.Tower().embed(pixels), make([]int32, pixels.Dim(0)), tensor.AttentionConfig{})
	return m.VisualProjection.Forward(m.Tower().Pooled(class)).L2Normalize(normEps)
}

const normEps = 1e-12

// TextTower is the text tower alone, sharing its weights: what a text-to-image model takes.
func (m *CLIP) TextTower() *CLIPText {
	return &CLIPText{Model: m.Text, config: m.config.Text}
}

// TextHidden is [CLIPText.Hidden] of the text tower.
func (m *CLIP) TextHidden(ids *tensor.Tensor, lengths []int32) *tensor.Tensor {
	return m.TextTower().Hidden(ids, lengths)
}

// EncodeText maps token ids (int32 [B, T], with start and end of text, right-padded) to unit vectors [B, E], read off
// at the end of the text.
func (m *CLIP) EncodeText(ids *tensor.Tensor, lengths []int32) *tensor.Tensor {
	return m.project(m.TextTower().Pooled(ids, lengths))
}

// project maps pooled states of texts [B, Dt] to unit vectors [B, E].
func (m *CLIP) project(pooled *tensor.Tensor) *tensor.Tensor {
	return m.TextProjection.Forward(pooled).L2Normalize(normEps)
}
