//go:build amd64 && !purego

package cpu

import (
	"sync"
	"unsafe"

	"github.com/klauspost/cpuid/v2"
	"golang.org/x/sys/cpu"
)

// bf16DotTiler multiplies bfloat16 matrices with VDPBF16PS. What it takes for an element is a pair of bfloat16 that are
// neighbours along the inner dimension, and its lengths along that dimension count pairs.
var bf16DotTiler = tiler{rows: 12, cols: 32, deepest: 512, height: 120, width: 2048, pairs: true, tile: []tileFunc{
	tile1x32BF16, tile2x32BF16, tile3x32BF16, tile4x32BF16, tile5x32BF16, tile6x32BF16,
	tile7x32BF16, tile8x32BF16, tile9x32BF16, tile10x32BF16, tile11x32BF16, tile12x32BF16},
	narrow: &tiler{rows: 12, cols: 16, deepest: 512, height: 240, width: 2048, pairs: true, tile: []tileFunc{
		tile1x16BF16, tile2x16BF16, tile3x16BF16, tile4x16BF16, tile5x16BF16, tile6x16BF16,
		tile7x16BF16, tile8x16BF16, tile9x16BF16, tile10x16BF16, tile11x16BF16, tile12x16BF16}}}

func pairsTiler() *tiler { return &bf16DotTiler }

func init() {
	if !cpu.X86.HasAVX512BF16 {
		return
	}
	narrowRows = narrowRowsBF16
	pairRows = func(pairs int, dst []float32, dRow int, src []float32, row, width int) {
		if width == 16 {
			pairRows16BF16(pairs, &dst[0], dRow, &src[0], row)
		} else {
			pairRows32BF16(pairs, &dst[0], dRow, &src[0], row)
		}
	}
	pairHalfRows = func(pairs int, dst []float32, dRow int, src []uint16, row, width int) {
		if width == 16 {
			pairHalfRows16(pairs, &dst[0], dRow, &src[0], row)
		} else {
			pairHalfRows32(pairs, &dst[0], dRow, &src[0], row)
		}
	}
}

// bf16Dot reports whether VDPBF16PS multiplies bfloat16 matrices.
var bf16Dot = func() bool { return active >= avx512 && bf16DotFast() }

// bf16DotFast reports whether VDPBF16PS is there, right, and known to be fast, which the maker of the processor
// decides: AMD's (Zen 4 and 5 were measured) do it in one operation of the multiplier, at twice the rate of float32;
// Intel's (Emerald Rapids was measured) in microcode, at half of it, and have the matrix unit besides. Processors
// that nobody measured widen to float32.
var bf16DotFast = sync.OnceValue(func() bool {
	return cpu.X86.HasAVX512BF16 && cpuid.CPU.IsVendor(cpuid.AMD) && bf16DotRight()
})

// bf16DotRight tries the kernels on small integers, whose sums are exact.
func bf16DotRight() bool {
	for _, t := range []*tiler{&bf16DotTiler, bf16DotTiler.narrow} {
		const k = 5
		var a [12 * k][2]uint16
		var b [k * 32][2]uint16
		var c [12 * 32]float32
		value := func(i int) (uint16, float32) {
			v := float32(i*7%13 - 6)
			return uint16(*(*uint32)(unsafe.Pointer(&v)) >> 16), v
		}
		for i := range a {
			a[i][0], _ = value(2 * i)
			a[i][1], _ = value(2*i + 1)
		}
		for i := range b {
			b[i][0], _ = value(3 * i)
			b[i][1], _ = value(5 * i)
		}
		for m := 1; m <= t.rows; m++ {
			t.tile[m-1](1, k, (*float32)(unsafe.Pointer(&a)), 0, k, 1, (*float32)(unsafe.Pointer(&b)), t.cols, nil, 0, &c[0],
				t.cols, t.cols)
			for i := range m {
				for j := range t.cols {
					sum := float32(0)
					for p := range k {
						for e := range 2 {
							_, x := value(2*(i*k+p) + e)
							_, y := value((3 + 2*e) * (p*t.cols + j))
							sum += x * y
						}
					}
					if c[i*t.cols+j] != sum {
						return false
					}
				}
			}
		}
	}
	return true
}
