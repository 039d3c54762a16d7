package cpu

import (
	"math"

	"github.com/gollava/gollava/internal/backend"
)

// panelRows is the number of rows of B that are unpacked together.
const panelRows = 8

// panelGrain is the number of rows of B, of k elements, that make a task of a product with m rows of A.
func panelGrain(k, m int) int {
	return max(panelRows, 1<<19/max(k*max(m, 8), 1)&^(panelRows-1))
}

// spreadRows is the number of rows of A up to which a panel's rows of B are far apart. Memory limits the speed of
// products with so few, and they have few results that are far apart then, too.
const spreadRows = 2

// panelDepth is the number of elements of each row that are unpacked at once, so that a panel stays in the first cache.
const panelDepth = 2048

// rounded computes a product with A's rows rounded to eight bits in blocks of 32, as llama.cpp does: sums over a block
// are exact, and those of blocks are added in order. So a row of C depends on its row of A alone.
func (g *gemm) rounded(b *backend.Buffer, kernel *blockKernels, s *scratch) {
	if g.m == 0 || g.n == 0 {
		return
	}
	a, format := g.roundA(s), b.DType.Blocks()
	p := panel{kernel: kernel, length: format.Length, block: format.Size, row: g.k / format.Length * format.Size}
	raw := b.Raw()
	if g.n < panelRows { // a panel needs as many
		few := make([]byte, panelRows*p.row)
		for i := range panelRows {
			copy(few[i*p.row:], raw[min(i, g.n-1)*p.row:][:p.row])
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
	apart := g.n / panelRows
	for least := max(8, apart-16); apart > least && collides(apart*p.row); {
		apart-- // what is left after eight parts is computed by one thread, so it must stay little
	}
	ranges(apart, max(1, panelGrain(g.k, g.m)/panelRows), func(from, to int) {
		s := borrow()
		defer s.giveBack()
		p, out := p.with(s), s.take(panelRows*g.m)
		p.stride, p.ahead = apart*p.row, 512
		for j := from; j < to; j++ {
			p.multiply(raw[j*p.row:], a, 0, g.m, out, panelRows)
			for i := range g.m {
				c := g.c[i*g.cRow+j:][:(panelRows-1)*apart+1]
				for r, v := range out[i*panelRows:][:panelRows] {
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
	p, out := p.with(s), s.take(panelRows*g.m)
	p.stride = p.row
	for j := panelRows * apart; j < g.n; j += panelRows {
		first := max(0, min(j, g.n-panelRows)) // the last panel begins earlier
		p.multiply(raw[first*p.row:], a, 0, g.m, out, panelRows)
		g.put(0, g.m, j, out, j-first)
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
	ranges(g.n, panelGrain(g.k, g.m), func(from, to int) {
		s := borrow()
		defer s.giveBack()
		p, out := p.with(s), s.take(panelRows*g.m)
		const distance = 1 << 13 // bytes, at least, that memory is read in advance, in whole panels
		p.stride, p.ahead = p.row, max(1, distance/(panelRows*p.row))*panelRows*p.row
		const cached = 1 << 18 // bytes of rows of A that stay in the second cache
		step := max(4, cached/g.k&^3)
		for i := 0; i < g.m; i += step {
			rows := min(step, g.m-i)
			for j := from; j < to; j += panelRows {
				first := max(0, min(j, g.n-panelRows)) // the last panel begins earlier
				if first < j || j+panelRows > to || g.accumulate || g.bias != nil {
					p.multiply(raw[first*p.row:], a, i, rows, out, panelRows)
					g.put(i, rows, j, out, j-first)
				} else {
					p.multiply(raw[first*p.row:], a, i, rows, g.c[i*g.cRow+j:], g.cRow)
				}
			}
			g.finish(i, i+rows, from, to)
		}
	})
}

// panel is memory for rows of B that are unpacked, panelDepth elements at a time.
type panel struct {
	kernel        *blockKernels
	length, block int // elements and bytes of a block
	row, stride   int // bytes of a row, and from row to row
	ahead         int // bytes that every row is read in advance
	codes         []int8
	scales        []float32
}

// with is p with memory of s.
func (p panel) with(s *scratch) panel {
	p.codes, p.scales = s.int8s(panelRows*panelDepth), s.take(panelDepth/32*p.kernel.scales)
	return p
}

// multiply computes the products of the panel at raw with rows of A, and writes those of a row step elements after
// those of the row before.
func (p *panel) multiply(raw []byte, a *roundedRows, first, rows int, c []float32, step int) {
	_ = raw[(panelRows-1)*p.stride+p.row-1]
	_ = c[(rows-1)*step+panelRows-1]
	if rows == 1 && p.kernel.row != nil {
		i := first * a.k
		p.kernel.row(a.k/p.length, p.stride, &raw[0], &a.q[i], &a.d[i/32], &a.s[i/32], &c[0])
		return
	}
	blocks := a.k / 32 // of a row
	for at := 0; at < a.k; at += panelDepth {
		n := min(panelDepth, a.k-at)
		from := at / p.length * p.block
		p.kernel.pack(n/p.length, p.stride, &raw[from], &p.codes[0], &p.scales[0], p.ahead)
		for i := 0; i < rows; {
			m, which := 1, 0
			if left := rows - i; left >= 4 {
				m, which = 4, 2
			} else if left >= 2 {
				m, which = 2, 1
			}
			row := first + i
			scale := row*blocks + at/32
			p.kernel.multiply[which](n/32, &p.codes[0], &p.scales[0], &a.q[row*a.k+at], &a.d[scale], &a.s[scale], a.k,
				&c[i*step], step, at)
			i += m
		}
	}
}

// put writes products of some rows, panelRows each of which the first skip are left out, to columns from j on of C.
func (g *gemm) put(i, rows, j int, out []float32, skip int) {
	n := min(panelRows-skip, g.n-j)
	for r := range rows {
		c, x := g.c[(i+r)*g.cRow+j:][:n], out[r*panelRows+skip:][:n]
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
	d, s []float32 // [m, k/32]
}

// roundA is A rounded.
func (g *gemm) roundA(s *scratch) *roundedRows {
	blocks := g.k / 32
	a := &roundedRows{k: g.k, q: s.int8s(g.m * g.k), d: s.take(g.m * blocks), s: s.take(g.m * blocks)}
	ranges(g.m, max(1, 1<<16/g.k), func(from, to int) {
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
			roundBlocks(blocks, a.q[i*g.k:], a.d[i*blocks:], a.s[i*blocks:], x)
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
