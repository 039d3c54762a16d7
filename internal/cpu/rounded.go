package cpu

import (
	"math"
	"math/bits"
	"unsafe"

	"github.com/gollava/gollava/internal/backend"
)

// blockKernels are those of one format.
type blockKernels struct {
	decode func(dst *float32, b *byte, n int) // widens n blocks
	panels                                    // of fewRows rows of B
	row    rowFunc                            // multiplies fewRows rows of B that are not unpacked with one of A, or nil
	wide   *panels                            // of more rows of B, faster with many rows of A, or nil
}

// panels are the kernels that unpack rows of B together, and multiply such a panel with 1, 2 or 4 rows of
// [roundedRows].
type panels struct {
	rows     int
	pack     packFunc
	multiply *[3]panelFunc
	scales   int  // float32s in a panel for every 32 elements of a row
	offset   bool // codes have 128 added, and what that adds to sums is in [roundedRows]
	lines    int  // of 64 bytes that multiply prefetches for every 32 elements; 0: pack does it
}

type (
	packFunc  func(n, stride int, w *byte, codes *int8, scales *float32, ahead int)
	panelFunc func(n int, codes *int8, scales *float32, q *int8, d, s *float32, k int, c *float32, step, more int,
		next uintptr)
	rowFunc func(n, stride int, w *byte, q *int8, d, s, c *float32)
)

// fewRows is the number of rows of B that are multiplied together with few of A.
const fewRows = 8

// panelGrain is the number of rows of B, of k elements and in panels of some, that make a task of a product with m rows
// of A.
func panelGrain(rows, k, m int) int {
	return max(rows, 1<<19/max(k*max(m, 8), 1)&^(rows-1))
}

// evenGrain is panelGrain for n rows of B of which every task reads many panels: a power of two of tasks, at least
// two, of 2²⁰ to 2²¹ multiplications each where panelGrain asks for no more. The last panels of a task read in advance
// what another thread may be at.
func evenGrain(rows, n, k, m int) int {
	tasks := 1 << max(1, bits.Len(uint(n*k*m>>20))-1)
	each := (n + tasks - 1) / tasks
	return max(panelGrain(rows, k, m), (each+rows-1)/rows*rows)
}

// spreadRows is the number of rows of A up to which a panel's rows of B are far apart. Memory limits the speed of
// products with so few, and they have few results that are far apart then, too.
const spreadRows = 2

// panelSize is the number of elements that are unpacked at once, so that a panel stays in the first cache.
const panelSize = 1 << 14

// rounded computes a product with A's rows rounded to eight bits in blocks of 32, as llama.cpp does: sums over a block
// are exact, and those of blocks are added in order. So a row of C depends on its row of A alone.
func (g *gemm) rounded(b *backend.Buffer, kernel *blockKernels, s *scratch) {
	if g.m == 0 || g.n == 0 {
		return
	}
	format := b.DType.Blocks()
	p := panel{panels: &kernel.panels, length: format.Length, block: format.Size,
		bytes: g.k / format.Length * format.Size}
	if g.m <= spreadRows {
		p.one = kernel.row
	} else if kernel.wide != nil {
		p.panels = kernel.wide
	}
	a, raw := g.roundA(p.offset, s), b.Raw()
	if g.n < p.rows { // a panel needs as many
		few := make([]byte, p.rows*p.bytes)
		for i := range p.rows {
			copy(few[i*p.bytes:], raw[min(i, g.n-1)*p.bytes:][:p.bytes])
		}
		raw = few
	}
	if g.m <= spreadRows {
		g.roundedFew(raw, a, p)
	} else {
		g.roundedMany(raw, a, p)
	}
}

