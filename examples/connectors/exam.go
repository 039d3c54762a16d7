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

// exam is questions of each family of the mix about unseen images.
type exam struct {
	*study.Exam
	vocabulary *study.Vocabulary
	others     *exam // the next family
}

func (j *job) exam() (all *exam) {
	for _, s := range eval.Weights() {
		e := study.NewExam(j.World, shapes.Test, s.Family, j.Preset.Questions)
		e.Pool.Look(j.tower, selected)
		all = &exam{e, j.Vocabulary, all}
	}
	return all
}

// sit is the share of right answers of m, weighted as the mix is: to the last word, greedily. Features are shown as
// change makes them; nil: as they are.
func (x *exam) sit(ctx context.Context, m *connector.VLM, change func(*tensor.Tensor) *tensor.Tensor) (float64, error) {
	scores := map[shapes.Family]float64{}
	for ; x != nil; x = x.others {
		right, err := x.right(ctx, m, change)
		if err != nil {
			return 0, err
		}
		scores[x.Family] = float64(right) / float64(len(x.Set))
	}
	return eval.Mean(eval.Weights(), scores), nil
}

// right counts the right answers of a family.
func (x *exam) right(ctx context.Context, m *connector.VLM, change func(*tensor.Tensor) *tensor.Tensor) (int, error) {
	n := len(x.Set)
	seen := make([]int, n)
	for i := range seen {
		seen[i] = i
	}
	features := x.Pool.Seen(seen) // [N, P, D]
	if change != nil {
		features = change(features)
	}
	var prompts []connector.Sample
	var want [][]int32
	longest := 0
	for i, q := range x.Set {
		prompts = append(prompts, sample(m, x.vocabulary.Prompt(q.Text, 1), nil, features.Slice(0, i, i+1)))
		answer, _ := x.vocabulary.Texts([]string{q.Answer}) // between start and end of text
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
	right := 0
	for i, said := range g.IDs {
		if slices.Equal(said, want[i]) {
			right++
		}
	}
	return right, nil
}
