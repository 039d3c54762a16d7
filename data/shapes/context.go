package shapes

import (
	"fmt"
	"slices"
	"strconv"
	"strings"
)

// Box is what of the picture an object covers, in pixels: x1, y1, x2, y2, the last two just outside.
func (s Scene) Box(o Object) [4]int {
	w := s.world
	sprite := w.sprites[2*int(o.Shape)+int(o.Size)]
	box := [4]int{w.Cell, w.Cell, 0, 0}
	for i, a := range sprite {
		if a > 0 {
			x, y := i%w.Cell, i/w.Cell
			box = [4]int{min(box[0], x), min(box[1], y), max(box[2], x+1), max(box[3], y+1)}
		}
	}
	for i, d := range [2]int{o.Cell.Col*w.Cell + o.DX, o.Cell.Row*w.Cell + o.DY} {
		box[i] = max(box[i]+d, 0)
		box[2+i] = min(box[2+i]+d, w.Side())
	}
	return box
}

// Context is the scene as LLaVA shows pictures to a language model that is to write about them (Liu et al. 2023,
// section 3): five captions, an empty line, and a line with the box of each thing, as shares of the picture's width and
// height.
//
//	a small red circle at the top left and a large blue star at the middle left .
//	…
//
//	red circle: [0.083, 0.104, 0.271, 0.292]
//	blue star: [0.042, 0.354, 0.333, 0.646]
func (s Scene) Context() string {
	var b strings.Builder
	for _, text := range s.captions() {
		b.WriteString(text + "\n")
	}
	line := func(name string, box [4]int) {
		var numbers []string
		for _, x := range box {
			numbers = append(numbers, rounded(float64(x)/float64(s.world.Side())))
		}
		fmt.Fprintf(&b, "\n%s: [%s]", name, strings.Join(numbers, ", "))
	}
	for _, o := range s.Objects {
		line(o.Pair().String(), s.Box(o))
	}
	if s.Sign != nil {
		top := s.Sign.Row * s.world.Cell
		line("sign", [4]int{1, top, s.world.Side() - 1, top + s.world.Cell})
	}
	b.WriteString("\n")
	return b.String()
}

// captions are five captions, the first the fullest.
func (s Scene) captions() []string {
	last, _, _ := strings.Cut(s.Detail(), " .")
	return []string{
		s.Caption(),
		s.caption(s.mentions(false, true)),
		s.caption(s.mentions(true, false)),
		s.caption(s.mentions(false, false)),
		last + " .",
	}
}

// rounded writes a number as Python's round(x, 3) does.
func rounded(x float64) string {
	text := strings.TrimRight(strconv.FormatFloat(x, 'f', 3, 64), "0")
	if strings.HasSuffix(text, ".") {
		text += "0"
	}
	return text
}

// ReadContext reads what [Scene.Context] writes: the scene as far as words and boxes tell it, its objects in the middle
// of their cells. The first caption must name everything with its place; a thing without a size counts as small. Boxes
// may be missing, except a sign's, which tells its row; those that are there must agree with the caption.
func (w *World) ReadContext(text string) (Scene, error) {
	captions, boxes, _ := strings.Cut(text, "\n\n")
	first, _, _ := strings.Cut(captions, "\n")
	s := Scene{world: w, Split: Train}
	q := reader{words: strings.Fields(first)}
	for !q.failed {
		if !q.next("a") {
			q.must("an")
		}
		if q.next("sign that says") {
			s.Sign = &Sign{Row: -1}
			for len(q.words) > 0 && len(q.words[0]) == 1 && q.words[0] != "." {
				s.Sign.Text += strings.ToLower(q.words[0])
				q.words = q.words[1:]
			}
			q.failed = q.failed || s.Sign.Text == ""
		} else {
			var o Object
			if q.next("large") {
				o.Size = Large
			} else {
				q.next("small")
			}
			p := q.pair()
			o.Color, o.Shape = p.Color, p.Shape
			q.must("at the")
			o.Cell = q.cell(w)
			s.Objects = append(s.Objects, o)
		}
		if q.next(".") {
			break
		}
		q.must("and")
	}
	if q.failed || len(q.words) > 0 {
		return Scene{}, fmt.Errorf("shapes: the context's first line is no caption with places: %q", first)
	}
	if err := s.place(boxes); err != nil {
		return Scene{}, err
	}
	s.sort()
	for i, o := range s.Objects {
		if i > 0 && s.Objects[i-1].Cell == o.Cell || s.find(o.Pair()) == nil ||
			s.Sign != nil && s.Sign.Row == o.Cell.Row {
			return Scene{}, fmt.Errorf("shapes: the context has two things of a kind or at a place: %q", first)
		}
	}
	return s, nil
}

// place compares boxes with the objects' cells, and finds the sign's row.
func (s *Scene) place(boxes string) error {
	w := s.world
	for line := range strings.Lines(boxes) {
		name, rest, _ := strings.Cut(strings.TrimSpace(line), ": ")
		if name == "" {
			continue
		}
		var box [4]float64
		if n, err := fmt.Sscanf(rest, "[%g, %g, %g, %g]", &box[0], &box[1], &box[2], &box[3]); n < 4 || err != nil {
			return fmt.Errorf("shapes: %q is not a name and a box such as red circle: [0.083, 0.104, 0.271, 0.292]",
				strings.TrimSpace(line))
		}
		middle := Cell{int((box[1] + box[3]) / 2 * float64(w.Grid)), int((box[0] + box[2]) / 2 * float64(w.Grid))}
		if name == "sign" && s.Sign != nil && middle.Row >= 0 && middle.Row < w.Grid {
			s.Sign.Row = middle.Row
			continue
		}
		var p Pair
		there := func(o Object) bool { return o.Pair() == p && o.Cell == middle }
		if err := p.UnmarshalText([]byte(name)); err != nil || !slices.ContainsFunc(s.Objects, there) {
			return fmt.Errorf("shapes: the box %q is not where the caption has it", strings.TrimSpace(line))
		}
	}
	if s.Sign != nil && s.Sign.Row < 0 {
		return fmt.Errorf("shapes: the context has a sign without a box")
	}
	return nil
}
