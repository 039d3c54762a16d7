package teacher_test

import (
	"context"
	"fmt"
	"log"

	"github.com/gollava/gollava/data/shapes"
	"github.com/gollava/gollava/data/shapes/teacher"
)

// A picture is told in words; the teacher writes an instruction from them.
func Example() {
	w, err := shapes.New(shapes.Default(1))
	if err != nil {
		log.Fatal(err)
	}
	scene := w.Scene(shapes.Train, 3, shapes.Options{MinObjects: 2, MaxObjects: 2})
	fmt.Print(scene.Context())

	text, err := teacher.Rule{World: w}.Write(context.Background(), teacher.Reasoning, scene.Context())
	if err != nil {
		log.Fatal(err)
	}
	turns, err := teacher.Parse(teacher.Reasoning, text, w.Rand("example", 0))
	if err != nil {
		log.Fatal(err)
	}
	fmt.Println("---")
	fmt.Println(turns[0].Question)
	fmt.Println(turns[0].Answer)
	// Output:
	// a small purple triangle at the middle right and a large blue star at the bottom left .
	// a purple triangle at the middle right and a blue star at the bottom left .
	// a small purple triangle and a large blue star .
	// a purple triangle and a blue star .
	// there are two shapes .
	//
	// purple triangle: [0.75, 0.417, 0.958, 0.604]
	// blue star: [0.021, 0.688, 0.312, 0.958]
	// ---
	// how would i walk from the purple triangle to the blue star ?
	// the purple triangle is at the middle right and the blue star is at the bottom left so go down and left .
}
