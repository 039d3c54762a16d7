package shapes

import (
	"fmt"
	"math/rand/v2"
	"slices"
	"strings"

	"github.com/gollava/gollava/internal/misuse"
)

// Family is a kind of question.
type Family string

// The families. Those of existence are POPE's (Li et al. 2023): a pair that is not there is drawn from all pairs, from
// those whose colour and shape training shows most often, or from those whose colour and shape are both there, on
// different objects.
const (
	PopeRandom      Family = "pope_random"      // is there a red circle ?
	PopePopular     Family = "pope_popular"     // the same
	PopeAdversarial Family = "pope_adversarial" // the same
	ColorOf         Family = "color"            // what color is the circle ?
	ShapeOf         Family = "shape"            // what shape is the red object ?
	Where           Family = "where"            // where is the red circle ?
	CountAll        Family = "count_all"        // how many shapes are there ?
	CountColor      Family = "count_color"      // how many red shapes are there ? From zero to two
	LeftOf          Family = "left"             // is the red circle left of the blue square ?
	Above           Family = "above"            // is the red circle above the blue square ?
	SizeOf          Family = "size"             // is the red circle small or large ?
	WhatIsAt        Family = "at"               // what is at the top left ?
	ReadWord        Family = "word"             // what does the sign say ?
	ReadNumber      Family = "number"           // the same
	Walk            Family = "walk"             // how would i walk from the red circle to the blue square ?
	Brief           Family = "brief"            // describe the image concisely .
	Detail          Family = "detail"           // describe the following image in detail .
)

// Families for training only, which [Scene.Ask] draws and [World.Ask] does not.
const (
	Exist Family = "exist" // an existence question, of the adversarial kind, half adversarial or random in 2 : 1 : 1
	Read  Family = "read"  // ReadWord or ReadNumber
)

// Question is a question about a scene with its answer.
type Question struct {
	Family Family
	Text   string
	Answer string
}

// wish narrows what [Scene.ask] may choose. Zero values leave it free.
type wish struct {
	answer string
	pair   *Pair  // what an existence question names, or the object that ColorOf and ShapeOf are about
	color  *Color // of CountColor
	held   bool   // only about objects with a held-out pair
}

// Ask draws a question of a family about the scene. It is false where the scene cannot carry one: a relation needs two
// objects, a reading question a sign. Questions name no held-out pair that the scene does not have.
func (s Scene) Ask(r *rand.Rand, f Family) (Question, bool) {
	return s.ask(r, f, wish{})
}

func (s Scene) ask(r *rand.Rand, f Family, want wish) (q Question, ok bool) {
	q.Family = f
	switch f {
	case Exist, PopeRandom, PopePopular, PopeAdversarial:
		return s.askExistence(r, f, want)
	case LeftOf, Above, Walk:
		return s.askRelation(r, f, want)
	case CountAll:
		q.Text, q.Answer = "how many shapes are there ?", numberNames[len(s.Objects)]
	case CountColor:
		q.Text, q.Answer = s.askCount(r, want)
	case Brief:
		q.Text, q.Answer = briefPrompts[r.IntN(len(briefPrompts))], s.Caption()
	case Detail:
		q.Text, q.Answer = detailPrompts[r.IntN(len(detailPrompts))], s.Detail()
	case Read, ReadWord, ReadNumber:
		if s.Sign == nil || f == ReadWord && s.Sign.isNumber() || f == ReadNumber && !s.Sign.isNumber() {
			return q, false
		}
		q.Text, q.Answer = readPrompts[r.IntN(len(readPrompts))], spelled(s.Sign.Text)
	case Widget:
		if q.Answer = s.widget(); q.Answer != "" {
			q.Text = widgetQuestion
		}
	case WhatIsAt:
		cell, there := s.askPlace(r, want)
		if !there {
			return q, false
		}
		q.Text, q.Answer = "what is at the "+s.world.Place(cell)+" ?", s.at(cell)
	case ColorOf, ShapeOf, Where, SizeOf:
		o, there := s.pick(r, func(o Object) bool { return s.fits(o, f, want) })
		if !there {
			return q, false
		}
		q.Text, q.Answer = s.about(o, f)
	default:
		panic(misuse.Errorf("shapes", "no questions of family %q", f))
	}
	return q, q.Text != "" && (want.answer == "" || want.answer == q.Answer)
}

