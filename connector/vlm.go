// Package connector joins a vision tower to a language model: LLaVA's projectors, the splice of image features into the token embeddings, and
// the joined model [VLM]. It reads every layout that LLaVA checkpoints come in and writes the Hub's and the original one.
package connector

import (
	"math"
	"math/rand/v2"

	"github.com/gollava/gollava/llm"
	"github.com/gollava/gollava/tensor"
	"github.com/gollava/gollava/vit"
)

// VLM is a vision-language model: what it sees becomes tokens among those it reads. Source: Liu et al. 2023, "Visual Instruction Tuning";
// parameter names are those of transformers' LlavaForConditionalGeneration.
type VLM struct {
	Vision    vit.Tower      `param:"vision_tower"`
	Projector *Projector     `param:"multi_modal_projector"`
	Language  llm.Model      `param:"language_model"`
	Newline   *tensor.Tensor `param:"image_newline,optional"` // [C], LLaVA-NeXT's end of a row of tiles

	config Config
	eos    []int // from generation_config.json; nil: the config's
	pad    int
}

// New builds the model that c describes. With a nil r its weights are to be loaded.
func New(r *rand.Rand, c Config) (*VLM, error) {
	if err := c.Validate(); err != nil {
		return nil, err
	}
	v, err := vit.New(r, c.Vision)
	if err != nil {
		return nil, err
	}
	p, err := NewProjector(r, c)
	if err != nil {
		return nil, err
	}
	l, err := llm.New(r, c.Text)
	if err != nil {
		return nil, err
	}
	m := &VLM{Vision: v, Projector: p, Language: l, config: c, pad: c.Text.PAD}
	if c.Next() {
		m.Newline = tensor.Randn(r, 1/math.Sqrt(float64(c.Text.HiddenSize)), c.Text.HiddenSize).Param()
	}
	return m, nil
}

// Join puts a trained tower and a trained language model together with a fresh projector: the start of stage 1. c's Text and Vision are taken from
// the parts.
func Join(r *rand.Rand, v vit.Tower, l llm.Model, c Config) (*VLM, error) {
	c.Text, c.Vision = l.Config(), v.Config()
	if err := c.Validate(); err != nil {
		return nil, err
	}
	p, err := NewProjector(r, c)
	if err != nil {
		return nil, err
	}
	m := &VLM{Vision: v, Projector: p, Language: l, config: c, pad: c.Text.PAD}
	if c.Next() {
		m.Newline = tensor.Randn(r, 1/math.Sqrt(float64(c.Text.HiddenSize)), c.Text.HiddenSize).Param()
	}
	return m, nil
}

// Config describes the model.
func (m *VLM) Config() Config { return m.config }

// Hidden runs the whole model up to the final norm: [B, T, C].
func (m *VLM) Hidden(b Batch) *tensor.Tensor { return m.Language.Hidden(m.input(b)) }

// input is what the language model reads.
func (m *VLM) input(b Batch) llm.Input {
	in := llm.Input{Embeds: m.Embed(b), Positions: b.Positions}
	if b.Mask != nil {
		start, end, positions, ok := llm.Extent(b.Mask, b.IDs.Dim(0))
		if !ok {
			tensor.Fail("VLM", "the attention mask has a hole; padding lies at one side")
		}
		in.Start, in.End = start, end
		if in.Positions == nil {
			in.Positions = positions
		}
	}
	return in
}

// Loss is the mean cross-entropy of the next supervised token.
func (m *VLM) Loss(b Batch) *tensor.Tensor { return llm.Loss(m.Language, m.input(b), b.Labels) }

// SetRecompute says whether training keeps only the inputs of each block, in both parts.
func (m *VLM) SetRecompute(on bool) {
	m.Vision.SetRecompute(on)
	m.Language.SetRecompute(on)
}
