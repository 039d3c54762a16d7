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
var bf16DotTiler = tiler{rows: 12, cols: 32, deepest: 256, height: 240, width: 2048, pairs: true, tile: []tileFunc{
	tile1x32BF16, tile2x32BF16, tile3x32BF16, tile4x32BF16, tile5x32BF16, tile6x32BF16,
	tile7x32BF16, tile8x32BF16, tile9x32BF16, tile10x32BF16, tile11x32BF16, tile12x32BF16},
	narrow: &tiler{rows: 12, cols: 16, deepest: 512, height: 240, width: 2048, pairs: true, tile: []tileFunc{
		tile1x16BF16, tile2x16BF16, tile3x16BF16, tile4x16BF16, tile5x16BF16, tile6x16BF16,
		tile7x16BF16, tile8x16BF16, tile9x16BF16, tile10x16BF16, tile11x16BF16, tile12x16BF16}}}

// useBF16Dot turns a product of matrices that are bfloat16, or are to be rounded to it, into one of pairs, where that
// is faster than widening while packing. The products are the same, their sums are float32 in either case.
func (g *gemm) useBF16Dot() bool {
	if g.k == 0 || g.a.half == nil && !g.half || g.b.half == nil && !g.half || !bf16Dot() {
		return false
	}
	g.tiler, g.half = bf16DotTiler.forColumns(g.n), false
	blocks := max(1, (g.k+2*g.deepest-1)/(2*g.deepest))
	g.depth = ((g.k+blocks-1)/blocks + 31) &^ 31
	return true
}

// pairsA is [gemm.packA] for pairs. Where the elements of a row lie next to each other rows stay rows, of which the
// kernels read a pair of each at a time; else a tile is [depth/2][16 rows].
func (g *gemm) pairsA(t *tilesOfA, k, depth int) {
	if g.a.col == 1 {
		t.row, t.col = (depth+1)/2+rowGap, 1
		g.pairsOfRows(t.full, t.row, g.a.row*t.from+k, g.a.row, t.to-t.from, depth, &g.a)
		for n, band := range t.bands {
			t.tile[n] = band.rows * t.row
		}
		return
	}
	t.row, t.col = 1, 16
	columns := operand{full: g.a.full, half: g.a.half, row: g.a.col, col: g.a.row}
	i, at := t.from, 0
	for n, band := range t.bands {
		t.tile[n] = (depth + 1) / 2 * t.col
		for range band.tiles {
			pairsOfColumns(t.full[at:], &columns, k, depth, i, i+band.rows, 16)
			i, at = i+band.rows, at+t.tile[n]
		}
	}
}

// rowGap is the number of pairs between rows, so that those of a tile do not fall into the same set of the cache.
const rowGap = 16

// pairsOfRows writes depth elements, at least one, of rows of x, the first of which is element first, as pairs. Rows
// lie row elements apart, and gap pairs in dst; the last pair of an odd number has a zero.
func (g *gemm) pairsOfRows(dst []float32, gap, first, row, rows, depth int, x *operand) {
	whole := 0
	if x.half == nil && depth >= 32 {
		whole = depth &^ 31
		narrowRows(rows, depth/32, &dst[0], gap, &x.full[first], row)
	}
	for i := range rows {
		to := unsafe.Slice((*uint16)(unsafe.Pointer(&dst[i*gap])), (depth+1)&^1)
		if from := first + i*row; x.half != nil {
			copy(to, x.half[from:from+depth])
		} else if whole < depth {
			vectors().narrow(to[whole:depth], x.full[from+whole:from+depth])
		}
		if depth%2 != 0 {
			to[depth] = 0
		}
	}
}

// pairsB is [gemm.packB] for pairs: panels of [depth/2][columns].
func (g *gemm) pairsB(panels []float32, k, depth, j0, j1, from, to int) {
	if g.b.row != 1 {
		for p := from; p < to; p++ {
			j := j0 + p*g.cols
			pairsOfColumns(panels[p*g.panel(depth):], &g.b, k, depth, j, min(j1, j+g.cols), g.cols)
		}
		return
	}
	if pairs, ok := g.b.pairs(); ok && k%2 == 0 && depth%2 == 0 {
		for p := from; p < to; p++ {
			j := j0 + p*g.cols
			packPanel(panels[p*g.panel(depth):], &pairs, k/2, depth/2, j, min(j1, j+g.cols), g.cols)
		}
		return
	}
	const step = 128 // elements of 32 columns that stay in the first-level cache
	var block [32 * (step/2 + rowGap)]float32
	for p := from; p < to; p++ {
		j := j0 + p*g.cols
		cols := min(g.cols, j1-j)
		for r := 0; r < depth; r += step {
			n := min(step, depth-r)
			g.pairsOfRows(block[:], step/2+rowGap, j*g.b.col+k+r, g.b.col, cols, n, &g.b)
			pairs := operand{full: block[:], row: 1, col: step/2 + rowGap}
			packPanel(panels[p*g.panel(depth)+r/2*g.cols:], &pairs, 0, (n+1)/2, 0, cols, g.cols)
		}
	}
}

// pairsOfColumns writes rows [k, k+depth) of columns [j0, j1) of x as pairs of rows: dst [depth/2][width][2]bfloat16,
// where width is 16 or 32. What it leaves in columns j1−j0 to width is undefined.
func pairsOfColumns(dst []float32, x *operand, k, depth, j0, j1, width int) {
	var block [32*32 + spill]float32
	whole := 0
	if depth >= 2 && x.col == 1 && x.holds((k+depth-1)*x.row+j0+width) {
		whole = depth / 2
		if x.half != nil {
			pairHalfRows(whole, dst, x.half[k*x.row+j0:], x.row, width)
		} else {
			pairRows(whole, dst, x.full[k*x.row+j0:], x.row, width)
		}
	}
	for r := 2 * whole; r < depth; r += 32 {
		n := min(32, depth-r)
		packPanel(block[:], x, k+r, n, j0, j1, width)
		if n%2 != 0 {
			clear(block[n*width:][:width])
		}
		pairRows((n+1)/2, dst[r/2*width:], block[:], width, width)
	}
}

// narrowRows, pairRows and pairHalfRows are the kernels that make pairs. Only tests change them, where the processor
// has none.
var (
	narrowRows = narrowRowsBF16
	pairRows   = func(pairs int, dst, src []float32, row, width int) {
		if width == 16 {
			pairRows16BF16(pairs, &dst[0], &src[0], row)
		} else {
			pairRows32BF16(pairs, &dst[0], &src[0], row)
		}
	}
	pairHalfRows = func(pairs int, dst []float32, src []uint16, row, width int) {
		if width == 16 {
			pairHalfRows16(pairs, &dst[0], &src[0], row)
		} else {
			pairHalfRows32(pairs, &dst[0], &src[0], row)
		}
	}
)

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
