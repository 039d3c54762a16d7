//go:build !purego

package cpu

var neonTiler = tiler{rows: 6, cols: 16, deepest: 384, height: 192, width: 2048, tile: []tileFunc{
	tile1x16NEON, tile2x16NEON, tile3x16NEON, tile4x16NEON, tile5x16NEON, tile6x16NEON},
	narrow: &tiler{rows: 12, cols: 8, deepest: 768, height: 192, width: 2048, tile: []tileFunc{
		tile1x8NEON, tile2x8NEON, tile3x8NEON, tile4x8NEON, tile5x8NEON, tile6x8NEON,
		tile7x8NEON, tile8x8NEON, tile9x8NEON, tile10x8NEON, tile11x8NEON, tile12x8NEON}}}

var tilers = [...]*tiler{generic: &genericTiler, neon: &neonTiler}

func activeTiler() *tiler { return tilers[active] }

var skinnies = [...]*skinnyKernels{
	neon: {8, [3]dotsFunc{dots1x4NEON, dots2x4NEON, dots3x4NEON},
		[3]dotsHalfFunc{dots1x4BF16NEON, dots2x4BF16NEON, dots3x4BF16NEON}, dots1x8NEON, dots1x8BF16NEON,
		[3]updateFunc{update1x8NEON, update2x4NEON, update3x4NEON}, [3]int{8, 4, 4}},
}

// transposeRows writes 8·⌊k/8⌋ columns of 8 rows, and returns how many it wrote.
func transposeRows(k int, dst []float32, dRow int, b *operand, at, sRow int) int {
	k &^= 7
	if active == generic || k == 0 {
		return 0
	}
	if b.half != nil {
		transpose8BF16NEON(k, &dst[0], dRow, &b.half[at], sRow)
	} else {
		transpose8NEON(k, &dst[0], dRow, &b.full[at], sRow)
	}
	return k
}

// copyStrip packs cols ≤ width columns of k rows of b, from element at on, as rows of dRow elements, and reports
// whether it could.
func copyStrip(k int, dst []float32, dRow int, b *operand, at, cols, width int) bool {
	switch {
	case k == 0:
		return true
	case active == generic || cols < width:
		return false
	case b.half == nil && width == 8:
		strip8NEON(k, &dst[0], dRow, &b.full[at], b.row)
	case b.half == nil && width == 16:
		strip16NEON(k, &dst[0], dRow, &b.full[at], b.row)
	case b.half != nil && width == 16:
		widenNEON(k, &dst[0], dRow, &b.half[at], b.row)
	default:
		return false
	}
	return true
}

// widenRow widens 16·⌊n/16⌋ elements and returns how many it did.
func widenRow(dst []float32, src []uint16) int {
	n := len(src) / 16
	if active == generic || n == 0 {
		return 0
	}
	widenNEON(n, &dst[0], 16, &src[0], 16)
	return 16 * n
}
