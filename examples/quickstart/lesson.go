package main

import (
	"math/rand/v2"
	"slices"
	"sync"

	"github.com/gollava/gollava/data"
	"github.com/gollava/gollava/data/shapes"
	"github.com/gollava/gollava/tensor"
)

// lesson is what all stages learn from.
type lesson struct {
	world      *shapes.World
	pool       *pool
	vocabulary *Vocabulary
	places     int // tokens of a picture
}

// sample is a conversation about a picture, as tokens.
type sample struct {
	picture     int // in the pool
	ids, labels []int32
}

// bucket is how many batches are drawn at once, to be cut into batches of samples alike in length.
const bucket = 8

// samples returns the function that draws batch n of a stage. It depends on n alone.
//
// Looking something up is learnt first, or late: for the first fifth of the steps there are only four kinds of questions, about one or two objects, mostly two; then all
// kinds about as few; and from two fifths on everything. captions are the only samples of stage 1.
func (l *lesson) samples(stage string, c Length, instructions bool) func(n int) []sample {
	var mu sync.Mutex
	drawn := map[int][][]sample{}
	return func(n int) []sample {
		k := n / bucket
		mu.Lock()
		defer mu.Unlock()
		if drawn[k] == nil {
			for old := range drawn {
				if old < k-1 {
					delete(drawn, old)
				}
			}
			drawn[k] = l.draw(l.world.Rand("samples/"+stage, k), float64(k*bucket)/float64(c.Steps), c.Batch, instructions)
		}
		return drawn[k][n%bucket]
	}
}

// draw draws the samples of a bucket of batches at a point of the stage, 0 to 1, sorts them by length, and shuffles the batches.
func (l *lesson) draw(r *rand.Rand, at float64, batch int, instructions bool) [][]sample {
	all := make([]sample, 0, bucket*batch)
	for len(all) < cap(all) {
		s := sample{}
		var turns []turn
		few := instructions && at < 0.2
		objects := l.world.MinObjects + r.IntN(l.world.MaxObjects)
		switch {
		case few && r.Float64() < 0.8:
			objects = 2
		case few || instructions && at < 0.4:
			objects = 1 + r.IntN(2)
		}
		s.picture = l.pool.pick(r, objects)
		scene := l.pool.scenes[s.picture]
		after := r.Float64() < 0.1
		switch x := r.Float64(); {
		case !instructions, !few && x < 0.1:
			after = r.IntN(2) == 0
			turns = l.caption(r, scene)
		case few:
			turns = l.lookUps(r, scene)
		default:
			turns = l.instruction(r, scene)
		}
		if len(turns) == 0 {
			continue
		}
		s.ids, s.labels = l.vocabulary.conversation(turns, l.places, after)
		all = append(all, s)
	}
	slices.SortStableFunc(all, func(a, b sample) int { return len(a.ids) - len(b.ids) })
	batches := slices.Collect(slices.Chunk(all, batch))
	r.Shuffle(len(batches), func(i, j int) { batches[i], batches[j] = batches[j], batches[i] })
	return batches
}

// pad lays samples out as [B, T], at the left.
func (l *lesson) pad(samples []sample) (ids, labels *tensor.Tensor) {
	var rows, learnt [][]int32
	for _, s := range samples {
		rows, learnt = append(rows, s.ids), append(learnt, s.labels)
	}
	b := data.Collate(rows, learnt, data.CollateOptions{Pad: l.vocabulary.Pad})
	return tensor.WrapInts(b.IDs, b.B, b.T), tensor.WrapInts(b.Labels, b.B, b.T)
}

// caption asks for a brief description.
func (l *lesson) caption(r *rand.Rand, s shapes.Scene) []turn { return l.ask(r, s, shapes.Brief) }

// lookUps are questions about single objects.
func (l *lesson) lookUps(r *rand.Rand, s shapes.Scene) []turn {
	return turns(s.Converse(r, shapes.LookUp(), turnsPerPicture))
}

// instruction is a conversation in three of four draws, else a detailed description, or a way to walk and why.
func (l *lesson) instruction(r *rand.Rand, s shapes.Scene) []turn {
	x := r.Float64()
	switch {
	case x < 0.10:
		return l.ask(r, s, shapes.Detail)
	case x < 0.25 && len(s.Objects) > 1:
		return l.ask(r, s, shapes.Walk)
	}
	return turns(s.Converse(r, shapes.Conversation(), turnsPerPicture))
}

// turnsPerPicture is how many questions a conversation has: the picture costs the same for one as for four.
const turnsPerPicture = 4

func (l *lesson) ask(r *rand.Rand, s shapes.Scene, f shapes.Family) []turn {
	q, ok := s.Ask(r, f)
	if !ok {
		return nil
	}
	return turns([]shapes.Question{q})
}

func turns(qs []shapes.Question) []turn {
	var out []turn
	for _, q := range qs {
		out = append(out, turn{q.Text, q.Answer})
	}
	return out
}
