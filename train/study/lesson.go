package study

import (
	"math/rand/v2"
	"slices"
	"strings"
	"sync"

	"github.com/gollava/gollava/data/shapes"
	"github.com/gollava/gollava/tensor"
)

// Lesson is what all stages learn from. It is safe for concurrent use.
type Lesson struct {
	World      *shapes.World
	Pool       *Pool
	Vocabulary *Vocabulary
	Places     int     // tokens of a picture
	first      float64 // share of the text stage that the first lessons take
}

// Sample is a conversation about a picture, as tokens.
type Sample struct {
	Picture     int // in the pool
	IDs, Labels []int32
}

// Bucket is how many batches are drawn at once, to be cut into batches of samples alike in length.
const Bucket = 8

// Course says what is taught when; at is how far the stage is, from 0 to 1. It draws how many objects the next picture
// has and what is said about it.
type Course func(l *Lesson, r *rand.Rand, at float64) (objects int, talk func(shapes.Scene) []shapes.Question)

// Captions is stage 1's: brief descriptions of pictures with any number of objects.
func Captions(l *Lesson, r *rand.Rand, _ float64) (int, func(shapes.Scene) []shapes.Question) {
	return l.anyNumber(r), func(s shapes.Scene) []shapes.Question { return l.caption(r, s) }
}

// Instructions is stage 2's: conversations, descriptions and reasoning, for the first fifth about one or two objects
// only.
func Instructions(l *Lesson, r *rand.Rand, at float64) (int, func(shapes.Scene) []shapes.Question) {
	objects := l.anyNumber(r)
	if at < 0.2 {
		objects = 1 + r.IntN(2)
	}
	return objects, func(s shapes.Scene) []shapes.Question {
		if r.Float64() < 0.1 {
			return l.caption(r, s)
		}
		return l.instruction(r, s)
	}
}

// firstLessons are the kinds of questions in the order in which the text stage takes them up, after which share of the
// first lessons, and how often they are asked then.
var firstLessons = []struct {
	from float64
	shapes.Share
}{{0, shapes.Share{Family: shapes.ColorOf, Weight: 1}}, {0.27, shapes.Share{Family: shapes.ShapeOf, Weight: 1}},
	{0.37, shapes.Share{Family: shapes.Where, Weight: 2}},
	{0.53, shapes.Share{Family: shapes.Exist, Weight: 2}}, {0.7, shapes.Share{Family: shapes.LeftOf, Weight: 2}},
	{0.7, shapes.Share{Family: shapes.Above, Weight: 2}},
	{reading, shapes.Share{Family: shapes.Read, Weight: 2}}}

// reading is when signs are first asked about. Conversations ask about any sign that there is, so before that the
// question is taken out.
const reading = 0.85

// beginner is the text stage's. To look something up is the hard part, and one kind of question teaches it in a tenth
// of the time that ten kinds at once take: so for a while there are scenes of two objects, mostly, and at first only
// the question for a colour; one kind after another joins it. Then all kinds about as few objects, and at last
// everything.
func beginner(l *Lesson, r *rand.Rand, at float64) (int, func(shapes.Scene) []shapes.Question) {
	first := l.first
	if at >= first {
		objects, talk := Instructions(l, r, 1)
		if at < first+0.15 {
			objects = 1 + r.IntN(2)
		}
		return objects, func(s shapes.Scene) []shapes.Question { return l.strangers(r, s, talk(s)) }
	}
	objects := 2
	if r.Float64() < 0.2 {
		objects = 1
	}
	return objects, func(s shapes.Scene) []shapes.Question {
		var known shapes.Mix
		for _, f := range firstLessons {
			if at >= f.from*first {
				known = append(known, f.Share)
			}
		}
		qs := s.Converse(r, known, turnsPerPicture)
		if at < reading*first {
			qs = slices.DeleteFunc(qs, func(q shapes.Question) bool { return q.Family == shapes.Read })
		}
		return l.strangers(r, s, qs)
	}
}

// strangers lets some questions whose answer is no ask for a pair that pictures never show. The scenes of the text
// stage have such pairs; were they named only where they are, the language model would learn to say yes to them.
func (l *Lesson) strangers(r *rand.Rand, s shapes.Scene, said []shapes.Question) []shapes.Question {
	for i, t := range said {
		if t.Answer != "no" || !strings.HasPrefix(t.Text, "is there a") || r.Float64() > strangerShare {
			continue
		}
		p := l.World.HeldOut[r.IntN(len(l.World.HeldOut))]
		if !slices.ContainsFunc(s.Objects, func(o shapes.Object) bool { return o.Pair() == p }) {
			said[i].Text = "is there a " + p.String() + " ?" // none begins with a vowel
		}
	}
	return said
}

