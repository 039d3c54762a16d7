package generate

import (
	"context"
	"fmt"
	"math"
	"slices"
	"strings"
	"unicode"
	"unicode/utf8"
)

// Rules is a teacher that needs no model: it puts captions into words again, counts boxes, and compares their places
// and sizes. What it writes is true of the annotations and plain in style. It is safe for concurrent use.
type Rules struct {
	Categories []string // objects that may be asked about though they are not there
	Seed       int64
}

// Ask writes about the scene of a request, always the same about the same one.
func (t Rules) Ask(_ context.Context, r *Request) (Reply, error) {
	w := newView(t, r)
	var text string
	switch r.Kind {
	case Conversation:
		text = w.conversation()
	case Detail:
		text = w.detail()
	case Reasoning:
		text = w.reasoning()
	}
	if text == "" {
		return Reply{Status: 400, Error: "the annotations are not enough to write from"}, nil
	}
	return Reply{Status: 200, Role: "assistant", Text: &text, Finish: "stop", Model: r.Model, ID: "rules"}, nil
}

// view is a scene as the rules look at it.
type view struct {
	Rules
	*Scene
	lines  []string
	things []thing
	kinds  []string // names in order of first appearance
	count  map[string]int
	known  []string // stems of captions and names
	draw   func(n int) int
}

// thing is a box with its place in shares of the picture.
type thing struct {
	name string
	box  [4]float64
}

func (t thing) x() float64    { return (t.box[0] + t.box[2]) / 2 }
func (t thing) y() float64    { return (t.box[1] + t.box[3]) / 2 }
func (t thing) area() float64 { return (t.box[2] - t.box[0]) * (t.box[3] - t.box[1]) }

// place names the ninth of the picture that a thing's middle is in.
func (t thing) place() string {
	row, col := []string{"top", "middle", "bottom"}[min(2, int(3*t.y()))],
		[]string{"left", "center", "right"}[min(2, int(3*t.x()))]
	switch {
	case row == "middle" && col == "center":
		return "in the middle of the image"
	case row == "middle":
		return "on the " + col + " side of the image"
	case col == "center":
		return "at the " + row + " of the image"
	}
	return "at the " + row + " " + col + " of the image"
}

func newView(t Rules, r *Request) *view {
	v := &view{Rules: t, Scene: r.Scene, lines: r.Scene.Lines(), count: map[string]int{}}
	for _, b := range r.Scene.Boxes {
		if box, ok := r.Scene.Inside(b); ok {
			v.things = append(v.things, thing{b.Name, box})
			if v.count[b.Name]++; v.count[b.Name] == 1 {
				v.kinds = append(v.kinds, b.Name)
			}
		}
	}
	v.known = stems(strings.Join(append(slices.Clone(v.kinds), v.lines...), " . "))
	c, n := Config{Seed: t.Seed}, 0
	v.draw = func(k int) int {
		_, x := c.draw(Kind(fmt.Sprintf("rules/%s/%d", r.Kind, n)), r.Scene.ID)
		n++
		return int(x) % k
	}
	return v
}

// only are the things that are the only ones of their kind.
func (v *view) only() []thing {
	var out []thing
	for _, t := range v.things {
		if v.count[t.name] == 1 {
			out = append(out, t)
		}
	}
	return out
}

// sentence is a caption as a sentence.
func sentence(s string) string {
	s = strings.TrimSpace(s)
	r, n := utf8.DecodeRuneInString(s)
	s = string(unicode.ToUpper(r)) + s[n:]
	if !strings.ContainsAny(s[len(s)-1:], ".!?") {
		s += "."
	}
	return s
}

// article is a name with a or an.
func article(name string) string {
	if name != "" && strings.ContainsRune("aeiouAEIOU", rune(name[0])) {
		return "an " + name
	}
	return "a " + name
}

// several is a number of things in words.
func several(n int, name string) string {
	if n == 1 {
		return "one " + name
	}
	number := fmt.Sprint(n)
	if n < len(numerals) {
		number = numerals[n]
	}
	return number + " " + plural(name)
}

