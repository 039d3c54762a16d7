// Command vector generates the kernels that work on slices.
package main

import (
	. "github.com/mmcloughlin/avo/build"

	"github.com/gollava/gollava/internal/cpu/_asm/simd"
)

// Elements of a block: of kernels that are bound by memory or sum up, and of those with a long body.
const block = 32

func main() {
	simd.Header()
	for _, w := range simd.Widths {
		elementwise(w)
		arithmetic(w)
		sums(w)
		exponentials(w)
		norms(w)
		others(w)
		casts(w)
		dropout(w)
	}
	Generate()
}
