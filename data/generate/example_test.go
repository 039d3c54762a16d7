package generate_test

import (
	"fmt"

	"github.com/gollava/gollava/data/generate"
)

// Two instructions that say nearly the same: the pool keeps one of them.
func ExampleROUGE() {
	fmt.Printf("%.2f\n", generate.ROUGE("describe the image in detail", "describe the picture in detail"))
	// Output: 0.80
}
