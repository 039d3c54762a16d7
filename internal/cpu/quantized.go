package cpu

import (
	"github.com/gollava/gollava/internal/backend"
)

// decode writes elements [from, from+len(dst)) of a block buffer.
func decode(dst []float32, b *backend.Buffer, from int) {
	L := b.DType.Blocks().Length
	if len(dst) <= grain {
		b.Decode(dst, from)
		return
	}
	ranges(len(dst), max(grain/L, 1)*L, func(i, j int) { b.Decode(dst[i:j], from+i) })
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

// quantized computes a product whose B is stored in blocks: it decodes some rows of B at a time and multiplies with them. If B's rows are columns of
// C (BT), every slab gives columns of C; else they are terms, which are added slab by slab in order.
func (d *Device) quantized(p *backend.MatMul) {
	length, count := p.N, p.K // of a row of B, and of rows
	if p.BT {
		length, count = p.K, p.N
	}
	s := borrow()
	defer s.giveBack()
	var bias []float32
	if p.Bias != nil && !p.Accumulate {
		bias = s.take(p.N)
		p.Bias.Decode(bias, 0)
	}
	rows := min(count, max(1, slab/max(length, 1)/48)*48) // whole tiles
	b := s.take(rows * length)
	for n := range p.Batch {
		for from := 0; from == 0 || from < count; from += rows {
			k := min(rows, count-from)
			decode(b[:k*length], p.B, from*length)
			g := gemm{m: p.M, n: p.N, k: p.K, a: floats(p.A, p.K), b: operand{full: b, row: length, col: 1}, c: p.C.Float32()[n*p.CStride:], cRow: p.N,
				accumulate: p.Accumulate}
			if p.AT {
				g.a.row, g.a.col = 1, p.M
			}
			g.a.skip(n * p.AStride)
			last := true
			if p.BT {
				g.b.row, g.b.col = 1, length
				g.n, g.c = k, g.c[from:]
				if bias != nil {
					g.bias = bias[from : from+k]
				}
			} else {
				g.k = k
				g.a.skip(from * g.a.col)
				if last = from+k == count; from == 0 {
					g.bias = bias
				}
				g.accumulate = g.accumulate || from > 0
			}
			if !p.Accumulate && last {
				g.act = p.Act
				if p.Pre != nil {
					if g.pre = p.Pre.Float32()[n*p.CStride:]; p.BT {
						g.pre = g.pre[from:]
					}
				}
			}
			g.chooseTiler()
			g.spread(s)
		}
	}
}