// about is the question of a family about one object.
func (s Scene) about(o Object, f Family) (text, answer string) {
	switch f {
	case ColorOf:
		return fmt.Sprintf("what color is the %s ?", o.Shape), o.Color.String()
	case ShapeOf:
		return fmt.Sprintf("what shape is the %s object ?", o.Color), o.Shape.String()
	case Where:
		return fmt.Sprintf("where is the %s ?", o.Pair()), s.world.Place(o.Cell)
	default:
		return fmt.Sprintf("is the %s small or large ?", o.Pair()), o.Size.String()
	}
}

// fits reports whether the question about an object has one answer, the wanted one.
func (s Scene) fits(o Object, f Family, want wish) bool {
	alike := 0
	for _, other := range s.Objects {
		if f == ColorOf && other.Shape == o.Shape || f == ShapeOf && other.Color == o.Color {
			alike++
		}
	}
	if alike > 1 {
		return false
	}
	if want.answer != "" {
		if _, answer := s.about(o, f); answer != want.answer {
			return false
		}
	}
	return (want.pair == nil || o.Pair() == *want.pair) &&
		(!want.held || s.world.held[o.Pair()])
}

// pick draws one of the objects for which ok holds.
func (s Scene) pick(r *rand.Rand, ok func(Object) bool) (Object, bool) {
	var all []Object
	for _, o := range s.Objects {
		if ok(o) {
			all = append(all, o)
		}
	}
	if len(all) == 0 {
		return Object{}, false
	}
	return all[r.IntN(len(all))], true
}

// askExistence asks for a pair. Without a wish, half of the answers are yes.
func (s Scene) askExistence(r *rand.Rand, f Family, want wish) (Question, bool) {
	q := Question{Family: f, Answer: want.answer}
	if q.Answer == "" {
		q.Answer = []string{"no", "yes"}[r.IntN(2)]
	}
	kind := f
	if f == Exist {
		kind = []Family{PopeAdversarial, PopeAdversarial, halfAdversarial, PopeRandom}[r.IntN(4)]
	}
	if want.pair != nil && s.has(*want.pair) != (q.Answer == "yes") || f == PopeAdversarial && len(s.Objects) < 2 {
		return q, false // about one object there would be yes only
	}
	candidates := s.candidates(q.Answer, kind, want)
	if len(candidates) == 0 && f == Exist { // or there would be more yes than no
		candidates = s.candidates(q.Answer, PopeRandom, want)
	}
	if len(candidates) == 0 {
		return q, false
	}
	q.Text = fmt.Sprintf("is there %s ?", withArticle(candidates[r.IntN(len(candidates))].String()))
	return q, true
}

// candidates are the pairs that an existence question may name to get the answer.
func (s Scene) candidates(answer string, kind Family, want wish) []Pair {
	var all []Pair
	for _, p := range allPairs {
		there := s.has(p)
		if there == (answer == "yes") && (want.pair == nil || p == *want.pair) && (!want.held || s.world.held[p]) &&
			(there || s.tempting(p, kind)) && (want.pair != nil || there || !s.world.held[p]) {
			all = append(all, p)
		}
	}
	return all
}

const halfAdversarial Family = "pope_half" // either the colour or the shape is there

// tempting reports whether a pair that is not there belongs to a kind of existence question.
func (s Scene) tempting(p Pair, kind Family) bool {
	color := slices.ContainsFunc(s.Objects, func(o Object) bool { return o.Color == p.Color })
	shape := slices.ContainsFunc(s.Objects, func(o Object) bool { return o.Shape == p.Shape })
	switch kind {
	case PopeAdversarial:
		return color && shape
	case halfAdversarial:
		return color != shape
	case PopePopular:
		return slices.Contains(s.world.popular, p)
	default:
		return true
	}
}

