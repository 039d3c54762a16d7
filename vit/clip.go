package vit

import (
	"math"
	"math/rand/v2"

	"github.com/gollava/gollava/nn"
	"github.com/gollava/gollava/tensor"
)

// CLIP is both towers with their projections into a common space. Source: Radford et al. 2021; transformers' CLIPModel, names included.
type CLIP struct {
	Text             TextTransformer   `param:"text_model"`
	Vision           VisionTransformer `param:"vision_model"`
	VisualProjection nn.Layer          `param:"visual_projection"` // [E, D]
	TextProjection   nn.Layer          `param:"text_projection"`   // [E, Dt]
	LogitScale       *tensor.Tensor    `param:"logit_scale"`       // scalar, ln of the inverse temperature

	config CLIPConfig
	vision *CLIPVision
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
	m := &CLIP{
		Text: TextTransformer{
			Embeddings: &TextEmbeddings{Token: nn.NewEmbedding(r, t.VocabSize, t.HiddenSize, 0.02), Position: nn.NewEmbedding(r, t.MaxPositionEmbeddings, t.HiddenSize, 0.01)},
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
func (m *CLIP) SetRecompute(on bool) { m.Vision.Encoder.recompute, m.Text.Encoder.recompute = on, on }

// Tower is the vision tower alone, sharing its weights: what LLaVA takes.
func (m *CLIP) Tower() *CLIPVision {
	if m.vision == nil {
		m.vision = &CLIPVision{Model: m.Vision, config: m.config.Vision}
	}
	return m.vision
}

// EncodeImage maps images [B, 3, S, S] to unit vectors [B, E].
func (m *CLIP) EncodeImage(pixels *tensor.Tensor) *tensor.Tensor {
	n := m.config.Vision.NumHiddenLayers
	pooled := m.Tower().Pooled(m.Tower().HiddenStates(pixels, n)[n])
	return m.VisualProjection.Forward(pooled).L2Normalize(normEps)
}

const normEps = 1e-12

// TextHidden runs the text tower on ids (int32 [B, T], right-padded): [B, T, Dt] after final_layer_norm. lengths [B] are the real tokens of each
// row; nil: all.
func (m *CLIP) TextHidden(ids *tensor.Tensor, lengths []int32) *tensor.Tensor {
	_, T := ids.Dims2()
	if T > m.config.Text.MaxPositionEmbeddings {
		tensor.Fail("CLIP", "%d tokens: the text tower has positions for %d", T, m.config.Text.MaxPositionEmbeddings)
	}
	e := m.Text.Embeddings
	x := e.Token.Lookup(ids).Add(e.Position.Weight.Slice(0, 0, T)) // [B, T, Dt]
	n := len(m.Text.Encoder.Layers)
	x = m.Text.Encoder.Forward(x, n, tensor.AttentionConfig{Causal: true, End: lengths})[n]
	return m.Text.FinalNorm.Forward(x)
}

// EncodeText maps token ids (int32 [B, T], with start and end of text, right-padded) to unit vectors [B, E], read off at the end of the text.
func (m *CLIP) EncodeText(ids *tensor.Tensor, lengths []int32) *tensor.Tensor {
	h := m.TextHidden(ids, lengths)
	B, T, D := h.Dims3()
	rows := make([]int, B)
	for b := range B {
		rows[b] = b*T + endOfText(ids.IntData()[b*T:(b+1)*T], m.config.Text.EOS)
	}
	pooled := tensor.Gather(h.Reshape(B*T, D), tensor.Ints(rows, B)) // [B, Dt]
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

// Logits are exp(logit_scale)·image·textᵀ: [B, M] of unit vectors [B, E] and [M, E].
func (m *CLIP) Logits(image, text *tensor.Tensor) *tensor.Tensor {
	return image.MatMulT(text).Mul(m.LogitScale.Exp())
}

// MaxLogitScale is ln 100, above which CLIP's training does not let the scale grow.
var MaxLogitScale = float32(math.Log(100))

// ClampLogitScale brings the scale back into [0, ln 100]; call it after every optimizer step.
func (m *CLIP) ClampLogitScale() {
	s := m.LogitScale.Data()
	s[0] = min(max(s[0], 0), MaxLogitScale)
}

// ContrastiveLoss is ½(CE over texts + CE over images) of logits [B, M]: image i belongs to text i; texts from B on are extra negatives of the
// images. same, if not nil, is [B, M] and added to the logits: a large negative number takes a pair out that only looks like a negative
// (an equal caption).
func ContrastiveLoss(logits, same *tensor.Tensor) *tensor.Tensor {
	if same != nil {
		logits = logits.Add(same)
	}
	B, M := logits.Dims2()
	if M < B {
		tensor.Fail("ContrastiveLoss", "logits %v: %d images need as many texts", logits.Shape(), B)
	}
	target := make([]int, B)
	for i := range target {
		target[i] = i
	}
	labels := tensor.Ints(target, B)
	byText := tensor.CrossEntropy(logits, labels)
	byImage := tensor.CrossEntropy(logits.Slice(1, 0, B).Transpose(), labels)
	return byText.Add(byImage).Scale(0.5)
}
