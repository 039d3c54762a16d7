package cpu

import (
	"math"

	"github.com/gollava/gollava/internal/backend"
)

// decode writes elements [from, from+len(dst)) of a block buffer, on several processors.
func decode(dst []float32, b *backend.Buffer, from int) {
	L := b.DType.Blocks().Length
	if len(dst) <= grain {
		decodePart(dst, b, from)
		return
	}
	ranges(len(dst), max(grain/L, 1)*L, func(i, j int) { decodePart(dst[i:j], b, from+i) })
}

// decodePart is decode on the calling goroutine.
func decodePart(dst []float32, b *backend.Buffer, from int) {
	f, k := b.DType.Blocks(), kernelsOf(b.DType)
	if n := len(dst) / f.Length; k != nil && n > 0 && from%f.Length == 0 {
		k.decode(&dst[0], &b.Raw()[from/f.Length*f.Size], n)
		dst, from = dst[n*f.Length:], from+n*f.Length
	}
	if len(dst) > 0 {
		b.Decode(dst, from)
	}
}

// encode fills a block buffer. The blocks of a flat format depend on the whole tensor.
func encode(dst *backend.Buffer, x []float32) {
	f := dst.DType.Blocks()
	out := dst.Raw()
	if f.Flat {
		f.Encode(out, x)
		return
	}
	ranges(len(x)/f.Length, max(1, grain/8/f.Length), func(i, j int) {
		f.Encode(out[i*f.Size:j*f.Size], x[i*f.Length:j*f.Length])
	})
}

// slab is the number of elements of a block operand that are decoded at once: some 4 MB.
const slab = 1 << 20

// quantized computes a product whose B is stored in blocks, each product of a batch for itself.
func (d *Device) quantized(p *backend.MatMul) {
	s := borrow()
	defer s.giveBack()
	var bias []float32
	if p.Bias != nil && !p.Accumulate {
		bias = s.take(p.N)
		p.Bias.Decode(bias, 0)
	}
	mark := s.used
	for n := range p.Batch {
		g := gemm{m: p.M, n: p.N, k: p.K, a: floats(p.A, p.K), c: p.C.Float32()[n*p.CStride:], cRow: p.N, accumulate: p.Accumulate, bias: bias}
		if p.AT {
			g.a.row, g.a.col = 1, p.M
		}
		g.a.skip(n * p.AStride)
		if !p.Accumulate {
			g.act = p.Act
			if p.Pre != nil {
				g.pre = p.Pre.Float32()[n*p.CStride:]
			}
		}
		if g.b.row, g.b.col = p.N, 1; p.BT {
			g.b.row, g.b.col = 1, p.K
		}
		k := kernelsOf(p.B.DType)
		switch {
		case p.BT && p.Rounded && k != nil && p.M <= roundedRows:
			g.rounded(p.B, k, s)
		case p.BT && k != nil && g.isSkinny():
			g.skinnyBlocks(p.B, s)
		default:
			g.slabs(p.B, s)
		}
		s.used = mark
	}
}

// slabs decodes some rows of B at a time and multiplies with them. If B's rows are columns of C, every slab gives columns of C; else they are
// terms, which are added slab by slab in order.
func (g *gemm) slabs(b *backend.Buffer, s *scratch) {
	length, count := g.n, g.k // of a row of B, and of rows
	if g.b.row == 1 {
		length, count = g.k, g.n
	}
	rows := min(count, max(1, slab/max(length, 1)/48)*48) // whole tiles
	memory := s.take(rows * length)
	for from := 0; from == 0 || from < count; from += rows {
		k := min(rows, count-from)
		decode(memory[:k*length], b, from*length)
		h := *g
		if h.b.full = memory; g.b.row == 1 {
			h.columns(from, k)
		} else {
			h.k = k
			h.a.skip(from * g.a.col)
			if from > 0 {
				h.bias, h.accumulate = nil, true
			}
			if from+k < count {
				h.pre, h.act = nil, backend.Identity
			}
		}
		h.chooseTiler()
		h.spread(s)
	}
}

// columns leaves of C columns [from, from+n), with the rows of B at hand being theirs.
func (g *gemm) columns(from, n int) {
	g.n, g.c = n, g.c[from:]
	if g.bias != nil {
		g.bias = g.bias[from : from+n]
	}
	if g.pre != nil {
		g.pre = g.pre[from:]
	}
}

