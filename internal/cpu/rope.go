package cpu

import "github.com/gollava/gollava/internal/backend"

func (d *Device) RoPE(dst, x, cos, sin *backend.Buffer, b, t, heads, dim, r int, inverse bool) {
	own := b > 1 && cos.Len == b*t*(r/2) // a row of angles for each batch row
	p := rope{dst.Float32(), x.Float32(), cos.Float32(), sin.Float32(), b * t, t, heads, dim, r / 2, inverse}
	if own {
		p.period = b * t
	}
	if dst.Len <= grain {
		p.rows(0, b*t)
		return
	}
	q := p
	ranges(b*t, height(heads*dim), func(i, j int) { q.rows(i, j) })
}

type rope struct {
	dst, x, cos, sin            []float32
	n, period, heads, dim, half int
	inverse                     bool
}

// rows rotates positions from to to.
func (p *rope) rows(from, to int) {
	k := vectors()
	turn := k.rope
	if p.inverse {
		turn = k.ropeBack
	}
	for i := from; i < to; i++ {
		at := i % p.period * p.half
		cos, sin := p.cos[at:at+p.half], p.sin[at:at+p.half]
		for h := range p.heads {
			o := (i*p.heads + h) * p.dim
			dst, x := p.dst[o:o+p.dim], p.x[o:o+p.dim]
			turn(dst, x, cos, sin)
			if &dst[0] != &x[0] {
				copy(dst[2*p.half:], x[2*p.half:])
			}
		}
	}
}
