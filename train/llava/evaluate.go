package llava

import (
	"context"
	"fmt"
	"image/png"
	"io"
	"os"
	"path/filepath"

	"github.com/gollava/gollava/connector"
	"github.com/gollava/gollava/data"
	"github.com/gollava/gollava/data/imaging"
	"github.com/gollava/gollava/internal/atomicfile"
	"github.com/gollava/gollava/tensor"
	"github.com/gollava/gollava/train"
)

// validate returns an evaluation: the loss over all supervised tokens of a set. The processes of a run take turns at
// its batches.
func (r *Run) validate(held *connector.Batches) func(ctx context.Context) (map[string]float64, error) {
	type part struct {
		Loss   float64 // mean
		Tokens int
	}
	return func(ctx context.Context) (map[string]float64, error) {
		parts, err := train.Map(ctx, r.comm, held.Len(), func(ctx context.Context, n int) (p part, err error) {
			b, err := held.Batch(ctx, n)
			if err != nil {
				return p, err
			}
			tensor.Scope(func(s *tensor.Arena) {
				p = part{float64(r.assistant.Model.Loss(b.In(s)).Item()), b.Supervised()}
			})
			return p, nil
		})
		if err != nil {
			return nil, err
		}
		sum, tokens := 0.0, 0
		for _, p := range parts {
			sum += float64(p.Tokens) * p.Loss
			tokens += p.Tokens
		}
		return map[string]float64{"loss": sum / float64(tokens)}, nil
	}
}

// shown is how many held-out samples the model answers at each evaluation.
const shown = 3

// show returns a probe: what the model answers to the first questions of a set. Images of these are kept in the run's
// folder, small, for its page.
func (r *Run) show(set data.Set) func(ctx context.Context) ([]string, error) {
	first := true
	return func(ctx context.Context) ([]string, error) {
		var samples []data.Sample
		for i := 0; i < set.Len() && len(samples) < shown; i++ {
			if s, err := set.Sample(i); err == nil && len(s.Turns) > 1 {
				samples = append(samples, s)
			}
		}
		keep := first
		first = false
		return train.Map(ctx, r.comm, len(samples), func(ctx context.Context, i int) (string, error) {
			s := samples[i]
			got, err := r.answer(ctx, s)
			if shown := s.Visuals(); err == nil && keep && len(shown) > 0 {
				err = r.keepProbe(ctx, i, shown[0])
			}
			if err != nil {
				return "", fmt.Errorf("sample %s: %w", s.ID, err)
			}
			return fmt.Sprintf("%s: %s\n→ %s\n(%s)", s.ID, s.Turns[0].Value, got, s.Turns[1].Value), nil
		})
	}
}

// keepProbe writes the image of a probe, of at most probeSide pixels a side, to the run's folder, or the frames of its
// video, side by side.
func (r *Run) keepProbe(ctx context.Context, i int, v data.Visual) error {
	const probeSide = 160
	shown, err := r.decode(ctx, v)
	if err != nil {
		return err
	}
	m := shown.Image
	if v.Video {
		m = strip(shown.Video)
	}
	if long := max(m.W/max(len(shown.Video), 1), m.H); long > probeSide {
		m = imaging.Resize(m, max(1, m.W*probeSide/long), max(1, m.H*probeSide/long), imaging.Bicubic)
	}
	path := train.ProbeFile(r.config.Out, i)
	if err := os.MkdirAll(filepath.Dir(path), 0o777); err != nil {
		return err
	}
	return atomicfile.Write(path, func(w io.Writer) error { return png.Encode(w, m) })
}

// answer is the model's greedy answer to a sample's first question.
func (r *Run) answer(ctx context.Context, s data.Sample) (string, error) {
	a := *r.assistant
	a.Options.MaxNewTokens = 64
	question := s.Places()[:1]
	places := (&data.Sample{Turns: question}).ImageTokens()
	var shown []connector.Visual
	for i, v := range s.Visuals() {
		if i == places {
			break // of later questions
		}
		x, err := r.decode(ctx, v)
		if err != nil {
			return "", err
		}
		shown = append(shown, x)
	}
	if len(shown) > 0 {
		question = a.Template.Multimodal(question, false)
	}
	return a.NewSession().Watch(ctx, question, shown, nil)
}
