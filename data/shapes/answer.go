package shapes

import (
	"fmt"
	"slices"
	"strings"
)

// Answer looks up the answer to a question in the words of any family, whoever asks it. It errs if the question is of
// another form, or if the scene has no single answer, as when it asks where a thing is that is not there.
func (s Scene) Answer(question string) (string, error) {
	q := reader{words: strings.Fields(question)}
	answer := s.answer(&q)
	switch {
	case q.failed || len(q.words) > 0:
		return "", fmt.Errorf("shapes: cannot read the question %q", question)
	case answer == "":
		return "", fmt.Errorf("shapes: the scene has no single answer to %q", question)
	}
	return answer, nil
}

// reader takes words off the front of a sentence. Once a word is not what it must be, it has failed.
type reader struct {
	words  []string
	failed bool
}

// next reports whether the next words are these, and takes them if so.
func (q *reader) next(text string) bool {
	want := strings.Fields(text)
	if len(q.words) < len(want) || !slices.Equal(q.words[:len(want)], want) {
		return false
	}
	q.words = q.words[len(want):]
	return true
}

// must takes words that have to be there.
func (q *reader) must(text string) { q.failed = !q.next(text) || q.failed }

// one takes a word of a list and is its index.
func (q *reader) one(names []string) int {
	if len(q.words) > 0 {
		if i := slices.Index(names, q.words[0]); i >= 0 {
			q.words = q.words[1:]
			return i
		}
	}
	q.failed = true
	return 0
}

func (q *reader) color() Color { return Color(q.one(colorNames)) }
func (q *reader) shape() Shape { return Shape(q.one(shapeNames)) }

func (q *reader) pair() Pair {
	c := q.color()
	return Pair{c, q.shape()}
}

// cell takes the name of a place.
func (q *reader) cell(w *World) Cell {
	row := q.one(rowNames[w.Grid])
	return Cell{row, q.one(colNames[w.Grid])}
}

// only is the one object for which ok holds, if there is exactly one.
func (s Scene) only(ok func(Object) bool) *Object {
	var found *Object
	for i := range s.Objects {
		if ok(s.Objects[i]) {
			if found != nil {
				return nil
			}
			found = &s.Objects[i]
		}
	}
	return found
}

func (s Scene) find(p Pair) *Object { return s.only(func(o Object) bool { return o.Pair() == p }) }

// answer reads a question and looks at the scene. An empty answer means that there is none.
func (s Scene) answer(q *reader) string {
	switch {
	case q.next("is there"):
		if !q.next("a") {
			q.must("an")
		}
		p := q.pair()
		q.must("?")
		return yesOrNo(s.find(p) != nil)
	case q.next("is the"):
		return s.answerIs(q)
	case q.next("what color is the"):
		shape := q.shape()
		q.must("?")
		if o := s.only(func(o Object) bool { return o.Shape == shape }); o != nil {
			return o.Color.String()
		}
	case q.next("what shape is the"):
		c := q.color()
		q.must("object ?")
		if o := s.only(func(o Object) bool { return o.Color == c }); o != nil {
			return o.Shape.String()
		}
	case q.next("what is at the"):
		c := q.cell(s.world)
		q.must("?")
		if s.Sign == nil || s.Sign.Row != c.Row {
			return s.at(c)
		}
	case q.next("where is the"):
		p := q.pair()
		q.must("?")
		if o := s.find(p); o != nil {
			return s.world.Place(o.Cell)
		}
	case q.next("how many"):
		return s.answerCount(q)
	case q.next("how would i walk from the"):
		from := q.pair()
		q.must("to the")
		to := q.pair()
		q.must("?")
		if a, b := s.find(from), s.find(to); a != nil && b != nil && a != b {
			return s.way(*a, *b)
		}
	case q.next(widgetQuestion):
		return s.widget()
	case q.isOneOf(readPrompts):
		if s.Sign != nil {
			return spelled(s.Sign.Text)
		}
	case q.isOneOf(briefPrompts):
		return s.Caption()
	case q.isOneOf(detailPrompts):
		return s.Detail()
	default:
		q.failed = true
	}
	return ""
}

func (q *reader) isOneOf(texts []string) bool { return slices.ContainsFunc(texts, q.next) }

// answerIs answers what begins with "is the".
func (s Scene) answerIs(q *reader) string {
	a := s.find(q.pair())
	if q.next("small or large ?") {
		if a == nil {
			return ""
		}
		return a.Size.String()
	}
	left := q.next("left of the")
	if !left {
		q.must("above the")
	}
	b := s.find(q.pair())
	q.must("?")
	switch {
	case a == nil || b == nil:
		return ""
	case left:
		return yesOrNo(a.Cell.Col < b.Cell.Col)
	default:
		return yesOrNo(a.Cell.Row < b.Cell.Row)
	}
}

// answerCount answers what begins with "how many".
func (s Scene) answerCount(q *reader) string {
	n := len(s.Objects)
	if !q.next("shapes are there ?") {
		c := q.color()
		q.must("shapes are there ?")
		n = 0
		for _, o := range s.Objects {
			if o.Color == c {
				n++
			}
		}
	}
	return numberNames[n]
}
