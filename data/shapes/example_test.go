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
