package connector

import (
	"context"

	"github.com/gollava/gollava/llm"
	"github.com/gollava/gollava/tensor"
)

// Generate continues the batch's rows, which are padded at the left or of one length ([VLM.Splice]). The pictures are
// looked at once; then every token costs one step of the language model. End and padding tokens are, unless o says
// otherwise, those of generation_config.json or config.json. The repetition penalty knows the text of the prompts. It
// returns early with ctx's error; a batch that does not fit the model is an error too.
func (m *VLM) Generate(ctx context.Context, b Batch, o llm.Options) (llm.Generated, error) {
	p, err := m.Prompts(b)
	if err != nil {
		return llm.Generated{}, err
	}
	return llm.Generate(ctx, m.Language, p, m.options(o))
}

// options is o with the model's end and padding tokens where it has none.
func (m *VLM) options(o llm.Options) llm.Options {
	if o.EOS == nil {
		o.EOS = m.config.EOS
	}
	if o.PAD < 0 && m.config.PAD >= 0 {
		o.PAD = m.config.PAD
	}
	return o
}

// Prompts encodes the images of a batch and embeds its rows, which are padded at the left or of one length, for the
// language model to continue: with [llm.Generate] or in an [llm.Engine]. An error names the sample that does not fit
// the model.
func (m *VLM) Prompts(b Batch) (llm.Prompts, error) {
	if err := m.Check(b); err != nil {
		return llm.Prompts{}, err
	}
	p := llm.Prompts{Mask: b.Mask, Prefix: m.prefix(b)}
	if e := m.encoderDecoder(); e != nil {
		err := tensor.Catch(func() { p = m.encoded(e, b) })
		return p, err
	}
	if err := tensor.Catch(func() {
		tensor.Scope(func(s *tensor.Arena) {
			b := b.In(s).frozen()
			p.Embeds = m.Embed(b).Detach().Clone()
			if p.Context = m.context(b); p.Context != nil {
				p.Context.States = p.Context.States.Detach().Clone()
			}
		})
	}); err != nil {
		return llm.Prompts{}, err
	}
	B, T := b.IDs.Dims2()
	for row := range B {
		var seen []int32
		for i, id := range b.IDs.Host().IntData()[row*T : (row+1)*T] {
			if !m.config.isPlace(id) && (b.Mask == nil || b.Mask[row*T+i] != 0) {
				seen = append(seen, id)
			}
		}
		p.Seen = append(p.Seen, seen)
	}
	return p, nil
}

// frozen is b with inputs of which nothing is recorded.
func (b Batch) frozen() Batch {
	if b.Pixels != nil {
		b.Pixels = b.Pixels.NoGrad()
	}
	if b.Features != nil {
		b.Features = b.Features.NoGrad()
	}
	return b
}
