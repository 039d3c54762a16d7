//go:build amd64 && !purego

package cpu

import "github.com/klauspost/cpuid/v2"

var tilers = [...]*tiler{
	generic: &genericTiler,
	avx2: {rows: 6, cols: 16, deepest: 384, height: 192, width: 2048, tile: []tileFunc{
		tile1x16AVX2, tile2x16AVX2, tile3x16AVX2, tile4x16AVX2, tile5x16AVX2, tile6x16AVX2},
		narrow: &tiler{rows: 12, cols: 8, deepest: 768, height: 192, width: 2048, tile: []tileFunc{
			tile1x8AVX2, tile2x8AVX2, tile3x8AVX2, tile4x8AVX2, tile5x8AVX2, tile6x8AVX2,
			tile7x8AVX2, tile8x8AVX2, tile9x8AVX2, tile10x8AVX2, tile11x8AVX2, tile12x8AVX2}}},
	avx512: {rows: 12, cols: 32, deepest: 256, height: 240, width: 2048, tile: []tileFunc{
		tile1x32AVX512, tile2x32AVX512, tile3x32AVX512, tile4x32AVX512, tile5x32AVX512, tile6x32AVX512,
		tile7x32AVX512, tile8x32AVX512, tile9x32AVX512, tile10x32AVX512, tile11x32AVX512, tile12x32AVX512},
		narrow: &tiler{rows: 12, cols: 16, deepest: 512, height: 240, width: 2048, tile: []tileFunc{
			tile1x16AVX512, tile2x16AVX512, tile3x16AVX512, tile4x16AVX512, tile5x16AVX512, tile6x16AVX512,
			tile7x16AVX512, tile8x16AVX512, tile9x16AVX512, tile10x16AVX512, tile11x16AVX512, tile12x16AVX512}}},
}

func activeTiler() *tiler { return tilers[vectorLevel()] }

var skinnies = [...]*skinnyKernels{
	avx2: {8, [3]dotsFunc{dots1x4AVX2, dots2x4AVX2, dots3x4AVX2},
		[3]dotsHalfFunc{dots1x4BF16AVX2, dots2x4BF16AVX2, dots3x4BF16AVX2}, dots1x8AVX2, dots1x8BF16AVX2,
		[3]updateFunc{update1x8AVX2, update2x4AVX2, update3x4AVX2}, [3]int{8, 4, 4}},
	avx512: skinnyAVX512(cpuid.CPU.IsVendor(cpuid.AMD)),
}

// skinnyAVX512 fetches memory far ahead of its use, or near. The maker of the processor decides; the bits are the same.
func skinnyAVX512(near bool) *skinnyKernels {
	k := skinnyKernels{16, [3]dotsFunc{dots1x4AVX512, dots2x4AVX512, dots3x4AVX512},
		[3]dotsHalfFunc{dots1x4BF16AVX512, dots2x4BF16AVX512, dots3x4BF16AVX512}, dots1x8AVX512, dots1x8BF16AVX512,
		[3]updateFunc{update1x8AVX512, update2x4AVX512, update3x4AVX512}, [3]int{8, 4, 4}}
	if near {
		k.dots = [3]dotsFunc{dots1x4AVX512Near, dots2x4AVX512Near, dots3x4AVX512Near}
		k.dotsHalf = [3]dotsHalfFunc{dots1x4BF16AVX512Near, dots2x4BF16AVX512Near, dots3x4BF16AVX512Near}
		k.dots8, k.dotsHalf8 = dots1x8AVX512Near, dots1x8BF16AVX512Near
	}
	return &k
}

// transposeRows writes 8·⌊k/8⌋ columns of 8 rows, and returns how many it wrote.
func transposeRows(k int, dst []float32, dRow int, b *operand, at, sRow int) int {
	k &^= 7
	if active == generic || k == 0 {
		return 0
	}
	if b.half != nil {
		transpose8BF16(k, &dst[0], dRow, &b.half[at], sRow)
	} else {
		transpose8(k, &dst[0], dRow, &b.full[at], sRow)
	}
	return k
}

// copyStrip packs cols ≤ width columns of k rows of b, from element at on, as rows of dRow elements, and reports
// whether it could. It may write beyond width, up to the end of a register, and zeros follow the columns.
func copyStrip(k int, dst []float32, dRow int, b *operand, at, cols, width int) bool {
	switch {
	case k == 0:
		return true
	case active == generic || b.half != nil && (cols < width || width%16 != 0):
		return false
	case b.half != nil:
		for j := 0; j < width; j += 16 {
			widenAVX2(k, &dst[j], dRow, &b.half[at+j], b.row)
		}
	case width <= 8:
		strip8AVX2(k, &dst[0], dRow, &b.full[at], b.row, cols)
	case active == avx2 && width <= 16:
		strip16AVX2(k, &dst[0], dRow, &b.full[at], b.row, cols)
	case active < avx512:
		return false
	case width <= 16:
		strip16AVX512(k, &dst[0], dRow, &b.full[at], b.row, cols)
	default:
		strip32AVX512(k, &dst[0], dRow, &b.full[at], b.row, cols)
	}
	return true
}

// widenRow widens 16·⌊n/16⌋ elements and returns how many it did.
func widenRow(dst []float32, src []uint16) int {
	n := len(src) / 16
	if active == generic || n == 0 {
		return 0
	}
	widenAVX2(n, &dst[0], 16, &src[0], 16)
	return 16 * n
}
