// Command product generates the kernels of matrix products.
package main

import (
	. "github.com/mmcloughlin/avo/build"

	"github.com/gollava/gollava/internal/cpu/_asm/simd"
)

func main() {
	simd.Header()
	for _, w := range simd.Widths {
		rows := map[*simd.Width]int{simd.AVX2: 6, simd.AVX512: 12}[w]
		for m := rows; m > 0; m-- {
			tile(w, m, 2, false)
		}
		for m := 12; m > 0; m-- {
			tile(w, m, 1, false)
		}
	}
	for m := 12; m > 0; m-- {
		tile(simd.AVX512, m, 2, true)
		tile(simd.AVX512, m, 1, true)
	}
	narrowRows()
	for across := 1; across <= 2; across++ {
		pairRows(across, false)
		pairRows(across, true)
	}
	for _, w := range simd.Widths {
		distances := []int{far}
		if w == simd.AVX512 {
			distances = append(distances, near)
		}
		for _, d := range distances {
			for m := 1; m <= 3; m++ {
				dots(w, m, 4, false, d)
				dots(w, m, 4, true, d)
			}
			dots(w, 1, 8, false, d)
			dots(w, 1, 8, true, d)
		}
		update(w, 1, 8)
		update(w, 2, 4)
		update(w, 3, 4)
	}
	for _, w := range simd.Widths {
		strip(w, 1)
		strip(w, 2)
	}
	widen()
	transpose(false)
	transpose(true)
	Generate()
}
