// Package connector joins a vision encoder to a language model. A [Connector] turns the encoder's features into
// tokens, [VLM.Splice] makes room for them in the text, and [VLM] is the joined model. What belongs to one system is
// in a package of its own, such as connector/llava.
package connector

import (
	"fmt"

	"github.com/gollava/gollava/llm"
	"github.com/gollava/gollava/tensor"
	"github.com/gollava/gollava/vit"
)

// VLM is a vision-language model: images become tokens among those of the text. Source: Liu et al. 2023, "Visual
// Instruction Tuning"; parameter names are those of transformers' LlavaForConditionalGeneration.
// It is safe for concurrent use while nobody changes its parameters.
type VLM struct {
	Vision    vit.Tower `param:"vision_tower"` // nil, as the connector, of a model of [TextOnly]
	Connector Connector `param:",inline"`
	Language  llm.Model `param:"language_model"`

	config Config
}

// Config is how the parts of a [VLM] are joined.
type Config struct {
	Select    vit.Select // the encoder's features that the connector gets
	Image     int        // id that stands for one token of an image in a [Batch], beside negative ones; negative: none
	Video     int        // the same for a video, if it has an id of its own; 0: none
	Prefix    bool       // each sample begins with its one image, which sees itself both ways (GIT)
	MaxLength int        // positions that [VLM.Splice] keeps of a sample; 0: all
	EOS       []int      // tokens that end an answer; nil: the language model's
	PAD       int        // token that fills up; outside the vocabulary: it has none
}

// New joins a vision encoder, a connector and a language model. It returns an error if c selects a layer that the
// encoder does not have, or if the connector is [Attended] and c.Image is no id of the vocabulary.
func New(v vit.Tower, p Connector, l llm.Model, c Config) (*VLM, error) {
	if _, err := c.Select.Indices(v.Config().NumHiddenLayers); err != nil {
		return nil, fmt.Errorf("connector: %w", err)
	}
	V := l.Config().VocabSize
	if c.PAD >= V {
		c.PAD = -1
	}
	if c.Image < 0 || c.Image >= V {
		if _, ok := p.(Attended); ok {
			return nil, fmt.Errorf("connector: the id of an image's mark, %d, is outside the vocabulary of %d",
				c.Image, V)
		}
	}
	if c.EOS == nil {
		c.EOS = l.Config().EOS
	}
	return &VLM{Vision: v, Connector: p, Language: l, config: c}, nil
}

// Config describes how the parts are joined.
func (m *VLM) Config() Config { return m.config }

// Hidden runs the whole model up to the final norm: [B, T, C]. Of an encoder-decoder, T is the labels'.
func (m *VLM) Hidden(b Batch) *tensor.Tensor {
	if e := m.encoderDecoder(); e != nil && b.Labels != nil {
		return e.Hidden(m.decoderInput(e, b, b.Labels.Dim(1)))
	}
	return m.Language.Hidden(m.input(b))
}

// input is what the language model reads.
func (m *VLM) input(b Batch) llm.Input {
	in := llm.Input{Embeds: m.Embed(b), Positions: b.Positions, Context: m.context(b), Prefix: m.prefix(b)}
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
func (m *VLM) Loss(b Batch) *tensor.Tensor {
	if e := m.encoderDecoder(); e != nil {
		return m.decoderLoss(e, b)
	}
	return llm.Loss(m.Language, m.input(b), b.Labels)
}

// SetRecompute says whether training keeps only the inputs of each block, in both parts.
func (m *VLM) SetRecompute(on bool) {
	if m.Vision != nil {
		m.Vision.SetRecompute(on)
	}
	if x, ok := m.Connector.(interface{ SetRecompute(bool) }); ok {
		x.SetRecompute(on)
	}
	m.Language.SetRecompute(on)
}
