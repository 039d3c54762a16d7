//go:build !purego

package cpu

// attentionNEON are the loops of attentionGeneric, their rows by the kernels of slices.
var attentionNEON = attentionKernels{
	softmax: func(rows, n int, x *float32, xRow int, scale float32, top, sum, fade *float32) {
		for i := range rows {
			row := elements(x, i*xRow, n)
			high := max(maxNEON(row)*scale, *index(top, i))
			shift := finite(high)
			f := exp(*index(top, i) - shift)
			s := *index(sum, i)*f + expScoresNEON(row, scale, shift)
			*index(top, i), *index(sum, i), *index(fade, i) = high, s, f
		}
	},
	score: func(rows, n int, p, ds *float32, row int, scale, out float32, lse, delta *float32) {
		for i := range rows {
			l, d := finite(*index(lse, i)), *index(delta, i)
			scoreNEON(elements(p, i*row, n), elements(ds, i*row, n), scale, l, d, out)
		}
	},
	scale: func(rows, n int, dst *float32, dRow int, src *float32, sRow int, by *float32) {
		for i := range rows {
			if k := *index(by, i); k != 1 || dst != src {
				rightMulNEON(elements(dst, i*dRow, n), elements(src, i*sRow, n), k)
			}
		}
	},
	dot: func(rows, n int, x *float32, xRow int, y *float32, yRow int, dst *float32) {
		for i := range rows {
			*index(dst, i) = dotNEON(elements(x, i*xRow, n), elements(y, i*yRow, n))
		}
	},
	sum: func(rows, n int, x *float32, xRow int, by, dst *float32) {
		d := elements(dst, 0, n)
		clear(d)
		whole, from := n&^7, rows&^7 // elements and rows that go eight at a time
		if whole > 0 && from > 0 {
			update1x8NEON(whole, from, by, 0, 1, x, xRow, dst, 0)
			for i := range from {
				axpyNEON(d[whole:], elements(x, i*xRow, n)[whole:], *index(by, i))
			}
		} else {
			from = 0
		}
		for i := from; i < rows; i++ {
			axpyNEON(d, elements(x, i*xRow, n), *index(by, i))
		}
	},
}

func activeAttention() *attentionKernels {
	if active == generic {
		return &attentionGeneric
	}
	return &attentionNEON
}