// roundedFew is rounded for few rows of A. The rows of B in a panel are about an eighth of B apart, so that memory is
// read at eight places at once, which is up to twice as fast as at one.
func (g *gemm) roundedFew(raw []byte, a *roundedRows, p panel) {
	apart := g.n / fewRows
	for least := max(8, apart-16); apart > least && collides(apart*p.bytes); {
		apart-- // what is left after eight parts is computed by one thread, so it must stay little
	}
	ranges(apart, max(1, panelGrain(fewRows, g.k, g.m)/fewRows), func(from, to int) {
		s := borrow()
		defer s.giveBack()
		p, out := p.with(s), s.take(fewRows*g.m)
		p.stride, p.ahead = apart*p.bytes, 512
		for j := from; j < to; j++ {
			p.compute(raw[j*p.bytes:], a, 0, g.m, out, fewRows)
			for i := range g.m {
				c := g.c[i*g.cRow+j:][:(fewRows-1)*apart+1]
				for r, v := range out[i*fewRows:][:fewRows] {
					at := r * apart
					switch {
					case g.accumulate:
						v += c[at]
					case g.bias != nil:
						v += g.bias[j+at]
					}
					c[at] = v
				}
			}
		}
	})
	s := borrow()
	defer s.giveBack()
	p, out := p.with(s), s.take(fewRows*g.m)
	p.stride = p.bytes
	for j := fewRows * apart; j < g.n; j += fewRows {
		first := max(0, min(j, g.n-fewRows)) // the last panel begins earlier
		p.compute(raw[first*p.bytes:], a, 0, g.m, out, fewRows)
		g.put(fewRows, 0, g.m, j, out, j-first)
	}
	g.finish(0, g.m, 0, g.n)
}

// collides reports whether places that are some bytes apart share sets of the first cache, which are told by an
// address's lower 12 bits.
func collides(apart int) bool {
	d := apart % 4096
	return d < 192 || d > 4096-192
}

// roundedMany is rounded for many rows of A, of which some are multiplied with a panel after another.
func (g *gemm) roundedMany(raw []byte, a *roundedRows, p panel) {
	ranges(g.n, evenGrain(p.rows, g.n, g.k, g.m), func(from, to int) {
		s := borrow()
		defer s.giveBack()
		p, out := p.with(s), s.take(p.rows*g.m)
		const distance = 1 << 13 // bytes, at least, that memory is read in advance, in whole panels
		p.stride, p.ahead = p.bytes, max(1, distance/(p.rows*p.bytes))*p.rows*p.bytes
		const cached = 1 << 18 // bytes of rows of A that stay in the second cache
		step := max(4, cached/g.k&^3)
		for i := 0; i < g.m; i += step {
			rows := min(step, g.m-i)
			for j := from; j < to; j += p.rows {
				first := max(0, min(j, g.n-p.rows)) // the last panel begins earlier
				if first < j || j+p.rows > to || g.accumulate || g.bias != nil {
					p.compute(raw[first*p.bytes:], a, i, rows, out, p.rows)
					g.put(p.rows, i, rows, j, out, j-first)
				} else {
					p.compute(raw[first*p.bytes:], a, i, rows, g.c[i*g.cRow+j:], g.cRow)
				}
			}
			g.finish(i, i+rows, from, to)
		}
	})
}

// panel is memory for rows of B that are unpacked, panelSize elements at a time.
type panel struct {
	*panels
	one           rowFunc // computes products with one row of A, if not nil
	length, block int     // elements and bytes of a block
	bytes, stride int     // of a row, and from row to row
	ahead         int     // bytes that every row is read in advance
	codes         []int8
	factors       []float32
}

// with is p with memory of s.
func (p panel) with(s *scratch) panel {
	p.codes, p.factors = s.int8s(panelSize), s.take(panelSize/p.rows/32*p.scales)
	return p
}

