package recipe

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
			tensor.Scope(func() {
				k := b.Supervised()
				sum += float64(k) * float64(r.model.Loss(b).Item())
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
	turns := append(chat.Turns(s)[:1], chat.Turn{From: chat.GPT, Open: true})
	turns = r.template.Multimodal(turns, false)
	spans, err := r.template.Spans(turns)
	if err != nil {
		return "", err
	}
	x := connector.Sample{Name: s.ID, IDs: r.template.Encode(r.tokenizer, spans, chat.Options{Pictures: len(s.Images) > 0}).IDs}
	for _, name := range s.Images {
		raw, err := r.images.Load(name)
		if err != nil {
			return "", err
		}
		rgb, err := imaging.Decode(raw, imaging.Options{Limits: data.DefaultLimits()})
		if err != nil {
			return "", fmt.Errorf("picture %s: %w", name, err)
		}
		p, err := r.processor.Process(rgb)
		if err != nil {
			return "", fmt.Errorf("picture %s: %w", name, err)
		}
		x.Pixels, x.Sizes = append(x.Pixels, p), append(x.Sizes, imaging.Size{W: rgb.W, H: rgb.H})
	}
	b, err := r.model.Splice([]connector.Sample{x}, true)
	if err != nil {
		return "", err
	}
	g, err := r.model.Generate(ctx, b, llm.Options{MaxNewTokens: 64, PAD: -1, StopStrings: r.template.Stop, Decode: r.tokenizer.Decode})
	if err != nil {
		return "", err
	}
	return r.tokenizer.Decode(g.IDs[0]), nil
}
