package shapes

import (
	"fmt"
	"math/rand/v2"
	"slices"

	"github.com/gollava/gollava/internal/misuse"
)

// Families are the families of questions with one short answer that can be asked about a split, in the order in which
// tables show them. What they are depends on the world: one without signs has nothing to read, one with a single object
// no relations.
func (w *World) Families(split Split) []Family {
	_, hi := w.objects(split)
	var all []Family
	for _, f := range []Family{PopeRandom, PopePopular, PopeAdversarial, ColorOf, ShapeOf, Where, CountAll, CountColor,
		LeftOf, Above, SizeOf, WhatIsAt, ReadWord, ReadNumber, Walk} {
		switch f {
		case PopePopular, CountAll, CountColor:
			if split == Comp {
				continue
			}
		case PopeAdversarial, LeftOf, Above, Walk:
			if hi < 2 {
				continue
			}
		case ReadWord:
			if w.Signs == 0 || split == Comp {
				continue
			}
		case ReadNumber:
			if w.Signs == 0 || split == Comp || split == NewWord {
				continue
			}
		}
		if w.has(split) {
			all = append(all, f)
		}
	}
	return all
}

// Answers are the answers that [World.Ask] draws from, each equally often ([ColorOf] and [ShapeOf] about each pair
// equally often): for [Walk] the eight directions, which end the answer. It is nil where there is no list: for captions
// and descriptions.
func (w *World) Answers(split Split, f Family) []string {
	pairs := w.seen
	if split == Comp {
		pairs = w.HeldOut
	}
	lo, hi := w.objects(split)
	switch f {
	case PopeRandom, PopePopular, PopeAdversarial, LeftOf, Above:
		return []string{"yes", "no"}
	case ColorOf:
		return distinct(pairs, func(p Pair) string { return p.Color.String() })
	case ShapeOf:
		return distinct(pairs, func(p Pair) string { return p.Shape.String() })
	case Where:
		return w.Places()
	case CountAll:
		return slices.Clone(numberNames[lo : hi+1])
	case CountColor:
		return slices.Clone(numberNames[:min(hi, maxCount)+1])
	case SizeOf:
		return slices.Clone(sizeNames)
	case WhatIsAt:
		all := distinct(pairs, Pair.String)
		if lo < w.room(split) {
			all = append(all, nothing)
		}
		return all
	case ReadWord:
		return distinct(w.signs(split), spelled)
	case ReadNumber:
		var all []string
		for n := 10; n < 100; n++ {
			all = append(all, spelled(fmt.Sprint(n)))
		}
		return all
	case Widget:
		return distinct(widgetNames, spelled)
	case Walk:
		return []string{"up", "down", "left", "right", "up and left", "up and right", "down and left", "down and right"}
	default:
		return nil
	}
}

// room is the number of cells that objects may have in every scene of a split, or if some have no sign, in those.
func (w *World) room(split Split) int {
	if split == NewWord {
		return w.Grid * (w.Grid - 1)
	}
	return w.Grid * w.Grid
}

// signs are the words that signs say in a split.
func (w *World) signs(split Split) []string {
	if split == NewWord {
		return newWords
	}
	return words
}

// distinct lists the different names of things, in order.
func distinct[T any](things []T, name func(T) string) []string {
	var all []string
	for _, x := range things {
		if n := name(x); !slices.Contains(all, n) {
			all = append(all, n)
		}
	}
	return all
}

// Ask is question number index of a family about a split, with its scene. The answer is drawn first, all answers
// equally often, then a scene and a question that have it, so that who does not see the picture gains nothing from how
// often things are there. In split [Comp] questions about an object are about the held-out one, and existence questions
// name held-out pairs whether they are there or not (an adversarial one that is answered no, about two objects, is the
// one case in which none of them carries a held-out pair). The scene's index is the question's: [World.Scene] does not
// draw it again. Ask panics if [World.Families] has not the family, except for [Widget], and for [Brief] and [Detail],
// about which nothing is drawn first.
func (w *World) Ask(split Split, f Family, index int) (Scene, Question) {
	free := f == Brief || f == Detail
	known := slices.Contains(w.Families(split), f) || w.has(split) &&
		(free || f == Widget && split != Comp && split != Count5 && split != NewWord)
	if index < 0 || !split.known() || !known {
		panic(misuse.Errorf("shapes", "no question %d of family %q about split %q", index, f, split))
	}
	r := w.Rand("ask/"+string(split)+"/"+string(f), index)
	for range 1000 {
		want, o := wish{}, Options{}
		switch {
		case f == Widget:
			want, o = w.widgetWish(r, index)
		case !free:
			want, o = w.wish(r, split, f, index)
		}
		from := split
		if split == Comp && f == PopeAdversarial && want.answer == "no" && o.MaxObjects < 3 {
			from = Test // a held-out object, and the colour and the shape of another held-out pair, need three
		}
		for range 1000 {
			s := w.draw(r, from, o)
			if q, ok := s.ask(r, f, want); ok {
				s.Split, s.Index = split, index
				return s, q
			}
		}
	}
	panic(misuse.Errorf("shapes", "found no scene for question %d of family %q about split %q", index, f, split))
}

// wish draws what question number index is to be like: its answer in turn, what it names, how many objects there are.
func (w *World) wish(r *rand.Rand, split Split, f Family, index int) (wish, Options) {
	answers := w.Answers(split, f)
	want := wish{answer: answers[index%len(answers)], held: split == Comp}
	lo, hi := w.objects(split)
	pairs, o := w.seen, Options{}
	if split == Comp {
		pairs = w.HeldOut
	}
	switch f {
	case PopePopular:
		pairs = w.popular
		want.pair = &pairs[r.IntN(len(pairs))]
	case PopeRandom:
		want.pair = &pairs[r.IntN(len(pairs))]
	case PopeAdversarial:
		want.pair = &pairs[r.IntN(len(pairs))]
		lo = max(lo, 2)
	case ColorOf, ShapeOf: // all pairs equally often
		want.answer, want.pair = "", &pairs[index%len(pairs)]
	case CountAll:
		lo += index % len(answers)
		hi = lo
	case CountColor:
		want.color = &w.colors[r.IntN(len(w.colors))]
		lo = max(lo, index%len(answers))
	case LeftOf, Above, Walk:
		lo = max(lo, 2)
	case WhatIsAt:
		if want.answer == nothing {
			want.held = false
			hi = min(hi, w.room(split)-1)
		} else {
			o.pair = &pairs[index%len(answers)]
		}
	case ReadWord:
		o.Sign, o.text = WordSign, w.signs(split)[index%len(answers)]
	case ReadNumber:
		o.Sign, o.text = NumberSign, fmt.Sprint(10+index%len(answers))
	}
	if want.pair != nil && want.answer != "no" {
		o.pair = want.pair
	}
	o.MinObjects = lo + r.IntN(hi-lo+1)
	o.MaxObjects = o.MinObjects
	return want, o
}
