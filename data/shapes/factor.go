package shapes

import (
	"fmt"
	"slices"
	"strings"
)

// Color is the colour of an object.
type Color int

// The six colours.
const (
	Red Color = iota
	Green
	Blue
	Yellow
	Purple
	Orange
)

// Shape is the form of an object.
type Shape int

// The five shapes.
const (
	Circle Shape = iota
	Square
	Triangle
	Star
	Cross
)

// Size is how large an object is drawn.
type Size int

// The two sizes.
const (
	Small Size = iota
	Large
)

var (
	colorNames = []string{"red", "green", "blue", "yellow", "purple", "orange"}
	shapeNames = []string{"circle", "square", "triangle", "star", "cross"}
	sizeNames  = []string{"small", "large"}
)

// RGB is the colour that objects are drawn in, but for a small variation of each.
func (c Color) RGB() [3]uint8 {
	p := palette[c]
	return [3]uint8{uint8(p[0]), uint8(p[1]), uint8(p[2])}
}

// String is the colour's word.
func (c Color) String() string { return colorNames[c] }

// String is the shape's word.
func (s Shape) String() string { return shapeNames[s] }

// String is the size's word.
func (s Size) String() string { return sizeNames[s] }

// Pair is a colour with a shape: what a scene never holds twice and what questions call an object by.
type Pair struct {
	Color Color
	Shape Shape
}

// String is the pair in words, such as "red circle".
func (p Pair) String() string { return p.Color.String() + " " + p.Shape.String() }

// MarshalText writes the pair as [Pair.String] does.
func (p Pair) MarshalText() ([]byte, error) { return []byte(p.String()), nil }

// UnmarshalText reads a pair such as "red circle".
func (p *Pair) UnmarshalText(text []byte) error {
	color, shape, _ := strings.Cut(string(text), " ")
	c, okC := named(colorNames, color)
	s, okS := named(shapeNames, shape)
	if !okC || !okS {
		return fmt.Errorf("shapes: %q is not a colour and a shape such as %q", text, Pair{Red, Circle})
	}
	*p = Pair{Color(c), Shape(s)}
	return nil
}

// named finds a word in a list of names.
func named(names []string, word string) (int, bool) {
	for i, n := range names {
		if n == word {
			return i, true
		}
	}
	return 0, false
}

// AllPairs are the thirty pairs, colour by colour.
func AllPairs() []Pair { return slices.Clone(allPairs) }

var allPairs = pairs()

func pairs() []Pair {
	var all []Pair
	for c := range colorNames {
		for s := range shapeNames {
			all = append(all, Pair{Color(c), Shape(s)})
		}
	}
	return all
}

// words are what signs say in every split but [NewWord].
var words = strings.Fields(`ant bed box bus car cat cow cup dog egg fan fox gum hat hen ice jam jet key kit
	leg log map mud net nut oak owl pen pig pot ram rug saw sun tap van web yak zip`)

// newWords are what signs say in [NewWord] only; each of their letters occurs in words.
var newWords = strings.Fields(`bat dig fun hot lid men pan wet`)
