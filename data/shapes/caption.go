package shapes

import (
	"fmt"
	"math/rand/v2"
	"slices"
	"strings"
)

// mention is what a caption says about one object.
type mention struct {
	Object
	size, place bool // whether they are said
}

// phrase is a mention in words: "a small red circle at the top left".
func (w *World) phrase(m mention) string {
	text := m.Pair().String()
	if m.size {
		text = m.Size.String() + " " + text
	}
	text = withArticle(text)
	if m.place {
		text += " at the " + w.Place(m.Cell)
	}
	return text
}

// caption joins mentions, and names the scene's sign.
func (s Scene) caption(mentions []mention) string {
	var parts []string
	for _, m := range mentions {
		parts = append(parts, s.world.phrase(m))
	}
	if s.Sign != nil {
		parts = append(parts, "a sign that says "+spelled(s.Sign.Text))
	}
	return strings.Join(parts, " and ") + " ."
}

// mentions mentions all objects in reading order.
func (s Scene) mentions(size, place bool) []mention {
	all := make([]mention, len(s.Objects))
	for i, o := range s.Objects {
		all[i] = mention{o, size, place}
	}
	return all
}

// Caption names every object with its size, colour, shape and place, in reading order, and the sign.
func (s Scene) Caption() string { return s.caption(s.mentions(true, true)) }

// Contrast draws a caption for contrastive training, and a hard negative: the same caption, wrong in exactly one thing.
// The caption names all objects, or one of them in 30 % of draws; it says sizes in 50 % and places in 75 %. The
// negative has the colours, shapes or places of two objects exchanged, or one attribute changed; it names no held-out
// pair that the scene has not, and is empty where none was found.
func (s Scene) Contrast(r *rand.Rand) (right, wrong string) {
	one, size, place := r.Float64() < 0.3, r.Float64() < 0.5, r.Float64() < 0.75
	said := s.mentions(size, place)
	if one {
		i := r.IntN(len(said))
		said = said[i : i+1]
	}
	right = s.caption(said)
	for range 20 {
		changed := s.corrupt(r, said)
		if s.shows(changed) || s.strange(changed) {
			continue
		}
		if place { // reading order must not tell
			slices.SortFunc(changed, func(a, b mention) int { return inReadingOrder(a.Object, b.Object) })
		}
		return right, s.caption(changed)
	}
	return right, ""
}

// corrupt changes one thing of a caption, or exchanges it between two objects.
func (s Scene) corrupt(r *rand.Rand, said []mention) []mention {
	said = slices.Clone(said)
	size, place := said[0].size, said[0].place
	if len(said) > 1 && r.Float64() < 0.6 {
		shuffled := r.Perm(len(said))
		a, b := &said[shuffled[0]], &said[shuffled[1]]
		choices := 3
		if place {
			choices++
		}
		switch r.IntN(choices) {
		case 0, 1:
			a.Color, b.Color = b.Color, a.Color
		case 2:
			a.Shape, b.Shape = b.Shape, a.Shape
		default:
			a.Cell, b.Cell = b.Cell, a.Cell
		}
		return said
	}
	what := []int{0, 1, 1}
	if size {
		what = append(what, 2)
	}
	if place {
		what = append(what, 3)
	}
	m := &said[r.IntN(len(said))]
	switch what[r.IntN(len(what))] {
	case 0:
		m.Color = Color(r.IntN(len(colorNames)))
	case 1:
		m.Shape = Shape(r.IntN(len(shapeNames)))
	case 2:
		m.Size = 1 - m.Size
	case 3:
		m.Cell = Cell{r.IntN(s.world.Grid), r.IntN(s.world.Grid)}
	}
	return said
}

// shows reports whether all that is said is true of the scene.
func (s Scene) shows(said []mention) bool {
	for _, m := range said {
		if !slices.ContainsFunc(s.Objects, func(o Object) bool {
			return o.Pair() == m.Pair() && (!m.size || o.Size == m.Size) && (!m.place || o.Cell == m.Cell)
		}) {
			return false
		}
	}
	return true
}

// strange reports whether a held-out pair is named that the scene does not have.
func (s Scene) strange(said []mention) bool {
	return slices.ContainsFunc(said, func(m mention) bool { return s.world.held[m.Pair()] && !s.has(m.Pair()) })
}

// has reports whether the scene has an object of this pair.
func (s Scene) has(p Pair) bool {
	return slices.ContainsFunc(s.Objects, func(o Object) bool { return o.Pair() == p })
}

// Detail describes the scene in whole sentences: how many objects there are, then each one's size and place, then the
// sign.
func (s Scene) Detail() string {
	var b strings.Builder
	if n := len(s.Objects); n == 1 {
		b.WriteString("there is one shape .")
	} else {
		fmt.Fprintf(&b, "there are %s shapes .", numberNames[n])
	}
	for _, o := range s.Objects {
		fmt.Fprintf(&b, " the %s is %s and it is at the %s .", o.Pair(), o.Size, s.world.Place(o.Cell))
	}
	if s.Sign != nil {
		fmt.Fprintf(&b, " the sign says %s .", spelled(s.Sign.Text))
	}
	return b.String()
}

// InWords tells the scene in words that can stand where the picture stands, for language-model training and as a test
// of what a model could answer if it saw perfectly. The objects come in random order, in one of two forms.
func (s Scene) InWords(r *rand.Rand) string {
	said := s.mentions(true, true)
	shuffle(r, said)
	var parts []string
	sentences := r.IntN(2) == 0
	for _, m := range said {
		if sentences {
			parts = append(parts, "there is "+s.world.phrase(m)+" .")
		} else {
			parts = append(parts, fmt.Sprintf("%s : %s %s ;", s.world.Place(m.Cell), m.Size, m.Pair()))
		}
	}
	if s.Sign != nil {
		sign := "sign : " + spelled(s.Sign.Text) + " ;"
		if sentences {
			sign = "there is a sign that says " + spelled(s.Sign.Text) + " ."
		}
		parts = slices.Insert(parts, len(parts)*r.IntN(2), sign)
	}
	return strings.Join(parts, " ")
}
