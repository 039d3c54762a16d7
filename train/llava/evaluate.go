package llava

import (
	"context"
	"fmt"

	"github.com/gollava/gollava/connector"
	"github.com/gollava/gollava/data"
	"github.com/gollava/gollava/data/chat"
	"github.com/gollava/gollava/data/imaging"
	"github.com/gollava/gollava/llm"
	"github.com/gollava/gollava/tensor"
)

// validate returns an evaluation: the loss over all tokens that a loader's samples supervise.
func (r *Run) validate(l *data.Loader) func(ctx context.Context) (map[string]float64, error) {
	batch := r.batch(l)
	return func(ctx context.Context) (map[string]float64, error) {
		sum, tokens := 0.0, 0
		for n := range l.Len() {
			b, err := batch(ctx, n)
			if err != nil {
				return nil, err
			}
			tensor.Scope(func(s *tensor.Arena) {
				k := b.Supervised()
				sum += float64(k) * float64(r.model.Loss(b.In(s)).Item())
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
	a := r.assistant()
	a.Options.MaxNewTokens = 64
	var pictures []*imaging.RGB
	for _, name := range s.Images {
		raw, err := r.images.Load(name)
		if err != nil {
			return "", err
		}
		rgb, err := imaging.Decode(raw, imaging.Options{Limits: data.DefaultLimits()})
		if err != nil {
			return "", fmt.Errorf("picture %s: %w", name, err)
		}
		pictures = append(pictures, rgb)
	}
	question := chat.Turns(s)[:1]
	if len(pictures) > 0 {
		question = r.template.Multimodal(question, false)
	}
	return a.Reply(ctx, question, pictures, nil)
}

// assistant is the model with all that it takes to talk with it.
func (r *Run) assistant() *connector.Assistant {
	return &connector.Assistant{Model: r.model, Tokenizer: r.tokenizer, Processor: r.processor, Template: r.template, Options: llm.Options{PAD: -1}}
}
