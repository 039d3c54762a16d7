package connector

import (
	"slices"

	"github.com/gollava/gollava/llm"
	"github.com/gollava/gollava/tensor"
)

// A language model that reads with an encoder (T5) gets images and prompt there, in the batch's IDs. The batch's
// Labels, of a length of their own, are what its decoder is to write: logits of position t are scored against label t.

// encoderDecoder is the language model if it is one, else nil.
func (m *VLM) encoderDecoder() llm.EncoderDecoder {
	e, _ := m.Language.(llm.EncoderDecoder)
	return e
}

// whole reports whether a prompt with such images is to be read as a whole, each time: its images are no positions
// that a cache could keep, or differ with what is asked or with the images beside them.
func (m *VLM) whole(shown []Visual) bool {
	_, attended := m.Connector.(Attended)
	i, ok := m.Connector.(Instructed)
	return attended || ok && i.NeedsInstruction() || m.encoderDecoder() != nil || m.config.Prefix || m.otherwise(shown)
}

// otherwise reports whether one of several images is shown otherwise than alone.
func (m *VLM) otherwise(shown []Visual) bool {
	c, ok := m.Connector.(MediaConnector)
	images := slices.DeleteFunc(slices.Clone(shown), func(v Visual) bool { return v.Video != nil })
	return ok && len(images) > 1 && slices.ContainsFunc(images, func(v Visual) bool {
		x := v.Media()
		alone, err := c.MediaLayout(x)
		x.Several = true
		several, err2 := c.MediaLayout(x)
		return err != nil || err2 != nil || alone != several
	})
}

// apart leaves to the encoder what is not learnt, and to the decoder what is.
func (r *row) apart() {
	var prompt, answer []int32
	for i, id := range r.ids {
		if r.labels[i] == tensor.IgnoreIndex {
			prompt = append(prompt, id)
		} else {
			answer = append(answer, r.labels[i])
		}
	}
	r.ids, r.labels, r.supervised = prompt, answer, len(answer)
}

// decoderInput is what the decoder reads to write T positions: its first id, then the labels.
func (m *VLM) decoderInput(e llm.EncoderDecoder, b Batch, T int) llm.Input {
	if b.Labels == nil {
		tensor.Fail("VLM", "a batch without labels: they are what the decoder of an encoder-decoder reads")
	}
	B, L := b.Labels.Dims2()
	if B != b.IDs.Dim(0) {
		tensor.Fail("VLM", "labels %v for ids %v", b.Labels.Shape(), b.IDs.Shape())
	}
	ids := make([]int32, B*T)
	for i := range ids {
		switch row, t := i/T, i%T; {
		case t == 0:
			ids[i] = e.First()
		case b.Labels.Host().IntData()[row*L+t-1] < 0:
			ids[i] = int32(max(m.config.PAD, 0))
		default:
			ids[i] = b.Labels.Host().IntData()[row*L+t-1]
		}
	}
	in := m.input(b)
	return llm.Input{Embeds: e.Embed(tensor.WrapInts(ids, B, T).In(b.IDs.Arena())),
		Context: e.Encode(in.Embeds, in.Start, in.End, T)}
}

// decoderLoss is the mean cross-entropy of the labels.
func (m *VLM) decoderLoss(e llm.EncoderDecoder, b Batch) *tensor.Tensor {
	B, L := b.Labels.Dims2()
	labels := make([]int32, 0, B*(L+1)) // llm.Loss scores position t against label t+1
	for row := range B {
		labels = append(append(labels, tensor.IgnoreIndex), b.Labels.Host().IntData()[row*L:(row+1)*L]...)
	}
	return llm.Loss(e, m.decoderInput(e, b, L+1), tensor.WrapInts(labels, B, L+1))
}

// encoded is what the decoder continues: its first id, attending to what the encoder made of each row.
func (m *VLM) encoded(e llm.EncoderDecoder, b Batch) (p llm.Prompts) {
	tensor.Scope(func(s *tensor.Arena) {
		in := m.input(b.In(s).frozen())
		c := e.Encode(in.Embeds.NoGrad(), in.Start, in.End, 1)
		c.States = c.States.Detach().Clone()
		p.Context = c
	})
	for range b.IDs.Dim(0) {
		p.IDs = append(p.IDs, []int32{e.First()})
	}
	return p
}
