package cpu

import "github.com/gollava/gollava/internal/backend"

// product is one matrix product on slices, for use inside a task: C = A·B, or C += A·B, of M×N elements with inner
// length K. Rows of a matrix are lda, ldb or ldc elements apart. C overlaps neither A nor B.
type product struct {
	A, B, C       []float32
	M, N, K       int
	lda, ldb, ldc int
	AT, BT        bool // A is stored [K, M]; B is stored [N, K]
	Accumulate    bool
}

func (p *product) gemm() gemm {
	g := gemm{m: p.M, n: p.N, k: p.K, a: operand{full: p.A, row: p.lda, col: 1}, b: operand{full: p.B, row: p.ldb, col: 1},
		c: p.C, cRow: p.ldc, accumulate: p.Accumulate}
	if p.AT {
		g.a.row, g.a.col = 1, p.lda
	}
	if p.BT {
		g.b.row, g.b.col = 1, p.ldb
	}
	g.chooseTiler()
	return g
}

// gemm is one matrix product in progress: c = act(a·b + bias), or c += a·b.
//
// C is computed in blocks; every element is, in every block of depth rows of B, one chain of multiply-adds in order of
// k, and the blocks' sums are added in order of k: the result does not depend on how rows and columns are cut.
type gemm struct {
	*tiler
	m, n, k    int
	depth      int     // inner length of a block
	a, b       operand // [m, k], [k, n]
	c          []float32
	cRow       int
	accumulate bool
	half       bool      // float32 operands are to be rounded to bfloat16
	bias       []float32 // [n] or nil
	pre        []float32 // laid out as c, or nil
	act        backend.Unary
}

// region computes rows [i0, i1) and columns [j0, j1) of C on the calling goroutine.
func (g *gemm) region(i0, i1, j0, j1 int, s *scratch) {
	mark := s.used
	direct := g.direct(j1 - j0)
	for j := j0; j < j1; j += g.width {
		end := min(j1, j+g.width)
		for k := 0; k == 0 || k < g.k; k += g.depth {
			depth := min(g.depth, g.k-k)
			panels := s.take(g.panels(end-j) * g.panel(depth))
			g.packB(panels, k, depth, j, end, 0, g.panels(end-j))
			packed := s.take(g.sizeA(min(g.height, i1-i0), depth))
			for i := i0; i < i1; i += g.height {
				var a tilesOfA
				if bottom := min(i1, i+g.height); direct {
					a = g.tilesInPlace(i, bottom, k)
				} else {
					a = g.packA(packed, i, bottom, k, depth)
				}
				g.block(&a, j, end, k, depth, panels)
			}
			s.used = mark
		}
	}
}

// panels is the number of panels that n columns make.
func (t *tiler) panels(n int) int { return (n + t.cols - 1) / t.cols }

// panel is the size of a packed panel of depth rows.
func (t *tiler) panel(depth int) int {
	switch {
	case t.split():
		return steps(depth) * t.stepB(t.cols)
	case t.pairs:
		depth = (depth + 1) / 2
	}
	return depth * t.cols
}

// packB writes the panels from to to of columns [j0, j1) and rows [k, k+depth) of B.
func (g *gemm) packB(panels []float32, k, depth, j0, j1, from, to int) {
	switch {
	case g.split():
		g.splitB(panels, k, depth, j0, j1, from, to)
		return
	case g.pairs:
		g.pairsB(panels, k, depth, j0, j1, from, to)
		return
	}
	step := packRows(&g.b, depth)
	for r := 0; r < depth; r += step {
		for p := from; p < to; p++ {
			j := j0 + p*g.cols
			packPanel(panels[(p*depth+r)*g.cols:], &g.b, k+r, min(step, depth-r), j, min(j1, j+g.cols), g.cols)
		}
	}
}

// packRows is how many of depth rows to pack at once before going on to the next panel: of a matrix whose rows lie next
// to each other few, since a panel takes only a cache line of each row, and each row may be on another page.
func packRows(x *operand, depth int) int {
	if x.col == 1 {
		return min(depth, 16)
	}
	return depth
}

// tilesOfA is a block of A as the tile kernels read it: rows [from, to).
type tilesOfA struct {
	full     []float32
	row, col int     // elements from one row, or column, of a tile to the next
	from, to int     //
	bands    [3]band //
	tile     [3]int  // elements from one tile to the next, in each band
}

// directA is the number of columns of C up to which packing a row-major A costs more than it saves.
const directA = 256

// direct reports whether tiles are to read A in place, if C has cols columns.
func (g *gemm) direct(cols int) bool {
	return !g.split() && !g.pairs && g.a.half == nil && (g.a.col == 1 && cols <= directA || cols <= g.cols) &&
		!(g.collides() && g.rows > ways)
}

