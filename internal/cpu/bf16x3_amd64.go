//go:build amd64 && !purego

package cpu

// blocksFunc multiplies blocks of parts; see blocks32x32Parts33AMX.
type blocksFunc func(shapes *[64]byte, tiles, steps int, a *float32, aTile int, b *float32, d *float32, dRow int,
	c *float32, cRow int)

// bf16x3Tilers are the tilers of the matrix unit, by whether A and B have one part or three.
var bf16x3Tilers = [2][2]tiler{
	{
		bf16x3Tiler(1, 1, [2][2]blocksFunc{{blocks16x16Parts11AMX, blocks16x32Parts11AMX},
			{blocks32x16Parts11AMX, blocks32x32Parts11AMX}}),
		bf16x3Tiler(1, 3, [2][2]blocksFunc{{blocks16x16Parts13AMX, blocks16x32Parts13AMX},
			{blocks32x16Parts13AMX, blocks32x32Parts13AMX}}),
	},
	{
		bf16x3Tiler(3, 1, [2][2]blocksFunc{{blocks16x16Parts31AMX, blocks16x32Parts31AMX},
			{blocks32x16Parts31AMX, blocks32x32Parts31AMX}}),
		bf16x3Tiler(3, 3, [2][2]blocksFunc{{blocks16x16Parts33AMX, blocks16x32Parts33AMX},
			{blocks32x16Parts33AMX, blocks32x32Parts33AMX}}),
	},
}

// bf16x3Tiler is the tiler of the kernels of 16 and 32 rows by 16 and 32 columns.
func bf16x3Tiler(partsA, partsB int, blocks [2][2]blocksFunc) tiler {
	wide := tiler{rows: 32, cols: 32, deepest: 3840 / (partsA + partsB), height: 256, width: 2048,
		parts: [2]int{partsA, partsB}}
	narrow := wide
	narrow.cols = 16
	for rows := 1; rows <= wide.rows; rows++ {
		tall := blocks[(rows-1)/16]
		narrow.tile = append(narrow.tile, bf16x3Tile(rows, tall[0]))
		wide.tile = append(wide.tile, bf16x3Tile(rows, tall[1]))
	}
	wide.narrow = &narrow
	return wide
}

func bf16x3Tile(rows int, blocks blocksFunc) tileFunc {
	return func(tiles, k int, a *float32, aTile, _, _ int, b *float32, _ int, d *float32, dRow int, c *float32, cRow,
		cols int) {
		blocks(&tileShapes[rows-1][cols-1], tiles, steps(k), a, aTile, b, d, dRow, c, cRow)
	}
}

// tileShapes[m-1][n-1] is what LDTILECFG takes for blocks of m rows and n columns of C: tiles 0 to 3 are C's, 4 and 5
// A's, 6 and 7 B's.
var tileShapes = func() (all [32][32][64]byte) {
	for i := range all {
		for j := range all[i] {
			s := &all[i][j]
			s[0] = 1 // the palette
			shape := func(tile, rows, bytes int) {
				s[16+2*tile] = byte(bytes) // rows of so many bytes
				s[48+tile] = byte(rows)
			}
			for down := range i/16 + 1 {
				rows := min(16, i+1-16*down)
				shape(4+down, rows, 64)
				for across := range j/16 + 1 {
					bytes := 4 * min(16, j+1-16*across)
					shape(2*down+across, rows, bytes)
					shape(6+across, 16, bytes)
				}
			}
		}
	}
	return all
}()

// chooseUnit decides which instructions multiply, and rounds operands first that are to be rounded, unless these do it.
func (g *gemm) chooseUnit(s *scratch, spread bool) {
	switch {
	case g.decodes():
		g.halve(s, spread)
	case !g.usePairs():
		g.halve(s, spread)
		g.useAMX()
	}
}

// useAMX turns a product that is large enough to be worth splitting into one for the matrix unit, where there is
// one: between the small products of a small model its use costs more than it gains, as if the processor had to
// change gear.
func (g *gemm) useAMX() {
	least := 32
	if g.a.row == 1 { // splitting is slower against the order of memory
		least = 128
	}
	if active < amx || g.k < bf16x3Step || g.m < least || g.n < least/2 || min(g.n*g.k, g.m*g.n) < worthBF16x3 {
		return
	}
	three := func(x *operand) int {
		if x.half != nil {
			return 0
		}
		return 1
	}
	t := &bf16x3Tilers[three(&g.a)][three(&g.b)]
	g.tiler = t.forColumns(g.n)
	blocks := (g.k + g.deepest - 1) / g.deepest
	g.depth = steps((g.k+blocks-1)/blocks) * bf16x3Step
}

// worthBF16x3 is the size of B, and of C, from which on the matrix unit is used. Only tests change it.
var worthBF16x3 = 1 << 16

// splitRows splits rows of 32 elements, row apart, into parts, which lie part apart.
func splitRows(rows int, dst []float32, part int, src []float32, row, parts int) {
	if parts == 1 {
		splitRows1AMX(rows, &dst[0], part, &src[0], row)
	} else {
		splitRows3AMX(rows, &dst[0], part, &src[0], row)
	}
}

// splitPairs splits 32 rows of width elements, row apart, into parts of pairs.
func splitPairs(dst, src []float32, row, width, parts int) {
	switch {
	case parts == 1 && width == 16:
		splitPairs1x16AMX(&dst[0], &src[0], row)
	case parts == 1:
		splitPairs1x32AMX(&dst[0], &src[0], row)
	case width == 16:
		splitPairs3x16AMX(&dst[0], &src[0], row)
	default:
		splitPairs3x32AMX(&dst[0], &src[0], row)
	}
}

// amxRight reports whether the matrix unit's kernels for float32 compute right products of integers of 17 bits,
// which have three parts, and −1 and 0: their sums are exact. [selfTest] asks for it once, when the program starts.
func amxRight() bool {
	const m, n, k = 33, 17, 40
	var x [m * k]float32
	var y [n * k]float32
	var c [m * n]float32
	s := borrow()
	defer s.giveBack()
	for large := range 2 {
		for i := range x {
			x[i] = float32(i*i*7919%(1<<(1+16*(1-large))) - 1)
		}
		for i := range y {
			y[i] = float32(i*i*6271%(1<<(1+16*large)) - 1)
		}
		g := gemm{tiler: &bf16x3Tilers[1][1], depth: bf16x3Step, m: m, n: n, k: k, a: operand{full: x[:], row: k, col: 1},
			b: operand{full: y[:], row: 1, col: k}, c: c[:], cRow: n}
		g.region(0, m, 0, n, s)
		for i := range m {
			for j := range n {
				want := float32(0)
				for p := range k {
					want += x[i*k+p] * y[j*k+p]
				}
				if c[i*n+j] != want {
					return false
				}
			}
		}
	}
	return true
}