// strangerShare is about the share of pairs that pictures never show among those that are asked for and are there.
const strangerShare = 0.14

func (l *Lesson) anyNumber(r *rand.Rand) int { return l.World.MinObjects + r.IntN(l.World.MaxObjects) }

// Samples returns the function that draws batch n of a stage. It depends on n alone.
func (l *Lesson) Samples(stage string, c Length, teach Course) func(n int) []Sample {
	var mu sync.Mutex
	drawn := map[int][][]Sample{}
	return func(n int) []Sample {
		k := n / Bucket
		mu.Lock()
		defer mu.Unlock()
		if drawn[k] == nil {
			for old := range drawn {
				if old < k-1 {
					delete(drawn, old)
				}
			}
			at := float64(k*Bucket) / float64(c.MicroBatches())
			drawn[k] = l.draw(l.World.Rand("samples/"+stage, k), at, c.Batch, teach)
		}
		return drawn[k][n%Bucket]
	}
}

// draw draws the samples of a bucket of batches, sorts them by length, and shuffles the batches.
func (l *Lesson) draw(r *rand.Rand, at float64, batch int, teach Course) [][]Sample {
	all := make([]Sample, 0, Bucket*batch)
	for len(all) < cap(all) {
		objects, talk := teach(l, r, at)
		s := Sample{Picture: l.Pool.Pick(r, objects)}
		said := talk(l.Pool.Scenes[s.Picture])
		if len(said) == 0 {
			continue
		}
		after := r.Float64() < 0.1
		// as in LLaVA's captions, where the prompt's place is drawn
		if slices.Contains(shapes.BriefPrompts(), said[0].Text) {
			after = r.IntN(2) == 0
		}
		s.IDs, s.Labels = l.Vocabulary.conversation(said, l.Places, after)
		all = append(all, s)
	}
	slices.SortStableFunc(all, func(a, b Sample) int { return len(a.IDs) - len(b.IDs) })
	batches := slices.Collect(slices.Chunk(all, batch))
	r.Shuffle(len(batches), func(i, j int) { batches[i], batches[j] = batches[j], batches[i] })
	return batches
}

// Pad lays samples out as [B, T], padded at the right.
func (l *Lesson) Pad(samples []Sample) (ids, labels *tensor.Tensor) {
	B, T := len(samples), 0
	for _, s := range samples {
		T = max(T, len(s.IDs))
	}
	x, y := slices.Repeat([]int32{l.Vocabulary.Pad}, B*T), slices.Repeat([]int32{tensor.IgnoreIndex}, B*T)
	for i, s := range samples {
		copy(x[i*T:], s.IDs)
		copy(y[i*T:], s.Labels)
	}
	return tensor.WrapInts(x, B, T), tensor.WrapInts(y, B, T)
}

// caption asks for a brief description.
func (l *Lesson) caption(r *rand.Rand, s shapes.Scene) []shapes.Question {
	return l.ask(r, s, shapes.Brief)
}

// instruction is a conversation in three of four draws, else a detailed description, or a way to walk and why.
func (l *Lesson) instruction(r *rand.Rand, s shapes.Scene) []shapes.Question {
	x := r.Float64()
	switch {
	case x < 0.10:
		return l.ask(r, s, shapes.Detail)
	case x < 0.25 && len(s.Objects) > 1:
		return l.ask(r, s, shapes.Walk)
	}
	return s.Converse(r, conversation, turnsPerPicture)
}

// conversation asks more often than shapes.Conversation for what is learnt last: columns, in whichever form, and signs
// (this is besides what Converse asks about them; three of ten pictures have one).
var conversation = shapes.Mix{{Family: shapes.Exist, Weight: .18}, {Family: shapes.ColorOf, Weight: .08},
	{Family: shapes.ShapeOf, Weight: .08}, {Family: shapes.Where, Weight: .24},
	{Family: shapes.CountAll, Weight: .04}, {Family: shapes.CountColor, Weight: .09},
	{Family: shapes.LeftOf, Weight: .12}, {Family: shapes.Above, Weight: .06},
	{Family: shapes.SizeOf, Weight: .04}, {Family: shapes.WhatIsAt, Weight: .07}, {Family: shapes.Read, Weight: .1}}

// turnsPerPicture is how many questions a conversation has: the picture costs the same for one as for four.
const turnsPerPicture = 4

func (l *Lesson) ask(r *rand.Rand, s shapes.Scene, f shapes.Family) []shapes.Question {
	q, ok := s.Ask(r, f)
	if !ok {
		return nil
	}
	return []shapes.Question{q}
}