// collides reports whether the rows of A, read in place side by side, fall into the same set of the first-level cache,
// which holds as many lines as it has ways: tiles of more rows would evict lines before they are used up.
func (g *gemm) collides() bool { return g.a.col == 1 && g.a.row%1024 == 0 }

const ways = 8

func (g *gemm) chooseTiler() {
	g.tiler = activeTiler().forColumns(g.n)
	if g.collides() && g.n <= directA {
		g.tiler = g.low()
	}
	g.depth = g.deepest
}

// tilesInPlace is rows [from, to) of A from column k on.
func (g *gemm) tilesInPlace(from, to, k int) tilesOfA {
	t := tilesOfA{row: g.a.row, col: g.a.col, from: from, to: to, bands: g.bands(to - from)}
	if first := from*g.a.row + k*g.a.col; first < len(g.a.full) {
		t.full = g.a.full[first:]
	}
	for n, band := range t.bands {
		t.tile[n] = band.rows * g.a.row
	}
	return t
}

// sizeA is the number of elements that packA needs for a block of rows.
func (t *tiler) sizeA(rows, depth int) int {
	return (rows + t.rows - 1) / t.rows * t.sizeTile(t.rows, depth)
}

// sizeTile is the same for a tile of rows.
func (t *tiler) sizeTile(rows, depth int) int {
	switch {
	case t.split():
		return steps(depth) * t.stepA(rows)
	case t.pairs:
		return 16 * ((depth+1)/2 + 16) // of tiles of 16 columns, or of rows of which each is followed by a gap
	}
	return t.rows*depth + spill
}

// packA writes rows [from, to) and columns [k, k+depth) of A, tile by tile as [depth, rows].
func (g *gemm) packA(packed []float32, from, to, k, depth int) tilesOfA {
	t := tilesOfA{full: packed, row: 1, col: g.rows, from: from, to: to, bands: g.bands(to - from)}
	for n, band := range t.bands {
		t.tile[n] = g.sizeTile(band.rows, depth)
	}
	switch {
	case g.split():
		g.splitA(&t, k, depth)
		return t
	case g.pairs:
		g.pairsA(&t, k, depth)
		return t
	}
	columns := operand{full: g.a.full, half: g.a.half, row: g.a.col, col: g.a.row}
	step := packRows(&columns, depth)
	for r := 0; r < depth; r += step {
		i, at := from, r*g.rows
		for n, band := range t.bands {
			for range band.tiles {
				packPanel(packed[at:], &columns, k+r, min(step, depth-r), i, i+band.rows, g.rows)
				i, at = i+band.rows, at+t.tile[n]
			}
		}
	}
	return t
}

// block adds the products of a, columns [k, k+depth) of A, and the packed panels of B to columns [j0, j1) of C, and
// completes them if these are the last columns of A.
func (g *gemm) block(a *tilesOfA, j0, j1, k, depth int, panels []float32) {
	inner := depth
	if g.pairs {
		inner = (depth + 1) / 2
	}
	for j := j0; j < j1; j += g.cols {
		cols := min(g.cols, j1-j)
		tile := g.forColumns(cols).tile
		b := at(panels, (j-j0)/g.cols*g.panel(depth))
		i, from := a.from, 0
		for n, band := range a.bands {
			if band.tiles == 0 {
				continue
			}
			c := at(g.c, i*g.cRow+j)
			d, dRow := c, g.cRow
			if k == 0 && !g.accumulate {
				d, dRow = nil, 0
				if g.bias != nil {
					d = at(g.bias, j)
				}
			}
			tile[band.rows-1](band.tiles, inner, at(a.full, from), a.tile[n], a.row, a.col, b, g.cols, d, dRow, c, g.cRow, cols)
			i += band.tiles * band.rows
			from += band.tiles * a.tile[n]
		}
	}
	if k+depth == g.k {
		g.finish(a.from, a.to, j0, j1)
	}
}

// at is the address of x[i], or nil if there is no such element.
func at(x []float32, i int) *float32 {
	if i < len(x) {
		return &x[i]
	}
	return nil
}

// finish applies the activation to rows [i0, i1) and columns [j0, j1) of C.
func (g *gemm) finish(i0, i1, j0, j1 int) {
	if g.pre == nil && g.act == backend.Identity {
		return
	}
	for i := i0; i < i1; i++ {
		c := g.c[i*g.cRow+j0 : i*g.cRow+j1]
		if g.pre != nil {
			copy(g.pre[i*g.cRow+j0:i*g.cRow+j1], c)
		}
		if g.act != backend.Identity {
			activate(g.act, c)
		}
	}
}
