package cpu

import (
	"math"
	"unsafe"
)

// Some processors multiply pairs of bfloat16 that are neighbours along the inner dimension and add both products to a
// float32. Matrices of float32 are rounded while they are packed in pairs, each in the place of a float32.

// usePairs turns a product of matrices that are bfloat16, or are to be rounded to it, into one of pairs, where that
// is faster than widening while packing. The products are the same, their sums are float32 in either case.
func (g *gemm) usePairs() bool {
	if g.k == 0 || g.a.half == nil && !g.half || g.b.half == nil && !g.half || !bf16Dot() {
		return false
	}
	g.tiler, g.half = pairsTiler().forColumns(g.n), false
	blocks := max(1, (g.k+2*g.deepest-1)/(2*g.deepest))
	g.depth = ((g.k+blocks-1)/blocks + 31) &^ 31
	return true
}

// pairsA is [gemm.packA] for pairs. Where the elements of a row lie next to each other rows stay rows, of which the
// kernels read a pair of each at a time; else a tile is [depth/2][16 rows].
func (g *gemm) pairsA(t *tilesOfA, k, depth int) {
	if g.a.col == 1 {
		t.row, t.col = (depth+1)/2+rowGap, 1
		pairsOfRows(t.full, t.row, &g.a, g.a.row*t.from+k, g.a.row, t.to-t.from, depth)
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
			pairsOfColumns(t.full[at:], 16, &columns, k, depth, i, i+band.rows, 16)
			i, at = i+band.rows, at+t.tile[n]
		}
	}
}

// rowGap is the number of pairs between rows, so that those of a tile do not fall into the same set of the cache.
const rowGap = 16

// pairsOfRows writes depth elements, at least one, of rows of x, the first of which is element first, as pairs. Rows
// lie row elements apart, and gap pairs in dst; the last pair of an odd number has a zero.
func pairsOfRows(dst []float32, gap int, x *operand, first, row, rows, depth int) {
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
			pairsOfColumns(panels[p*g.panel(depth):], g.cols, &g.b, k, depth, j, min(j1, j+g.cols), g.cols)
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
			pairsOfRows(block[:], step/2+rowGap, &g.b, j*g.b.col+k+r, g.b.col, cols, n)
			pairs := operand{full: block[:], row: 1, col: step/2 + rowGap}
			packPanel(panels[p*g.panel(depth)+r/2*g.cols:], &pairs, 0, (n+1)/2, 0, cols, g.cols)
		}
	}
}

// pairsOfColumns writes rows [k, k+depth) of columns [j0, j1) of x as pairs of rows: dst [depth/2, dRow
// apart][width][2]bfloat16, where width is 16 or 32. An odd depth ends with zeros. What it leaves in columns j1−j0 to
// width is undefined.
func pairsOfColumns(dst []float32, dRow int, x *operand, k, depth, j0, j1, width int) {
	whole := 0
	if depth >= 2 && x.col == 1 && x.holds((k+depth-1)*x.row+j0+width) {
		whole = depth / 2
		if x.half != nil {
			pairHalfRows(whole, dst, dRow, x.half[k*x.row+j0:], x.row, width)
		} else {
			pairRows(whole, dst, dRow, x.full[k*x.row+j0:], x.row, width)
		}
	}
	if 2*whole < depth {
		restOfColumns(dst[whole*dRow:], dRow, x, k+2*whole, depth-2*whole, j0, j1, width)
	}
}

// restOfColumns is pairsOfColumns for any operand.
func restOfColumns(dst []float32, dRow int, x *operand, k, depth, j0, j1, width int) {
	var block [32*32 + spill]float32
	for r := 0; r < depth; r += 32 {
		n := min(32, depth-r)
		packPanel(block[:], x, k+r, n, j0, j1, width)
		if n%2 != 0 {
			clear(block[n*width:][:width])
		}
		pairRows((n+1)/2, dst[r/2*dRow:], dRow, block[:], width, width)
	}
}

// narrowRows rounds the first 32·steps elements of rows to bfloat16: dst [rows, dRow apart][16·steps][2]bfloat16.
// pairRows rounds width columns, 16 or 32, of 2·pairs rows, and brings those of two rows side by side: dst [pairs, dRow
// apart][width][2]bfloat16. pairHalfRows does it with rows of bfloat16. Strides count elements. These are what they
// mean; instructions for it take their places.
var (
	narrowRows   = narrowRowsGo
	pairRows     = pairRowsGo
	pairHalfRows = pairHalfRowsGo
)

func narrowRowsGo(rows, steps int, dst *float32, dRow int, src *float32, sRow int) {
	for i := range rows {
		narrowGo(unsafe.Slice((*uint16)(pointer(dst, i*dRow)), 32*steps), elements(src, i*sRow, 32*steps))
	}
}

func pairRowsGo(pairs int, dst []float32, dRow int, src []float32, row, width int) {
	for p := range pairs {
		for j := range width {
			low, high := narrowed(src[2*p*row+j]), narrowed(src[(2*p+1)*row+j])
			dst[p*dRow+j] = pairOf(low, high)
		}
	}
}

func pairHalfRowsGo(pairs int, dst []float32, dRow int, src []uint16, row, width int) {
	for p := range pairs {
		for j := range width {
			dst[p*dRow+j] = pairOf(src[2*p*row+j], src[(2*p+1)*row+j])
		}
	}
}

// pairOf is a pair in the place of a float32.
func pairOf(low, high uint16) float32 { return math.Float32frombits(uint32(high)<<16 | uint32(low)) }

// narrowed is x rounded to bfloat16.
func narrowed(x float32) uint16 {
	var half [1]uint16
	narrowGo(half[:], []float32{x})
	return half[0]
}
