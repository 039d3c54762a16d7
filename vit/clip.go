package vit

import (
	"math"
	"math/rand/v2"

	"github.com/gollava/gollava/nn"
	"github.com/gollava/gollava/tensor"
)

// CLIP is both towers with their projections into a common space. Source: Radford et al. 2021; transformers' CLIPModel, names included.
// It is safe for concurrent use while nobody changes its parameters.
type CLIP struct {
	Text             TextTransformer   `param:"text_model"`
	Vision           VisionTransformer `param:"vision_model"`
	VisualProjection nn.Layer          `param:"visual_projection"` // [E, D]
	TextProjection   nn.Layer          `param:"text_projection"`   // [E, Dt]
	LogitScale       *tensor.Tensor    `param:"logit_scale"`       // scalar, ln of the inverse temperature

	config CLIPConfig
}

// TextTransformer is CLIP's text tower: tokens + positions, causal blocks, LayerNorm.
type TextTransformer struct {
	Embeddings *TextEmbeddings `param:"embeddings"`
	Encoder    *Encoder        `param:"encoder"`
	FinalNorm  nn.Layer        `param:"final_layer_norm"`
}

// TextEmbeddings turns token ids into vectors.
type TextEmbeddings struct {
	Token    *nn.Embedding `param:"token_embedding"`    // [V, Dt]
	Position *nn.Embedding `param:"position_embedding"` // [77, Dt]
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
	tokenStd := t.TokenStd
	if tokenStd == 0 {
		tokenStd = 0.02
	}
	m := &CLIP{
		Text: TextTransformer{
			Embeddings: &TextEmbeddings{Token: nn.NewEmbedding(r, t.VocabSize, t.HiddenSize, tokenStd), Position: nn.NewEmbedding(r, t.MaxPositionEmbeddings, t.HiddenSize, 0.01)},
			Encoder:    newEncoder(r, width{hidden: t.HiddenSize, mlp: t.IntermediateSize, layers: t.NumHiddenLayers, heads: t.NumAttentionHeads, act: t.HiddenAct, eps: t.LayerNormEps}),
			FinalNorm:  nn.NewLayerNorm(r, t.HiddenSize, t.LayerNormEps, true),
		},
		Vision:           v.Model,
		VisualProjection: &nn.Linear{Weight: tensor.Randn(r, math.Pow(float64(c.Vision.HiddenSize), -0.5), E, c.Vision.HiddenSize).Param()},
		TextProjection:   &nn.Linear{Weight: tensor.Randn(r, math.Pow(float64(t.HiddenSize), -0.5), E, t.HiddenSize).Param()},
		LogitScale:       zeros(r).Param(),
		config:           c,
	}
	if r != nil {
		m.LogitScale.Data()[0] = float32(c.LogitScaleInit)
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
	class := m.Vision.Encoder.One(m.Tower().embed(pixels), make([]int32, pixels.Dim(0)), tensor.AttentionConfig{}) // [B, 1, D]
	return m.VisualProjection.Forward(m.Tower().Pooled(class)).L2Normalize(normEps)
}

const normEps = 1e-12

// TextHidden runs the text tower on ids (int32 [B, T], right-padded): [B, T, Dt] after final_layer_norm. lengths [B] are the real tokens of each
// row; nil: all.
func (m *CLIP) TextHidden(ids *tensor.Tensor, lengths []int32) *tensor.Tensor {
	x := m.embedText(ids)
	return m.Text.FinalNorm.Forward(m.Text.Encoder.Last(x, len(m.Text.Encoder.Layers), tensor.AttentionConfig{Causal: true, End: lengths}))
}

// embedText is what enters the text tower's first block: [B, T, Dt].
func (m *CLIP) embedText(ids *tensor.Tensor) *tensor.Tensor {
	_, T := ids.Dims2()
	if T > m.config.Text.MaxPositionEmbeddings {
		tensor.Fail("CLIP", "%d tokens: the text tower has positions for %d", T, m.config.Text.MaxPositionEmbeddings)
	}
	e := m.Text.Embeddings
	return e.Token.Lookup(ids).Add(e.Position.Weight.In(ids.Arena()).Slice(0, 0, T))
}

// EncodeText maps token ids (int32 [B, T], with start and end of text, right-padded) to unit vectors [B, E], read off at the end of the text.
func (m *CLIP) EncodeText(ids *tensor.Tensor, lengths []int32) *tensor.Tensor {
	return m.poolText(ids, m.embedText(ids), lengths)
}

// poolText runs the text tower on embeddings x [B, T, Dt] of ids and projects what it makes of the ends of the texts: [B, E].
func (m *CLIP) poolText(ids, x *tensor.Tensor, lengths []int32) *tensor.Tensor {
	B, T, D := x.Dims3()
	ends := make([]int32, B)
	for b := range ends {
		ends[b] = int32(endOfText(ids.IntData()[b*T:(b+1)*T], m.config.Text.EOS))
	}
	last := m.Text.Encoder.One(x, ends, tensor.AttentionConfig{Causal: true, End: lengths}) // [B, 1, Dt]
	pooled := m.Text.FinalNorm.Forward(last.Reshape(B, D))
	return m.TextProjection.Forward(pooled).L2Normalize(normEps)
}

// endOfText is the position of the first eos, or, for configs with the legacy eos_token_id 2, of the largest id, as OpenAI's code has it.
func endOfText(ids []int32, eos int) int {
	at := 0
	for i, id := range ids {
		if eos == 2 {
			if id > ids[at] {
				at = i
			}
		} else if int(id) == eos {
			return i
		}
	}
	return at
}
