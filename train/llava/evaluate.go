package llava

import (
	"context"
	"fmt"
	"slices"

	"github.com/gollava/gollava/connector"
	"github.com/gollava/gollava/data"
	"github.com/gollava/gollava/data/imaging"
	"github.com/gollava/gollava/tensor"
	"github.com/gollava/gollava/train"
)

// validate returns an evaluation: the loss over all supervised tokens of a set. The processes of a run take turns at its batches.
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

// show returns a probe: what the model answers to the first questions of a set.
func (r *Run) show(set data.Set) func(ctx context.Context) ([]string, error) {
	return func(ctx context.Context) ([]string, error) {
		out, err := train.Map(ctx, r.comm, min(shown, set.Len()), func(ctx context.Context, i int) (string, error) {
			s, err := set.Sample(i)
			if err != nil || len(s.Turns) < 2 {
				return "", nil
			}
			got, err := r.answer(ctx, s)
			if err != nil {
				return "", fmt.Errorf("sample %s: %w", s.ID, err)
			}
			return fmt.Sprintf("%s: %s\n→ %s\n(%s)", s.ID, s.Turns[0].Value, got, s.Turns[1].Value), nil
		})
		return slices.DeleteFunc(out, func(s string) bool { return s == "" }), err
	}
}

// answer is the model's greedy answer to a sample's first question.
func (r *Run) answer(ctx context.Context, s data.Sample) (string, error) {
	a := *r.assistant
	a.Options.MaxNewTokens = 64
	var images []*imaging.RGB
	for _, name := range s.Images {
		m, err := data.LoadImage(r.images, name, imaging.Options{})
		if err != nil {
			return "", err
		}
		images = append(images, m)
	}
	question := s.Turns[:1]
	if len(images) > 0 {
		question = a.Template.Multimodal(question, false)
	}
	return a.Reply(ctx, question, images, nil)
}
