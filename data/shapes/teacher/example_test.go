package teacher_test

import (
	"fmt"
	"log"

	"github.com/gollava/gollava/data/generate"
	"github.com/gollava/gollava/data/shapes"
	"github.com/gollava/gollava/data/shapes/teacher"
)

// A picture is given as text; the teacher writes an instruction from it.
func Example() {
	w, err := shapes.New(shapes.Default(1))
	if err != nil {
		log.Fatal(err)
	}
	scene := w.Scene(shapes.Train, 3, shapes.Options{MinObjects: 2, MaxObjects: 2})
	fmt.Print(scene.Context())

	text, err := teacher.Rule{World: w}.Write(generate.Reasoning, scene.Context())
	if err != nil {
		log.Fatal(err)
	}
	config, err := teacher.Config(w)
	if err != nil {
		log.Fatal(err)
	}
	turns, fault := config.Parse(generate.Reasoning, text, false)
	if fault != "" {
		log.Fatal(fault)
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
	// how would i walk from the blue star to the purple triangle ?
	// the blue star is at the bottom left and the purple triangle is at the middle right so go up and right .
}
