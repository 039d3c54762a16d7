package eval

import (
	"slices"
	"strings"

	"github.com/gollava/gollava/data/shapes"
)

// ReasoningScore judges answers to [shapes.Walk], or other texts that state facts.
type ReasoningScore struct {
	Faithful  float64 // true facts of all that were stated
	Facts     float64 // facts stated per answer
	Direction float64 // share of answers that end in the right direction
	Exact     float64 // share of answers that are right word for word
}

// Reasoning scores answers by the facts that they state.
func Reasoning(set Set, answers []string) ReasoningScore {
	must(len(set), len(answers))
	var ok, all, ways int
	for i, item := range set {
		t, stated := Facts(item.Scene, item.Text, answers[i])
		ok, all = ok+t, all+stated
		if way := direction(answers[i]); way != "" && way == direction(item.Answer) {
			ways++
		}
	}
	return ReasoningScore{share(ok, all), share(all, len(set)), share(ways, len(set)), Exact(set, answers)}
}

// direction is what follows "so go", up to the full stop.
func direction(answer string) string {
	_, way, _ := strings.Cut(" "+strings.Join(strings.Fields(answer), " ")+" ", " so go ")
	way, _, stop := strings.Cut(way, " . ")
	if !stop {
		return ""
	}
	return way
}

// Facts counts the facts that a text states about a scene, and those of them that are true. The text is taken apart
// into clauses:
//
//	there is one shape / there are three shapes     how many
//	a small red circle at the top left              that it is there, and if said, its size and its place
//	the red circle is small / is at the top left    its size, its place; "it" is the last one named
//	the sign says C A T / a sign that says C A T    what it says
//	go down and left                                the way between the two objects that the question names
//
// A clause of any other form counts as one fact that is not true, so nothing is gained by babbling.
func Facts(s shapes.Scene, question, text string) (ok, stated int) {
	f := facts{scene: s, asked: Mentions(question)}
	for _, sentence := range strings.Split(" "+strings.Join(strings.Fields(text), " ")+" ", " . ") {
		sentence, way, goes := strings.Cut(" "+strings.TrimSpace(sentence)+" ", " so go ")
		for _, clause := range clauses(sentence) {
			f.clause(clause)
		}
		if goes {
			f.state(f.isWay(strings.TrimSpace(way)))
		}
	}
	return f.ok, f.stated
}

// clauses cuts a sentence at "and".
func clauses(sentence string) []string {
	var all []string
	for _, c := range strings.Split(sentence, " and ") {
		if c = strings.TrimSpace(c); c != "" {
			all = append(all, c)
		}
	}
	return all
}

type facts struct {
	scene      shapes.Scene
	asked      []Mention
	it         *shapes.Pair // the object last named
	ok, stated int
}

func (f *facts) state(isTrue bool) {
	f.stated++
	if isTrue {
		f.ok++
	}
}

// find is the object of a pair, if it is there.
func (f *facts) find(p *shapes.Pair) *shapes.Object {
	for i := range f.scene.Objects {
		if p != nil && f.scene.Objects[i].Pair() == *p {
			return &f.scene.Objects[i]
		}
	}
	return nil
}

func (f *facts) isPlace(o *shapes.Object, place string) bool {
	return o != nil && f.scene.World().Place(o.Cell) == place
}

// clause reads one clause.
func (f *facts) clause(c string) {
	c = strings.TrimPrefix(c, "there is ")
	words := strings.Fields(c)
	switch {
	case len(words) == 2 && words[1] == "shape", len(words) == 4 && words[0] == "there" && words[1] == "are" &&
		words[3] == "shapes":
		f.state(isNumber(words[len(words)-2], len(f.scene.Objects)))
	case strings.HasPrefix(c, "a sign that says "), strings.HasPrefix(c, "the sign says "):
		_, says, _ := strings.Cut(c, " says ")
		f.state(f.scene.Sign != nil && strings.EqualFold(strings.ReplaceAll(says, " ", ""), f.scene.Sign.Text))
	case words[0] == "a", words[0] == "an":
		f.thing(words[1:])
	default:
		f.property(words)
	}
}

// thing reads "small red circle at the top left", where size and place may be missing.
func (f *facts) thing(words []string) {
	m := Mentions(strings.Join(words, " "))
	length := 2
	if len(m) == 1 {
		if m[0].Size != "" {
			length++
		}
		if m[0].Place != "" {
			length += 4
		}
	}
	if len(m) != 1 || length != len(words) {
		f.state(false)
		return
	}
	f.it = &m[0].Pair
	o := f.find(f.it)
	f.state(o != nil)
	if m[0].Size != "" {
		f.state(o != nil && o.Size.String() == m[0].Size)
	}
	if m[0].Place != "" {
		f.state(f.isPlace(o, m[0].Place))
	}
}

// property reads "the red circle is small" and "it is at the top left".
func (f *facts) property(words []string) {
	is := slices.Index(words, "is")
	if is < 0 {
		f.state(false)
		return
	}
	switch m := Mentions(strings.Join(words[:is], " ")); {
	case is == 3 && words[0] == "the" && len(m) == 1 && m[0].Size == "":
		f.it = &m[0].Pair
	case is != 1 || words[0] != "it":
		f.state(false)
		return
	}
	o := f.find(f.it)
	said := strings.Join(words[is+1:], " ")
	place, at := strings.CutPrefix(said, "at the ")
	f.state(o != nil && (!at && o.Size.String() == said || at && f.isPlace(o, place)))
}

func isNumber(word string, n int) bool {
	return n < 10 && word == strings.Fields("zero one two three four five six seven eight nine")[n]
}

// isWay reports whether a direction leads from the first object of the question to the second.
func (f *facts) isWay(way string) bool {
	if len(f.asked) != 2 {
		return false
	}
	from, to := f.find(&f.asked[0].Pair), f.find(&f.asked[1].Pair)
	if from == nil || to == nil {
		return false
	}
	dy, dx := 0, 0
	for i, word := range strings.Split(way, " and ") {
		switch {
		case word == "down" && i == 0:
			dy = 1
		case word == "up" && i == 0:
			dy = -1
		case word == "right" && dx == 0:
			dx = 1
		case word == "left" && dx == 0:
			dx = -1
		default:
			return false
		}
	}
	return dy == sign(to.Cell.Row-from.Cell.Row) && dx == sign(to.Cell.Col-from.Cell.Col)
}

func sign(x int) int { return min(max(x, -1), 1) }
