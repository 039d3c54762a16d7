package shapes_test

import (
	"fmt"
	"log"

	"github.com/gollava/gollava/data/shapes"
)

func Example() {
	w, err := shapes.New(shapes.Default(1))
	if err != nil {
		log.Fatal(err)
	}
	s := w.Scene(shapes.Train, 0, shapes.Options{})
	for _, o := range s.Objects {
		fmt.Println(o.Size, o.Pair(), o.Cell)
	}
	fmt.Println(s.Image().Bounds())
	// Output:
	// small purple triangle {2 0}
	// (0,0)-(48,48)
}

// Questions about a picture, some of its texts, and the same question about a picture in which one thing is different.
func ExampleWorld_Ask() {
	w, err := shapes.New(shapes.Default(1))
	if err != nil {
		log.Fatal(err)
	}
	s, q := w.Ask(shapes.Test, shapes.ColorOf, 8)
	fmt.Println(s.Caption())
	fmt.Println(q.Text, q.Answer)
	for _, q := range s.Converse(w.Rand("conversation", 0), shapes.Conversation(), 3) {
		fmt.Println(q.Text, q.Answer)
	}
	if other, changed, ok := s.Counterfactual(w.Rand("counterfactual", 0), q); ok {
		fmt.Println(other.Caption())
		fmt.Println(changed.Text, changed.Answer)
	}
	// Output:
	// a large blue square at the top right and a small blue cross at the bottom right and a sign that says 2 6 .
	// what color is the square ? blue
	// is there an orange circle ? no
	// what does the sign say ? 2 6
	// what color is the cross ? blue
	// a large orange square at the top right and a small blue cross at the bottom right and a sign that says 2 6 .
	// what color is the square ? orange
}
