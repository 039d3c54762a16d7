package shapes

import (
	"math/rand/v2"
	"slices"
)

// Counterfactual changes one thing about one object of the scene, its colour, shape, size or place, so that the
// question gets another answer, and returns the changed scene with that answer. It is false where it finds no such
// change: no single object's change alters how many there are, or what a sign says. The changed scene belongs to no
// more splits than the old one, and has no held-out pair that the old one had not.
func (s Scene) Counterfactual(r *rand.Rand, q Question) (Scene, Question, bool) {
	for range 500 {
		changed := s
		changed.Objects = slices.Clone(s.Objects)
		o := &changed.Objects[r.IntN(len(s.Objects))]
		old := *o
		switch r.IntN(4) {
		case 0:
			o.Color = Color(r.IntN(len(colorNames)))
		case 1:
			o.Shape = Shape(r.IntN(len(shapeNames)))
		case 2:
			o.Size = 1 - o.Size
		case 3:
			o.Cell = Cell{r.IntN(s.world.Grid), r.IntN(s.world.Grid)}
		}
		if o.Pair() != old.Pair() && (s.world.held[o.Pair()] || s.has(o.Pair())) ||
			o.Cell != old.Cell && (s.at(o.Cell) != nothing || s.Sign != nil && s.Sign.Row == o.Cell.Row) {
			continue
		}
		changed.sort()
		answer, err := changed.Answer(q.Text)
		if err == nil && answer != q.Answer && s.Split.has(changed.fingerprint()) {
			q.Answer = answer
			return changed, q, true
		}
	}
	return Scene{}, Question{}, false
}
