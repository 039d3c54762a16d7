package cpu

import "github.com/gollava/gollava/internal/backend"

// product is one matrix product on slices, for use inside a task: C = A·B, or C += A·B, of M×N elements with inner length K.
// Rows of a matrix are lda, ldb or ldc elements apart. C overlaps neither A nor B.
type product struct {
	A, B, C       []float32
	M, N, K       int
	lda, ldb, ldc int
	AT, BT        bool // A is stored [K, M]; B is stored [N, K]
	Accumulate    bool
}

// run computes p on the calling goroutine. It allocates nothing, once s has grown to the size it needs.
func (p *product) run(s *scratch) {
	g := gemm{tiler: activeTiler(), m: p.M, n: p.N, k: p.K, a: operand{full: p.A, row: p.lda, col: 1}, b: operand{full: p.B, row: p.ldb, col: 1},
		c: p.C, cRow: p.ldc, accumulate: p.Accumulate}
	if p.AT {
		g.a.row, g.a.col = 1, p.lda
	}
	if p.BT {
		g.b.row, g.b.col = 1, p.ldb
	}
	g.region(0, p.M, 0, p.N, s)
}

// gemm is one matrix product in progress: c = act(a·b + bias), or c += a·b.
//
// C is computed in blocks; every element is, in every block of depth rows of B, one chain of multiply-adds in order of k, and the blocks'
// sums are added in order of k: the result does not depend on how rows and columns are cut.
type gemm struct {
	*tiler
	m, n, k    int
	a, b       operand // [m, k], [k, n]
	c          []float32
	cRow       int
	accumulate bool
	bias       []float32 // [n] or nil
	pre        []float32 // laid out as c, or nil
	act        backend.Unary
}

// region computes rows [i0, i1) and columns [j0, j1) of C.
func (g *gemm) region(i0, i1, j0, j1 int, s *scratch) {
	mark := s.used
	for j := j0; j < j1; j += g.width {
		end := min(j1, j+g.width)
		for k := 0; k == 0 || k < g.k; k += g.depth {
			depth := min(g.depth, g.k-k)
			panels := s.take(depth * g.panels(end-j) * g.cols)
			g.pack(panels, k, depth, j, end, 0, g.panels(end-j))
			for i := i0; i < i1; i += g.height {
				g.block(i, min(i1, i+g.height), j, end, k, depth, panels, s)
			}
			s.used = mark
		}
	}
}

// panels is the number of panels that n columns make.
func (t *tiler) panels(n int) int { return (n + t.cols - 1) / t.cols }

// pack writes the panels from to to of columns [j0, j1) and rows [k, k+depth) of B.
func (g *gemm) pack(panels []float32, k, depth, j0, j1, from, to int) {
	for p := from; p < to; p++ {
		j := j0 + p*g.cols
		packPanel(panels[p*depth*g.cols:][:depth*g.cols], &g.b, k, depth, j, min(j1, j+g.cols), g.cols)
	}
}

// block adds the products of columns [k, k+depth) of A and the packed panels of B to rows [i0, i1) and columns [j0, j1) of C, and
// completes them if these are the last columns.
func (g *gemm) block(i0, i1, j0, j1, k, depth int, panels []float32, s *scratch) {
	mark := s.used
	bands := g.bands(i1 - i0)
	a := g.packA(i0, i1, k, depth, j1-j0, &bands, s)
	for j := j0; j < j1; j += g.cols {
		cols := min(g.cols, j1-j)
		b := panels[(j-j0)*depth:]
		i, from := i0, 0
		for n, band := range bands {
			if band.tiles == 0 {
				continue
			}
			c, cRow := at(g.c, i*g.cRow+j), g.cRow
			d, dRow := c, cRow
			if k == 0 && !g.accumulate {
				d, dRow = nil, 0
				if g.bias != nil {
					d = at(g.bias, j)
				}
			}
			g.tile[band.rows-1](band.tiles, depth, at(a.full, from), a.tile[n], a.row, a.col, at(b, 0), g.cols, d, dRow, c, cRow, cols)
			i += band.tiles * band.rows
			from += band.tiles * a.tile[n]
		}
	}
	s.used = mark
	if k+depth == g.k {
		g.finish(i0, i1, j0, j1)
	}
}

// at is the address of x[i], or nil if there is no such element.
func at(x []float32, i int) *float32 {
	if i < len(x) {
		return &x[i]
	}
	return nil
}

// tilesOfA is a block of A as the tile kernels read it.
type tilesOfA struct {
	operand
	tile [3]int // elements from one tile to the next, in each band
}

// packA makes rows [i0, i1) and columns [k, k+depth) of A readable for tiles: in place where that is fast, else copied to scratch.
func (g *gemm) packA(i0, i1, k, depth, cols int, bands *[3]band, s *scratch) (t tilesOfA) {
	if g.a.half == nil && (g.a.col == 1 && cols < 128 || cols <= 32) {
		t.operand = g.a
		if first := i0*g.a.row + k*g.a.col; first < len(g.a.full) {
			t.full = g.a.full[first:]
		}
		for n, band := range bands {
			t.tile[n] = band.rows * g.a.row
		}
		return t
	}
	if g.a.col == 1 {
		const line = 16
		t.row, t.col = (depth+line-1)/line*line+line, 1 // rows of different sets of the cache
		t.full = s.take((i1 - i0) * t.row)
		for i := i0; i < i1; i++ {
			g.a.copyRow(t.full[(i-i0)*t.row:][:depth], i*g.a.row+k)
		}
		for n, band := range bands {
			t.tile[n] = band.rows * t.row
		}
		return t
	}
	// A is stored by columns: tile by tile, [depth, rows].
	t.row, t.col = 1, g.rows
	t.full = s.take((i1-i0+3*g.rows)*depth + 16) // strips may end in zeros that nobody reads
	columns := operand{full: g.a.full, half: g.a.half, row: g.a.col, col: 1}
	i, to := i0, t.full
	for n, band := range bands {
		t.tile[n] = g.rows * depth
		for range band.tiles {
			if !copyStrip(depth, to, g.rows, &columns, i+k*g.a.col, band.rows, g.rows) {
				for p := range depth {
					g.a.copyRow(to[p*g.rows:][:band.rows], i+(k+p)*g.a.col)
				}
			}
			i, to = i+band.rows, to[t.tile[n]:]
		}
	}
	return t
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
