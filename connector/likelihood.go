package connector

import (
	"context"
	"fmt"
	"slices"

	"github.com/gollava/gollava/data/chat"
	"github.com/gollava/gollava/data/imaging"
	"github.com/gollava/gollava/llm"
	"github.com/gollava/gollava/tensor"
)

// LogProbs returns how likely each of answers is as the reply to turns, of which the last is the human's: the
// log-probability (natural logarithm) of every token that training would learn of it, the end of the answer included.
// The likeliest answer is that with the greatest sum; divided by the number of tokens, sums of answers of different
// lengths are compared. images are those of the turns' <image>s, in order; a tower encodes them once. The answers
// pass the model in one batch. An empty answer is an error. It is safe for concurrent use as [Assistant.Reply] is.
func (a *Assistant) LogProbs(ctx context.Context, turns []chat.Turn, images []*imaging.RGB,
	answers []string) ([][]float64, error) {
	if err := ctx.Err(); err != nil || len(answers) == 0 {
		return nil, err
	}
	if len(turns) == 0 || turns[len(turns)-1].From != chat.Human {
		return nil, fmt.Errorf("log-probabilities: the last turn must be the human's")
	}
	if a.Leading {
		return nil, errLeading
	}
	if i := slices.Index(answers, ""); i >= 0 {
		return nil, fmt.Errorf("log-probabilities: answer %d is empty", i+1)
	}
	seen, err := a.images(Visuals(images))
	if err != nil {
		return nil, err
	}
	if seen, err = a.Model.withFeatures(seen); err != nil {
		return nil, err
	}
	var samples []Sample
	for _, answer := range answers {
		x, err := a.learnt("sample", append(slices.Clone(turns), chat.Turn{From: chat.GPT, Value: answer}),
			len(seen) > 0)
		if err != nil {
			return nil, err
		}
		x.Images = seen
		x.Labels = slices.Clone(x.Labels)
		last := len(x.Labels) // of the earlier answers nothing counts
		for last > 0 && x.Labels[last-1] == tensor.IgnoreIndex {
			last--
		}
		for last > 0 && x.Labels[last-1] != tensor.IgnoreIndex {
			last--
		}
		for i := range last {
			x.Labels[i] = tensor.IgnoreIndex
		}
		samples = append(samples, x)
	}
	b, err := a.Model.Splice(samples, false)
	if err != nil {
		return nil, err
	}
	if err := a.fits(b.IDs.Dim(1)); err != nil {
		return nil, err
	}
	p, err := a.Model.LogProbs(b)
	return p, a.Model.blame(err)
}

// withFeatures gives images the tower's features in place of their pixels, so that several samples of the same images
// encode them once. Those that do not fit the model stay as they are, and Splice says why.
func (m *VLM) withFeatures(images []Image) ([]Image, error) {
	if m.Vision == nil {
		return images, nil
	}
	out := slices.Clone(images)
	for i, x := range images {
		if _, err := m.layout(x); err != nil {
			return images, nil
		}
		if x.Features != nil {
			continue
		}
		p := x.Pixels
		err := tensor.Catch(func() {
			tensor.Scope(func(s *tensor.Arena) {
				pixels := tensor.Wrap(p.Data, p.N, len(p.Data)/(p.N*p.H*p.W), p.H, p.W).In(s).NoGrad()
				media := []Media{{Size: x.Size, Frames: x.Frames, Several: x.Several}}
				out[i].Features = m.Features(pixels, media).Host().Clone()
			})
		})
		if err != nil {
			return nil, err
		}
		out[i].Pixels = imaging.Pixels{}
	}
	return out, nil
}

// LogProbs returns the log-probabilities of a batch's labels, row by row and without those that are
// tensor.IgnoreIndex. Nothing is recorded. A batch that does not fit the model is an error.
func (m *VLM) LogProbs(b Batch) ([][]float64, error) {
	if err := m.Check(b); err != nil {
		return nil, err
	}
	if m.encoderDecoder() != nil {
		return nil, fmt.Errorf("log-probabilities: the language model is an encoder-decoder, for which there are none")
	}
	B, T := b.IDs.Dims2()
	out := make([][]float64, B)
	err := tensor.Catch(func() {
		tensor.Scope(func(s *tensor.Arena) {
			b := b.In(s).frozen()
			in := m.input(b)
			in.Embeds = in.Embeds.Detach().NoGrad()
			p := llm.LogProbs(m.Language, in, b.Labels).Host().Data()
			for i, label := range b.Labels.Host().IntData() {
				if label != tensor.IgnoreIndex && i%T > 0 {
					out[i/T] = append(out[i/T], float64(p[i]))
				}
			}
		})
	})
	return out, err
}