// rowGrain is the number of rows of B, of k elements, that make a task of products with few rows.
func rowGrain(k int) int { return max(8, 1<<17/max(k, 1)&^7) }

// tileGrain is rowGrain where there are m rows of A, so many that multiplying takes longer than reading B.
func tileGrain(k, m int) int { return max(16, min(rowGrain(k), 1<<19/max(k*m, 1)&^15)) }

// skinnyBlocks computes a product with few rows of A: every task decodes a few rows of B into its cache and multiplies
// with them.
func (g *gemm) skinnyBlocks(b *backend.Buffer, s *scratch) {
	a := g.rowsOfA(s)
	ranges(g.n, rowGrain(g.k), func(from, to int) {
		s := borrow()
		defer s.giveBack()
		few := min(to-from, max(4, 1<<14/g.k&^3))
		memory := s.take(few * g.k)
		for ; from < to; from += few {
			h := *g
			n := min(few, to-from)
			decodePart(memory[:n*g.k], b, from*g.k)
			h.b.full = memory
			h.columns(from, n)
			h.skinnyPart(a, 0, n, s)
		}
	})
}

// roundedRows is the number of rows of A up to which they are rounded: those that [backend.DecodeRows] promises the same bits whatever
// their number. Beyond, float32's tiles have B decoded once for all, which is faster.
const roundedRows = backend.DecodeRows

// tile is the number of rows of A that the kernels multiply with at once, so that the blocks of B are unpacked once
// for all of them.
const tile = 4

// rounded computes a product with A's rows rounded to eight bits in blocks of 32, as llama.cpp does: the integer
// products are exact, and so is the rest up to float32's rounding. Rows go in tiles; a tile that is not full repeats
// the last row, and one that would have one row is that row alone.
func (g *gemm) rounded(b *backend.Buffer, kernel *blockKernels, s *scratch) {
	f := b.DType.Blocks()
	blocks, n := g.k/32, g.k/f.Length
	tiles := (g.m + tile - 2) / tile
	rows := max(tile*tiles, g.m)
	q, d, sums := s.int8s(rows*g.k), s.take(rows*blocks), s.take(rows*blocks)
	row := s.take(g.k)
	for i := range rows {
		g.a.copyRow32(row, min(i, g.m-1))
		if i >= tile*tiles {
			roundBlocks(blocks, q[i*g.k:], d[i*blocks:], sums[i*blocks:], row, 1)
			continue
		}
		first, together := i/tile*tile, f.Length/32 // blocks that lie together
		for j := 0; j < blocks; j += together {
			at := first*blocks + tile*j + i%tile*together
			if together == 1 {
				roundBlocks(blocks, q[32*at:], d[at:], sums[at:], row, tile)
				break
			}
			roundBlocks(together, q[32*at:], d[at:], sums[at:], row[32*j:], 1)
		}
	}
	raw, size := b.Raw(), n*f.Size // bytes of a row
	ranges(g.n, tileGrain(g.k, g.m), func(from, to int) {
		const most = 16 // rows of B that stay in the cache for all rows of A
		s := borrow()
		defer s.giveBack()
		out := s.take(tile * most)
		for ; from < to; from += most {
			count := min(most, to-from)
			h := *g
			h.columns(from, count)
			for t := range tiles {
				i := tile * t
				kernel.dots(n, count, &raw[from*size], &q[i*g.k], &d[i*blocks], &sums[i*blocks], &out[0])
				for r := range min(tile, g.m-i) {
					h.put(i+r, count, out[r:], tile)
				}
			}
			if i := tile * tiles; i < g.m {
				kernel.dot(n, count, &raw[from*size], &q[i*g.k], &d[i*blocks], &sums[i*blocks], &out[0])
				h.put(i, count, out, 1)
			}
			h.finish(0, g.m, 0, count)
		}
	})
}

// put writes n products of row i, which lie step apart, to C.
func (g *gemm) put(i, n int, from []float32, step int) {
	c := g.c[i*g.cRow:][:n]
	from = from[:(n-1)*step+1]
	switch {
	case g.accumulate:
		for j := range c {
			c[j] += from[j*step]
		}
	case g.bias != nil:
		for j, b := range g.bias[:n] {
			c[j] = from[j*step] + b
		}
	default:
		for j := range c {
			c[j] = from[j*step]
		}
	}
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