// plural is a name's plural by the rules of spelling, and of the irregular words that annotations use.
func plural(name string) string {
	for one, many := range map[string]string{"person": "people", "man": "men", "woman": "women", "child": "children",
		"mouse": "mice", "knife": "knives",
		"sheep": "sheep", "skis": "skis", "scissors": "scissors"} {
		if strings.HasSuffix(name, one) {
			return strings.TrimSuffix(name, one) + many
		}
	}
	switch {
	case strings.HasSuffix(name, "s"),
		strings.HasSuffix(name, "x"),
		strings.HasSuffix(name, "ch"),
		strings.HasSuffix(name, "sh"):
		return name + "es"
	case strings.HasSuffix(name, "y") && len(name) > 1 && !strings.ContainsRune("aeiou", rune(name[len(name)-2])):
		return name[:len(name)-1] + "ies"
	}
	return name + "s"
}

// list joins parts as English does.
func list(parts []string) string {
	switch len(parts) {
	case 0:
		return ""
	case 1:
		return parts[0]
	}
	return strings.Join(parts[:len(parts)-1], ", ") + " and " + parts[len(parts)-1]
}

// counted is a list of all kinds with their numbers.
func (v *view) counted() string {
	var parts []string
	for _, k := range v.kinds {
		parts = append(parts, several(v.count[k], k))
	}
	return list(parts)
}

// blocks lays turns out.
func blocks(turns []Turn) string {
	var parts []string
	for _, t := range turns {
		parts = append(parts, "Question:\n"+t.Question, "Answer:\n"+t.Answer)
	}
	return strings.Join(parts, "\n===\n")
}

// conversation asks what there is, how many, where, and after something that is not there.
func (v *view) conversation() string {
	var turns []Turn
	add := func(q, a string) { turns = append(turns, Turn{q, a}) }
	for _, k := range v.kinds {
		if n := v.count[k]; n > 1 && n < len(numerals) {
			add("How many "+plural(k)+" are there?", "There are "+several(n, k)+".")
		}
		add("Is there "+article(k)+" in the image?", "Yes, there is "+article(k)+" in the image.")
	}
	only := v.only()
	for _, t := range only {
		add("Where is the "+t.name+"?", "The "+t.name+" is "+t.place()+".")
	}
	for i, a := range only {
		for _, b := range only[i+1:] {
			if d := a.x() - b.x(); math.Abs(d) > 0.15 {
				side := map[bool]string{true: "right", false: "left"}[d > 0]
				add(
					"Is the "+a.name+" to the left or to the right of the "+b.name+"?",
					"The "+a.name+" is to the "+side+" of the "+b.name+".",
				)
			}
		}
	}
	if absent := v.absent(); absent != "" {
		add("Can you see "+article(absent)+"?", "No, there is no "+absent+" in the image.")
	}
	for i := len(turns) - 1; i > 0; i-- {
		j := v.draw(i + 1)
		turns[i], turns[j] = turns[j], turns[i]
	}
	first := []string{"What is shown in the image?", "What can be seen here?",
		"What is going on in the image?"}[v.draw(3)]
	turns = append([]Turn{{first, sentence(v.lines[v.draw(len(v.lines))])}}, turns[:min(len(turns), 2+v.draw(3))]...)
	if len(turns) < 2 && len(v.lines) > 1 {
		turns = append(turns, Turn{"What else is there to see?", sentence(v.lines[len(v.lines)-1])})
	}
	if len(turns) < 2 {
		return ""
	}
	return blocks(turns)
}

// absent is an object that neither a box nor a caption has.
func (v *view) absent() string {
	if len(v.Categories) == 0 || len(v.things) == 0 {
		return ""
	}
	from := v.draw(len(v.Categories))
	for i := range v.Categories {
		c := v.Categories[(from+i)%len(v.Categories)]
		if name := stems(c); len(name) > 0 &&
			!slices.ContainsFunc(name, func(w string) bool { return slices.Contains(v.known, w) }) {
			return c
		}
	}
	return ""
}

