package main

import (
	"context"
	"slices"
	"strings"

	"github.com/gollava/gollava/connector"
	"github.com/gollava/gollava/data/shapes"
	"github.com/gollava/gollava/llm"
	"github.com/gollava/gollava/tensor"
)

// exam is a set of questions about unseen pictures, all of a family.
type exam struct {
	name      string
	family    shapes.Family
	pool      *pool
	questions []shapes.Question
}

// newExam draws n questions of a family about a split.
func newExam(w *shapes.World, split shapes.Split, f shapes.Family, n int) *exam {
	scenes := make([]shapes.Scene, n)
	e := &exam{name: string(f), family: f, questions: make([]shapes.Question, n)}
	spread(n, func(i int) { scenes[i], e.questions[i] = w.Ask(split, f, i) })
	e.pool = poolOf(w, scenes)
	return e
}

// weights is how much each family counts in the mix.
var weights = map[shapes.Family]float64{shapes.ColorOf: .12, shapes.ShapeOf: .12, shapes.PopeRandom: .12, shapes.PopeAdversarial: .12, shapes.CountAll: .08,
	shapes.CountColor: .08, shapes.LeftOf: .10, shapes.Above: .10, shapes.Where: .16}

// mix is the weighted mean of the families' scores.
func mix(scores map[string]float64) float64 {
	sum, total := 0.0, 0.0
	for f, w := range weights {
		if s, ok := scores[string(f)]; ok {
			sum, total = sum+w*s, total+w
		}
	}
	return sum / total
}

// student answers questions about an exam's pictures: a language model with a way to see them.
type student struct {
	language   llm.Model
	vocabulary *Vocabulary
	places     int
	see        func(e *exam, from, to int) *tensor.Tensor // what pictures from to to−1 become: [(to−from)·places, C]
}

// looking is a student that sees through a connector. What it sees may be changed on the way: nil leaves it as it is.
func (j *job) looking(m *connector.VLM, change func(features *tensor.Tensor) *tensor.Tensor) *student {
	return &student{m.Language, j.vocabulary, j.places(), func(e *exam, from, to int) *tensor.Tensor {
		f := e.pool.features.NoGrad() // [N, P, D]
		if change != nil {
			f = change(f)
		}
		return m.Tokens(connector.Batch{Features: f.Slice(0, from, to)})
	}}
}

// shuffled gives every question another question's picture.
func shuffled(f *tensor.Tensor) *tensor.Tensor {
	n := f.Dim(0)
	from := make([]int, n)
	for i := range from {
		from[i] = (i + 1 + n/3) % n // answers take turns, so a shift by any number would do that is no multiple of theirs
	}
	for i := n - 1; i > 0; i-- { // a fixed permutation
		k := int(uint32(i) * 2654435761 >> 8 % uint32(i+1))
		from[i], from[k] = from[k], from[i]
	}
	return tensor.Gather(f, tensor.Ints(from, n))
}

// averaged gives every question the mean of all pictures.
func averaged(f *tensor.Tensor) *tensor.Tensor {
	n := f.Dim(0)
	return tensor.Gather(f.Mean(0).Reshape(1, f.Dim(1), f.Dim(2)), tensor.Ints(make([]int, n), n))
}

// blind is a student that sees nothing at all.
func (j *job) blind(m llm.Model) *student {
	return &student{m, j.vocabulary, j.places(), func(_ *exam, from, to int) *tensor.Tensor {
		return tensor.New((to-from)*j.places(), m.Config().HiddenSize)
	}}
}

// told is a student that is told in words what is in each cell, as in the text stage: what the language model would answer if the connector were perfect.
func (j *job) told(m llm.Model) *student {
	l := &lesson{world: j.world, vocabulary: j.vocabulary}
	return &student{m, j.vocabulary, j.places(), func(e *exam, from, to int) *tensor.Tensor {
		var p page
		for i := from; i < to; i++ {
			p.tell(l, e.pool.scenes[i])
		}
		return (&reader{m}).cells(p)
	}}
}

// answerBatch is how many questions are answered at once.
const answerBatch = 100

// answers are what the student says, greedily.
func (s *student) answers(ctx context.Context, e *exam) ([]string, error) {
	longest := 0
	for _, q := range e.questions {
		longest = max(longest, len(strings.Fields(q.Answer)))
	}
	var said []string
	for from := 0; from < len(e.questions); from += answerBatch {
		to := min(from+answerBatch, len(e.questions))
		ids, err := s.generate(ctx, e, from, to, longest+3)
		if err != nil {
			return nil, err
		}
		for _, row := range ids {
			said = append(said, s.vocabulary.decode(row))
		}
	}
	return said, nil
}

// generate answers questions from to to−1 by at most n tokens each.
func (s *student) generate(ctx context.Context, e *exam, from, to, n int) (out [][]int32, err error) {
	prompts := make([][]int32, to-from)
	T := 0
	for i := range prompts {
		prompts[i] = s.vocabulary.prompt(e.questions[from+i].Text, s.places)
		T = max(T, len(prompts[i]))
	}
	var ids, mask []int32
	for _, p := range prompts { // padded at the left, so that all answers begin at once
		ids = append(append(ids, slices.Repeat([]int32{s.vocabulary.Pad}, T-len(p))...), p...)
		mask = append(append(mask, make([]int32, T-len(p))...), slices.Repeat([]int32{1}, len(p))...)
	}
	text, places := apart(ids)
	caught := tensor.Catch(func() {
		tensor.Scope(func() {
			x := s.language.Embed(tensor.WrapInts(text, len(prompts), T)) // [B, T, C]
			C := x.Dim(2)
			x = tensor.ScatterRows(x.Reshape(len(ids), C), tensor.WrapInts(places, len(places)), s.see(e, from, to)).Reshape(len(prompts), T, C)
			var g llm.Generated
			g, err = llm.Generate(ctx, s.language, llm.Prompts{Embeds: x.Detach().NoGrad(), Mask: mask}, llm.Options{MaxNewTokens: n, PAD: int(s.vocabulary.Pad)})
			out = g.IDs
		})
	})
	if caught != nil {
		return nil, caught
	}
	return out, err
}

// take lets the student take exams and returns the share of right answers in each, and of yes among its answers.
func (s *student) take(ctx context.Context, exams []*exam) (right, yes map[string]float64, err error) {
	right, yes = map[string]float64{}, map[string]float64{}
	for _, e := range exams {
		said, err := s.answers(ctx, e)
		if err != nil {
			return nil, nil, err
		}
		right[e.name], yes[e.name] = 0, 0
		for i, q := range e.questions {
			if said[i] == q.Answer {
				right[e.name] += 1 / float64(len(said))
			}
			if said[i] == "yes" {
				yes[e.name] += 1 / float64(len(said))
			}
		}
	}
	return right, yes, nil
}
