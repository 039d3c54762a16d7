//go:build (amd64 || arm64) && !purego

package cpu

import "github.com/gollava/gollava/internal/backend"

type (
	dotsFunc     func(n, k int, a *float32, aRow int, b *float32, bRow, bFar int, c *float32, cRow, cFar int)
	dotsHalfFunc func(n, k int, a *float32, aRow int, b *uint16, bRow, bFar int, c *float32, cRow, cFar int)
	updateFunc   func(n, k int, a *float32, aRow, aCol int, b *float32, bRow int, c *float32, cRow int)
)

// skinnyKernels are those for products with few rows, of one level: entry m−1 is for m rows.
type skinnyKernels struct {
	floats    int // in a register
	dots      [3]dotsFunc
	dotsHalf  [3]dotsHalfFunc
	dots8     dotsFunc // of one vector with eight rows, so that as many sums are in flight
	dotsHalf8 dotsHalfFunc
	update    [3]updateFunc
	step      [3]int // rows of B that update takes at once
}

// skinnyRows is the number of rows up to which packing B costs more than it saves. A small B is packed, and read again,
// in no time.
func skinnyRows(b *operand, elements int) int {
	switch large := elements >= 1<<16; {
	case b.row == 1:
		return backend.DecodeRows // of which each is to be as if it were alone
	case b.half != nil:
		return 0
	case large:
		return 12
	}
	return 4
}

// isSkinny reports whether the product is to be computed without packing B, as one of few rows.
func (g *gemm) isSkinny() bool {
	if active == generic || g.tiler != nil && g.pairs || g.m > skinnyRows(&g.b, g.n*g.k) {
		return false
	}
	if g.b.row == 1 {
		return g.k >= g.dotStep()
	}
	return g.n >= skinnies[vectorLevel()].floats
}

// dotStep is the number of terms that dots adds at once: a register of B.
func (g *gemm) dotStep() int {
	if g.b.half != nil {
		return 2 * skinnies[vectorLevel()].floats
	}
	return skinnies[vectorLevel()].floats
}

// rowsOfA is A as float32 rows of k elements, in scratch if it is not stored so. For a B of bfloat16 every register's
// worth of whole ones has the elements at even places first, as dots wants them.
func (g *gemm) rowsOfA(s *scratch) []float32 {
	if g.a.half == nil && g.a.col == 1 && g.a.row == g.k && g.b.half == nil {
		return g.a.full
	}
	a := s.take(g.m * g.k)
	paired, floats := 0, skinnies[vectorLevel()].floats
	if g.b.half != nil {
		paired = g.k / g.dotStep() * g.dotStep()
	}
	for i := range g.m {
		x, row := a[i*g.k:][:g.k], i*g.a.row
		for p := 0; p < paired; p += 2 * floats {
			even, odd := x[p:][:floats], x[p+floats:][:floats]
			for e := range even {
				at := row + (p+2*e)*g.a.col
				even[e], odd[e] = g.a.at(at), g.a.at(at+g.a.col)
			}
		}
		for p := paired; p < g.k; p++ {
			x[p] = g.a.at(row + p*g.a.col)
		}
	}
	return a
}

// skinnyPart computes columns [from, to) of C, given A as rowsOfA returns it.
func (g *gemm) skinnyPart(a []float32, from, to int, s *scratch) {
	mark := s.used
	if g.b.row == 1 {
		g.dots(skinnies[vectorLevel()], a, from, to, s)
	} else {
		g.update(skinnies[vectorLevel()], a, from, to, s)
	}
	s.used = mark
	g.finish(0, g.m, from, to)
}

// skinny computes a product of few rows with tasks for several processors.
func (g *gemm) skinny(s *scratch) {
	a := g.rowsOfA(s)
	elements := max(1<<16, min(1<<18, g.n*g.k/16)) // of B in a task: the fewer tasks, the longer its streams
	grain := max(8, elements/max(g.k, 1)&^7)
	if g.b.row != 1 {
		grain = max(512, min(g.n/4, 2048)&^15, elements/max(g.k, 1)&^15)
	}
	tasks := max(1, g.n/grain) // the last is the widest: none is narrower than a register
	parallel(tasks, func(i int) {
		s := borrow()
		defer s.giveBack()
		to := g.n
		if i < tasks-1 {
			to = (i + 1) * grain
		}
		g.skinnyPart(a, i*grain, to, s)
	})
}