// detail tells the captions that say most, the numbers, and where things are.
func (v *view) detail() string {
	lines := slices.Clone(v.lines)
	slices.SortStableFunc(lines, func(a, b string) int { return len(words(b)) - len(words(a)) })
	text := sentence(lines[0])
	if len(lines) > 1 {
		text += " " + sentence(lines[1])
	}
	verb := "are "
	if len(v.things) == 1 {
		verb = "is "
	}
	text += " In all there " + verb + v.counted() + "."
	for _, t := range v.only() {
		size := ""
		switch a := t.area(); {
		case a > 0.3:
			size = ", and takes up a large part of it"
		case a < 0.01:
			size = ", and is small"
		}
		text += " The " + t.name + " is " + t.place() + size + "."
	}
	for _, k := range v.kinds {
		if v.count[k] < 2 {
			continue
		}
		var places []string
		for _, t := range v.things {
			if t.name == k && !slices.Contains(places, t.place()) {
				places = append(places, t.place())
			}
		}
		if len(places) <= 4 {
			text += " The " + plural(k) + " are " + list(places) + "."
		}
	}
	return text
}

// reasoning asks a question whose answer follows from places and sizes.
func (v *view) reasoning() string {
	only := v.only()
	var turns []Turn
	if len(only) >= 2 {
		i := v.draw(len(only))
		j := (i + 1 + v.draw(len(only)-1)) % len(only)
		a, b := only[i], only[j]
		if way := direction(a, b); way != "" {
			turns = append(turns, Turn{"How would one get from the " + a.name + " to the " + b.name + "?",
				"The " + a.name + " is " + a.place() + ", and the " + b.name + " is " + b.place() + ". So from the " +
					a.name + " one has to go " + way + " to reach the " + b.name + "."})
		}
		near, far := a, b
		if b.box[3] > a.box[3] {
			near, far = b, a
		}
		if near.box[3]-far.box[3] > 0.1 && near.area() > far.area() {
			turns = append(
				turns,
				Turn{"Which is probably closer to the viewer, the " + a.name + " or the " + b.name + ", and why?",
					"Probably the " + near.name + ". It reaches further down in the image than the " + far.name + " and takes up " +
						"more room, and what stands on the ground close to the viewer appears low and large."},
			)
		}
	}
	slices.SortStableFunc(only, func(a, b thing) int { return -compare(a.area(), b.area()) })
	if len(only) > 0 && len(v.things) > 1 && only[0].area() > 0.05 {
		t := only[0]
		turns = append(turns, Turn{"What draws attention first here, and what makes it stand out?",
			"The " + t.name + " draws attention first: it is " + t.place() + ", it is the only " + t.name +
				", and few things take up as much room. " + sentence(
				v.lines[0],
			)})
	}
	most := ""
	for _, k := range v.kinds {
		if v.count[k] > 1 && v.count[k] > v.count[most] {
			most = k
		}
	}
	if most != "" {
		turns = append(turns, Turn{"What is this scene mainly about, judging by what there is most of?",
			"There are " + several(v.count[most], most) + ", more than of anything else, so the scene is mainly " +
				"about the " + plural(most) + ". This fits with what is going on: " + sentence(v.lines[0])})
	}
	if len(turns) == 0 {
		return ""
	}
	return blocks(turns[v.draw(len(turns)):][:1])
}

func compare(a, b float64) int {
	switch {
	case a < b:
		return -1
	case a > b:
		return 1
	}
	return 0
}

// direction is the way from a to b in words, empty if they are too close to tell.
func direction(a, b thing) string {
	var parts []string
	if d := b.y() - a.y(); math.Abs(d) > 0.15 {
		parts = append(parts, map[bool]string{true: "down", false: "up"}[d > 0])
	}
	if d := b.x() - a.x(); math.Abs(d) > 0.15 {
		parts = append(parts, "to the "+map[bool]string{true: "right", false: "left"}[d > 0])
	}
	return strings.Join(parts, " and ")
}
