package study

import (
	"context"
	"slices"
	"strings"

	"github.com/gollava/gollava/connector"
	"github.com/gollava/gollava/data/shapes"
	"github.com/gollava/gollava/data/shapes/eval"
	"github.com/gollava/gollava/llm"
	"github.com/gollava/gollava/tensor"
	"github.com/gollava/gollava/train"
)

// Exam is a set of questions about unseen pictures, all of a family, and the pictures. Students may take it side
// by side.
type Exam struct {
	Family shapes.Family
	Set    eval.Set
	Pool   *Pool
}

// NewExam draws n questions of a family about a split.
func NewExam(w *shapes.World, split shapes.Split, f shapes.Family, n int) *Exam {
	return examOf(w, f, eval.Questions(w, split, f, n))
}

// examOf renders the pictures of questions.
func examOf(w *shapes.World, f shapes.Family, set eval.Set) *Exam {
	scenes := make([]shapes.Scene, len(set))
	for i := range set {
		scenes[i] = set[i].Scene
	}
	return &Exam{f, set, poolOf(w, scenes)}
}

// Student answers questions about an exam's pictures: a language model with a way to see them. It is safe
// for concurrent use, unless ranks share its work.
type Student struct {
	comm       train.Comm // ranks that answer together; nil: this process alone
	language   llm.Model
	vocabulary *Vocabulary
	places     int

	// see is what pictures from to to−1 become: [(to−from)·places, C], in scope s.
	see func(s *tensor.Arena, e *Exam, from, to int) *tensor.Tensor
}

// Looking is a student that sees through a connector. What it sees may be changed on the way: nil leaves it as it is.
func (j *Study) Looking(m *connector.VLM, change func(features *tensor.Tensor) *tensor.Tensor) *Student {
	see := func(s *tensor.Arena, e *Exam, from, to int) *tensor.Tensor {
		f := e.Pool.features.NoGrad().In(s) // [N, P, D]
		if change != nil {
			f = change(f)
		}
		return m.Tokens(connector.Batch{Features: f.Slice(0, from, to)})
	}
	return &Student{j.Comm, m.Language, j.Vocabulary, j.Places, see}
}

// Shuffled are the features [N, P, D] of N questions, each with those of another question's picture.
func Shuffled(f *tensor.Tensor) *tensor.Tensor {
	n := f.Dim(0)
	return tensor.Gather(f, tensor.Ints(eval.Shuffle(n, 1), n))
}

// Averaged are the features [N, P, D] of N questions, each with the mean of all pictures.
func Averaged(f *tensor.Tensor) *tensor.Tensor {
	n := f.Dim(0)
	return tensor.Gather(f.Mean(0).Reshape(1, f.Dim(1), f.Dim(2)), tensor.Ints(make([]int, n), n))
}

// Blind is a student that sees nothing at all.
func (j *Study) Blind(m llm.Model) *Student {
	return &Student{j.Comm, m, j.Vocabulary, j.Places, func(_ *tensor.Arena, _ *Exam, from, to int) *tensor.Tensor {
		return tensor.New((to-from)*j.Places, m.Config().HiddenSize)
	}}
}

// Told is a student that is told in words what is in each cell, as in the text stage: what the language model would
// answer if the connector were perfect.
func (j *Study) Told(m *Reader) *Student {
	l := &Lesson{World: j.World, Vocabulary: j.Vocabulary}
	tell := func(s *tensor.Arena, e *Exam, from, to int) *tensor.Tensor {
		var p Page
		for i := from; i < to; i++ {
			p.tell(l, e.Pool.Scenes[i])
		}
		return m.cells(s, p)
	}
	return &Student{j.Comm, m.Language, j.Vocabulary, j.Places, tell}
}

// answerBatch is how many questions are answered at once.
const answerBatch = 100

// Answers are what the student says, greedily.
func (s *Student) Answers(ctx context.Context, e *Exam) ([]string, error) {
	said, err := s.answers(ctx, []*Exam{e})
	if err != nil {
		return nil, err
	}
	return said[0], nil
}

// answers are what the student says in each exam. Ranks share the batches of questions out, and all get all answers.
func (s *Student) answers(ctx context.Context, exams []*Exam) ([][]string, error) {
	type batch struct{ exam, from, to int }
	var batches []batch
	longest := make([]int, len(exams))
	for i, e := range exams {
		for _, q := range e.Set {
			longest[i] = max(longest[i], len(strings.Fields(q.Answer)))
		}
		for from := 0; from < len(e.Set); from += answerBatch {
			batches = append(batches, batch{i, from, min(from+answerBatch, len(e.Set))})
		}
	}
	parts, err := train.Map(ctx, s.comm, len(batches), func(ctx context.Context, i int) (said []string, err error) {
		b := batches[i]
		ids, err := s.generate(ctx, exams[b.exam], b.from, b.to, longest[b.exam]+3)
		for _, row := range ids {
			said = append(said, s.vocabulary.decode(row))
		}
		return said, err
	})
	if err != nil {
		return nil, err
	}
	all := make([][]string, len(exams))
	for i, b := range batches {
		all[b.exam] = append(all[b.exam], parts[i]...)
	}
	return all, nil
}

// generate answers questions from to to−1 by at most n tokens each.
func (s *Student) generate(ctx context.Context, e *Exam, from, to, n int) (out [][]int32, err error) {
	prompts := make([][]int32, to-from)
	T := 0
	for i := range prompts {
		prompts[i] = s.vocabulary.Prompt(e.Set[from+i].Text, s.places)
		T = max(T, len(prompts[i]))
	}
	var ids, mask []int32
	for _, p := range prompts { // padded at the left, so that all answers begin at once
		ids = append(append(ids, slices.Repeat([]int32{s.vocabulary.Pad}, T-len(p))...), p...)
		mask = append(append(mask, make([]int32, T-len(p))...), slices.Repeat([]int32{1}, len(p))...)
	}
	text, places := Apart(ids)
	caught := tensor.Catch(func() {
		tensor.Scope(func(a *tensor.Arena) {
			x := s.language.Embed(tensor.WrapInts(text, len(prompts), T).In(a)) // [B, T, C]
			C := x.Dim(2)
			x = tensor.ScatterRows(x.Reshape(len(ids), C), tensor.WrapInts(places, len(places)),
				s.see(a, e, from, to)).Reshape(len(prompts), T, C)
			var g llm.Generated
			g, err = llm.Generate(ctx, s.language, llm.Prompts{Embeds: x.Detach().NoGrad(), Mask: mask},
				llm.Options{MaxNewTokens: n, PAD: int(s.vocabulary.Pad)})
			out = g.IDs
		})
	})
	if caught != nil {
		return nil, caught
	}
	return out, err
}

// Take lets the student take exams, and returns its scores and its answers.
func (s *Student) Take(ctx context.Context, exams []*Exam) (scores map[shapes.Family]float64,
	answers map[shapes.Family][]string, err error) {
	scores, answers = map[shapes.Family]float64{}, map[shapes.Family][]string{}
	said, err := s.answers(ctx, exams)
	if err != nil {
		return nil, nil, err
	}
	for i, e := range exams {
		scores[e.Family], answers[e.Family] = eval.Exact(e.Set, said[i]), said[i]
	}
	return scores, answers, nil
}
