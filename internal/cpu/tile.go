package cpu

import "sync"

// tileFunc computes blocks of a fixed number of rows by up to a fixed number of columns of C; tile1x4 states what it
// means.
type tileFunc func(tiles, k int, a *float32, aTile, aRow, aCol int, b *float32, bRow int, d *float32, dRow int,
	c *float32, cRow, cols int)

// tiler is the tile kernels of one level and the block sizes that suit its caches.
type tiler struct {
	rows, cols int        // of the largest tile
	tile       []tileFunc // tile[m-1] has m rows
	deepest    int        // inner length of a block: deepest×cols of B in the first-level cache
	height     int        // rows of a block: height×depth of A in the second-level cache
	width      int        // columns of a block: depth×width of B in the third-level cache
	narrow     *tiler     // with at least as many rows and half as many columns, or nil
	// whether an element of A and B is a pair of bfloat16, and deepest and a tile's k count pairs: see pairs.go
	pairs bool
	// bfloat16 into which an element of A, and of B, is split for the matrix unit; 0 where both are packed as float32
	parts [2]int
}

// forColumns is the tiler for products with n columns.
func (t *tiler) forColumns(n int) *tiler {
	if t.narrow != nil && n <= t.narrow.cols {
		return t.narrow
	}
	return t
}

var genericTiler = tiler{rows: 4, cols: 4,
	tile: []tileFunc{tileGeneric(1), tileGeneric(2), tileGeneric(3), tileGeneric(4)}, deepest: 256, height: 64,
	width: 1024}

// low is the tiler whose tiles have no more rows than a cache has ways.
func (t *tiler) low() *tiler {
	if t.rows <= ways {
		return t
	}
	if l, ok := lowTilers.Load(t); ok {
		return l.(*tiler)
	}
	l := *t
	l.rows, l.tile = ways, t.tile[:ways]
	if t.narrow != nil {
		l.narrow = t.narrow.low()
	}
	lowTilers.Store(t, &l)
	return &l
}

// lowTilers keeps what low returns.
var lowTilers sync.Map

// bands cuts m rows into tiles, as equal in height as is cheap: a number of tallest ones, and up to two that share what
// is left.
func (t *tiler) bands(m int) [3]band {
	full, rest := m/t.rows, m%t.rows
	if rest > 0 && rest <= t.rows/2 && full > 0 {
		full, rest = full-1, rest+t.rows
	}
	if rest > t.rows {
		return [3]band{{t.rows, full}, {(rest + 1) / 2, 1}, {rest / 2, 1}}
	}
	return [3]band{{t.rows, full}, {rest, min(rest, 1)}, {}}
}

// band is a number of tiles of equal height.
type band struct{ rows, tiles int }

// tileGeneric is the kernel of m rows and 4 columns in plain Go.
func tileGeneric(m int) tileFunc {
	return func(tiles, k int, a *float32, aTile, aRow, aCol int, b *float32, bRow int, d *float32, dRow int, c *float32,
		cRow, cols int) {
		for t := range tiles {
			for i := range m {
				var s0, s1, s2, s3 float32
				o := t*aTile + i*aRow
				for p := range k {
					x, y := *index(a, o+p*aCol), (*[4]float32)(pointer(b, p*bRow))
					s0 += x * y[0]
					s1 += x * y[1]
					s2 += x * y[2]
					s3 += x * y[3]
				}
				for j, s := range [4]float32{s0, s1, s2, s3} {
					if j < cols && d != nil {
						s += *index(d, (t*m+i)*dRow+j)
					}
					if j < cols {
						*index(c, (t*m+i)*cRow+j) = s
					}
				}
			}
		}
	}
}