// compute computes the products of the panel at raw with rows of A, and writes those of a row step elements after
// those of the row before.
func (p *panel) compute(raw []byte, a *roundedRows, first, rows int, c []float32, step int) {
	_ = raw[(p.rows-1)*p.stride+p.bytes-1]
	_ = c[(rows-1)*step+p.rows-1]
	if rows == 1 && p.one != nil {
		i := first * a.k
		p.one(a.k/p.length, p.stride, &raw[0], &a.q[i], &a.d[i/32], &a.s[i/32], &c[0])
		return
	}
	blocks, depth := a.k/32, panelSize/p.rows // of a row
	ahead, end := p.ahead, p.ahead+p.rows*p.bytes
	for at := 0; at < a.k; at += depth {
		n := min(depth, a.k-at)
		from := at / p.length * p.block
		p.pack(n/p.length, p.stride, &raw[from], &p.codes[0], &p.factors[0], p.ahead)
		for i := 0; i < rows; {
			m, which := 1, 0
			if left := rows - i; left >= 4 {
				m, which = 4, 2
			} else if left >= 2 {
				m, which = 2, 1
			}
			row := first + i
			scale := row*blocks + at/32
			p.multiply[which](n/32, &p.codes[0], &p.factors[0], &a.q[row*a.k+at], &a.d[scale], &a.s[scale*a.sums], a.k,
				&c[i*step], step, at, uintptr(unsafe.Pointer(&raw[0]))+uintptr(ahead))
			i += m
			if ahead += n / 32 * p.lines * 64; ahead >= end {
				ahead = 0 // what is here already
			}
		}
	}
}

// put writes products of some rows, width each of which the first skip are left out, to columns from j on of C.
func (g *gemm) put(width, i, rows, j int, out []float32, skip int) {
	n := min(width-skip, g.n-j)
	for r := range rows {
		c, x := g.c[(i+r)*g.cRow+j:][:n], out[r*width+skip:][:n]
		switch {
		case g.accumulate:
			for e, v := range x {
				c[e] += v
			}
		case g.bias != nil:
			for e, v := range x {
				c[e] = v + g.bias[j+e]
			}
		default:
			copy(c, x)
		}
	}
}

// roundedRows is a matrix [m, k] rounded as [roundRow] does it.
type roundedRows struct {
	k    int
	q    []int8    // [m, k]
	d    []float32 // [m, k/32]
	s    []float32 // [m, k/32·sums]: d·Σq or, for codes with 128 added, the bits of two int32: −128·Σq of each 16
	sums int
}

// roundA is A rounded, for codes with or without 128 added.
func (g *gemm) roundA(offset bool, s *scratch) *roundedRows {
	blocks, round := g.k/32, roundBlocks
	a := &roundedRows{k: g.k, q: s.int8s(g.m * g.k), d: s.take(g.m * blocks), sums: 1}
	if offset {
		a.sums, round = 2, roundOffset
	}
	a.s = s.take(g.m * blocks * a.sums)
	ranges(g.m, max(1, 1<<12/g.k), func(from, to int) {
		s := borrow()
		defer s.giveBack()
		row := s.take(g.k)
		for i := from; i < to; i++ {
			x := row
			if g.a.half == nil && g.a.col == 1 {
				x = g.a.full[i*g.a.row:][:g.k]
			} else {
				g.a.copyRow32(row, i)
			}
			round(blocks, a.q[i*g.k:], a.d[i*blocks:], a.s[i*blocks*a.sums:], x)
		}
	})
	return a
}

// copyRow32 writes row i of x, float32 or bfloat16, to dst.
func (x *operand) copyRow32(dst []float32, i int) {
	if x.half == nil && x.col == 1 {
		copy(dst, x.full[i*x.row:])
		return
	}
	for j := range dst {
		dst[j] = x.at(i*x.row + j*x.col)
	}
}

// roundRow writes x in blocks of 32: q = round(x/d) with d = max|x|/127, and s = d·Σq. Ties go to even; d up to
// 2⁻¹²⁰ makes zeros. len(x) is a multiple of 32.
func roundRow(q []int8, d, s, x []float32) {
	for i := 0; i < len(x); i += 32 {
		b, out := x[i:i+32], q[i:i+32]
		var m float32
		for _, v := range b {
			m = max(m, v, -v)
		}
		scale, inverse := m/127, float32(0)
		if scale > 0x1p-120 { // the inverse of less is infinite
			inverse = 127 / m
		}
		sum := int32(0)
		for j, v := range b {
			const magic = 3 << 22 // adding it rounds to an integer, to even
			r := int32(math.Float32bits(v*inverse+magic)) - (0x4b400000)
			out[j] = int8(r)
			sum += r
		}
		d[i/32], s[i/32] = scale, scale*float32(sum)
	}
}