// askRelation asks about two objects.
func (s Scene) askRelation(r *rand.Rand, f Family, want wish) (Question, bool) {
	var all [][2]Object
	for _, a := range s.Objects {
		for _, b := range s.Objects {
			told := a.Cell != b.Cell
			var answer string
			switch f {
			case LeftOf:
				told, answer = a.Cell.Col != b.Cell.Col, yesOrNo(a.Cell.Col < b.Cell.Col)
			case Above:
				told, answer = a.Cell.Row != b.Cell.Row, yesOrNo(a.Cell.Row < b.Cell.Row)
			case Walk:
				answer = direction(a.Cell, b.Cell)
			}
			if told && (want.answer == "" || want.answer == answer) &&
				(!want.held || s.world.held[a.Pair()] || s.world.held[b.Pair()]) {
				all = append(all, [2]Object{a, b})
			}
		}
	}
	if len(all) == 0 {
		return Question{}, false
	}
	q, pair := Question{Family: f}, all[r.IntN(len(all))]
	a, b := pair[0], pair[1]
	switch f {
	case LeftOf:
		q.Text = fmt.Sprintf("is the %s left of the %s ?", a.Pair(), b.Pair())
		q.Answer = yesOrNo(a.Cell.Col < b.Cell.Col)
	case Above:
		q.Text = fmt.Sprintf("is the %s above the %s ?", a.Pair(), b.Pair())
		q.Answer = yesOrNo(a.Cell.Row < b.Cell.Row)
	case Walk:
		q.Text = fmt.Sprintf("how would i walk from the %s to the %s ?", a.Pair(), b.Pair())
		q.Answer = s.way(a, b)
	}
	return q, true
}

// way answers how to walk from one object to another: where each is, then the direction that follows from it.
func (s Scene) way(a, b Object) string {
	return fmt.Sprintf("the %s is at the %s and the %s is at the %s so go %s .",
		a.Pair(), s.world.Place(a.Cell), b.Pair(), s.world.Place(b.Cell), direction(a.Cell, b.Cell))
}

func yesOrNo(yes bool) string {
	if yes {
		return "yes"
	}
	return "no"
}

// direction is the way from one cell to another, such as "down and left".
func direction(from, to Cell) string {
	var way []string
	switch {
	case to.Row > from.Row:
		way = append(way, "down")
	case to.Row < from.Row:
		way = append(way, "up")
	}
	switch {
	case to.Col > from.Col:
		way = append(way, "right")
	case to.Col < from.Col:
		way = append(way, "left")
	}
	return strings.Join(way, " and ")
}

// askCount asks for the number of objects of a colour, at most two. Without a wish the number is drawn first, two more
// often than the others because fewer scenes have it.
func (s Scene) askCount(r *rand.Rand, want wish) (text, answer string) {
	var count [6]int
	for _, o := range s.Objects {
		count[o.Color]++
	}
	c := Red
	if want.color != nil {
		c = *want.color
	} else {
		n := 2
		if x := r.Float64(); x < 0.22 {
			n = 0
		} else if x < 0.46 {
			n = 1
		}
		var all []Color
		for _, c := range s.world.colors {
			if count[c] == n {
				all = append(all, c)
			}
		}
		if len(all) == 0 {
			return "", ""
		}
		c = all[r.IntN(len(all))]
	}
	if count[c] > maxCount {
		return "", ""
	}
	return fmt.Sprintf("how many %s shapes are there ?", c), numberNames[count[c]]
}

// maxCount is the largest answer of CountColor.
const maxCount = 2

// askPlace chooses a cell, an empty one in 30 % of draws, and none that the sign covers.
func (s Scene) askPlace(r *rand.Rand, want wish) (Cell, bool) {
	empty := want.answer == nothing || want.answer == "" && r.Float64() < 0.3
	if !empty {
		o, ok := s.pick(r, func(o Object) bool {
			return (want.answer == "" || want.answer == o.Pair().String()) && (!want.held || s.world.held[o.Pair()])
		})
		return o.Cell, ok
	}
	cell := Cell{r.IntN(s.world.Grid), r.IntN(s.world.Grid)}
	return cell, s.at(cell) == nothing && (s.Sign == nil || s.Sign.Row != cell.Row)
}

const nothing = "nothing"

// at is what a cell holds, in words.
func (s Scene) at(c Cell) string {
	for _, o := range s.Objects {
		if o.Cell == c {
			return o.Pair().String()
		}
	}
	return nothing
}

// isNumber reports whether the sign shows digits.
func (s Sign) isNumber() bool { return s.Text[0] <= '9' }
