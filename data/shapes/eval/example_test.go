package eval_test

import (
	"fmt"

	"github.com/gollava/gollava/data/shapes/eval"
)

// What a caption of the shapes world claims.
func ExampleMentions() {
	for _, m := range eval.Mentions("a small red circle at the top left and a blue square") {
		fmt.Printf("%v %q %q\n", m.Pair, m.Size, m.Place)
	}
	fmt.Println(len(eval.Shuffle(5, 1)))
	// Output:
	// red circle "small" "top left"
	// blue square "" ""
	// 5
}
