package cpu

import (
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
		g := gemm{m: p.M, n: p.N, k: p.K, a: floats(p.A, p.K), c: p.C.Float32()[n*p.CStride:], cRow: p.N,
			accumulate: p.Accumulate, bias: bias}
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
		case p.BT && p.Rounded && k != nil && p.K > 0:
			g.rounded(p.B, k, s)
		case p.BT && k != nil && g.isSkinny():
			g.skinnyBlocks(p.B, s)
		default:
			g.slabs(p.B, s)
		}
		s.used = mark
	}
}

// slabs decodes some rows of B at a time and multiplies with them. If B's rows are columns of C, every slab gives
// columns of C; else they are terms, which are added slab by slab in order.
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
