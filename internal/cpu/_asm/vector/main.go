// Command vector generates the kernels that work on slices.
package main

import (
	"flag"
	"strings"

	. "github.com/mmcloughlin/avo/build"

	"github.com/gollava/gollava/internal/cpu/_asm/simd"
)

// block is the number of elements of a turn of the loops that are short or sum up; those with a long body take a register at a time. Sums
// are made of as many partial sums, so that both widths add in the same order.
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
	writeTable(strings.Replace(flag.Lookup("stubs").Value.String(), "_amd64.go", "_table_amd64.go", 1))
}