// dots computes columns [from, to) of C = A·Bᵀ.
func (g *gemm) dots(t *skinnyKernels, a []float32, from, to int, s *scratch) {
	c, cRow, n := g.c[from:], g.cRow, to-from
	if g.accumulate {
		c, cRow = s.take(g.m*n), n
	}
	sum := s.take(3 * 4)
	k := g.k / g.dotStep() * g.dotStep()
	const rows = 4 // of each part of B, which stay in cache for all rows of A
	parts := 4
	if g.m == 1 {
		parts = 8
	}
	part := n / parts
	for j := 0; j < part; j += rows {
		for i := 0; i < g.m; i += 3 {
			t.call(min(3, g.m-i), parts, min(rows, part-j), k, &a[i*g.k], g.k, &g.b, (from+j)*g.b.col, part*g.b.col,
				&c[i*cRow+j], cRow, part)
		}
	}
	for j := parts * part; j < n; j++ { // the same row, four times
		for i := 0; i < g.m; i += 3 {
			m := min(3, g.m-i)
			t.call(m, 4, 1, k, &a[i*g.k], g.k, &g.b, (from+j)*g.b.col, 0, &sum[0], 4, 1)
			for r := range m {
				c[(i+r)*cRow+j] = sum[4*r]
			}
		}
	}
	for i := range g.m {
		row := c[i*cRow:][:n]
		if k < g.k {
			for j := range row {
				for p := k; p < g.k; p++ {
					row[j] += a[i*g.k+p] * g.b.at((from+j)*g.b.col+p)
				}
			}
		}
		add, into := row, g.c[i*g.cRow+from:][:n]
		if !g.accumulate {
			if g.bias == nil {
				continue
			}
			add = g.bias[from:to]
		}
		for j, v := range add {
			into[j] += v
		}
	}
}

// call multiplies m vectors with n rows from element at of b on, and with as many in each of the other parts, bFar
// elements apart.
func (t *skinnyKernels) call(m, parts, n, k int, a *float32, aRow int, b *operand, at, bFar int, c *float32, cRow,
	cFar int) {
	switch {
	case b.half == nil && parts == 8:
		t.dots8(n, k, a, aRow, &b.full[at], b.col, bFar, c, cRow, cFar)
	case b.half == nil:
		t.dots[m-1](n, k, a, aRow, &b.full[at], b.col, bFar, c, cRow, cFar)
	case parts == 8:
		t.dotsHalf8(n, k, a, aRow, &b.half[at], b.col, bFar, c, cRow, cFar)
	default:
		t.dotsHalf[m-1](n, k, a, aRow, &b.half[at], b.col, bFar, c, cRow, cFar)
	}
}

// update computes columns [from, to) of C = A·B, a register or more, adding one row of B after another.
func (g *gemm) update(t *skinnyKernels, a []float32, from, to int, s *scratch) {
	n := to - from
	whole := n / t.floats * t.floats
	// The columns of an incomplete register are computed beside C, in one that begins earlier.
	edge, last := to-t.floats, s.take(g.m*t.floats)
	for i := range g.m {
		row := g.c[i*g.cRow+from:][:n]
		if !g.accumulate {
			clear(row)
			copy(row, g.bias[min(from, len(g.bias)):])
		}
		copy(last[i*t.floats:][:t.floats], row[n-t.floats:])
	}
	const columns, rows = 2048, 16 // a block of B that stays in cache for all rows of A
	for p := 0; p < g.k; p += rows {
		depth := min(rows, g.k-p)
		for i := 0; i < g.m; i += 3 {
			m := min(3, g.m-i)
			d := depth / t.step[m-1] * t.step[m-1]
			b := g.b.full[p*g.b.row:]
			for j := 0; j < whole && d > 0; j += columns {
				t.update[m-1](min(columns, whole-j), d, &a[i*g.k+p], g.k, 1, &b[from+j], g.b.row, &g.c[i*g.cRow+from+j], g.cRow)
			}
			if whole < n && d > 0 {
				t.update[m-1](t.floats, d, &a[i*g.k+p], g.k, 1, &b[edge], g.b.row, &last[i*t.floats], t.floats)
			}
			for q := d; q < depth; q++ {
				b := b[q*g.b.row:][:to]
				for r := i; r < i+m; r++ {
					x := a[r*g.k+p+q]
					axpy(g.c[r*g.cRow+from:][:whole], x, b[from:])
					axpy(last[r*t.floats:][:t.floats], x, b[edge:])
				}
			}
		}
	}
	for i := range g.m {
		copy(g.c[i*g.cRow+from+whole:i*g.cRow+to], last[i*t.floats+t.floats-(n-whole):])
	}
}

// axpy adds x·b to c.
func axpy(c []float32, x float32, b []float32) {
	for j, v := range b[:len(c)] {
		c[j] += x * v
	}
}
