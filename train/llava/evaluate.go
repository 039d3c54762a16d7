package llava

import (
	"context"
	"fmt"

	"github.com/gollava/gollava/connector"
	"github.com/gollava/gollava/data"
	"github.com/gollava/gollava/data/imaging"
	"github.com/gollava/gollava/tensor"
)

// validate returns an evaluation: the loss over all supervised tokens of a set.
func (r *Run) validate(held *connector.Batches) func(ctx context.Context) (map[string]float64, error) {
	return func(ctx context.Context) (map[string]float64, error) {
		sum, tokens := 0.0, 0
		for n := range held.Len() {
			b, err := held.Batch(ctx, n)
			if err != nil {
				return nil, err
			}
			tensor.Scope(func(s *tensor.Arena) {
				k := b.Supervised()
				sum += float64(k) * float64(r.assistant.Model.Loss(b.In(s)).Item())
				tokens += k
			})
		}
		return map[string]float64{"loss": sum / float64(tokens)}, nil
	}
}

// shown is how many held-out samples the model answers at each evaluation.
const shown = 3

// show returns a probe: what the model answers to the first questions of a set.
func (r *Run) show(set data.Set) func(ctx context.Context) ([]string, error) {
	return func(ctx context.Context) ([]string, error) {
		var out []string
		for i := range min(shown, set.Len()) {
			s, err := set.Sample(i)
			if err != nil || len(s.Turns) < 2 {
				continue
			}
			got, err := r.answer(ctx, s)
			if err != nil {
				return nil, fmt.Errorf("sample %s: %w", s.ID, err)
			}
			out = append(out, fmt.Sprintf("%s: %s\n→ %s\n(%s)", s.ID, s.Turns[0].Value, got, s.Turns[1].Value))
		}
		return out, nil
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
