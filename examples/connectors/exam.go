package main

import (
	"context"
	"slices"

	"github.com/gollava/gollava/connector"
	"github.com/gollava/gollava/data/shapes"
	"github.com/gollava/gollava/data/shapes/eval"
	"github.com/gollava/gollava/llm"
	"github.com/gollava/gollava/tensor"
	"github.com/gollava/gollava/train/study"
)

// questions are those of the exam: of each family of the mix, about unseen images.
func (j *job) questions() (all []*study.Exam) {
	for _, s := range eval.Weights() {
		e := study.NewExam(j.World, shapes.Test, s.Family, j.Preset.Questions)
		e.Pool.Look(j.tower, selected)
		all = append(all, e)
	}
	return all
}

// examine is the share of questions that m answers rightly, to the last word, weighted as the mix is. It is shown the
// features [N, P, D] of a family's images as change makes them; nil: as they are.
func (j *job) examine(ctx context.Context, m *connector.VLM, change func(*tensor.Tensor) *tensor.Tensor) (float64,
	error) {
	scores := map[shapes.Family]float64{}
	for _, e := range j.exam {
		var prompts []connector.Sample
		var want [][]int32
		seen, longest := make([]int, len(e.Set)), 0
		for i := range seen {
			seen[i] = i
		}
		features := e.Pool.Seen(seen) // [N, P, D]
		if change != nil {
			features = change(features)
		}
		for i, q := range e.Set {
			prompts = append(prompts, sample(m, j.Vocabulary.Prompt(q.Text, 1), nil, features.Slice(0, i, i+1)))
			answer, _ := j.Vocabulary.Texts([]string{q.Answer}) // between start and end of text
			want = append(want, answer.IntData()[1:])
			longest = max(longest, len(want[i]))
		}
		b, err := m.Splice(prompts, true)
		if err != nil {
			return 0, err
		}
		g, err := m.Generate(ctx, b, llm.Options{MaxNewTokens: longest, PAD: -1})
		if err != nil {
			return 0, err
		}
		for i, said := range g.IDs {
			if slices.Equal(said, want[i]) {
				scores[e.Family] += 1 / float64(len(want))
			}
		}
	}
	return eval.Mean(eval.Weights(), scores), nil
}
