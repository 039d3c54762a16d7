package cpu

import "unsafe"

// attentionKernels are the loops between the matrix products; attentionGeneric states what they mean.
type attentionKernels struct {
	softmax func(rows, n int, x *float32, xRow int, scale float32, top, sum, fade *float32)
	score   func(rows, n int, p, ds *float32, row int, scale, out float32, lse, delta *float32)
	scale   func(rows, n int, dst *float32, dRow int, src *float32, sRow int, by *float32)
	dot     func(rows, n int, x *float32, xRow int, y *float32, yRow int, dst *float32)
	sum     func(rows, n int, x *float32, xRow int, by, dst *float32)
}

var attentionGeneric = attentionKernels{
	softmax: func(rows, n int, x *float32, xRow int, scale float32, top, sum, fade *float32) {
		for i := range rows {
			row, high := elements(x, i*xRow, n), minusInf
			for _, v := range row {
				high = max(high, v)
			}
			high = max(high*scale, *index(top, i))
			shift := finite(high)
			f := exp(*index(top, i) - shift)
			s := *index(sum, i) * f
			for j, v := range row {
				row[j] = exp(float32(scale*v) - shift) // rounded as high is, so that no difference is above 0
				s += row[j]
			}
			*index(top, i), *index(sum, i), *index(fade, i) = high, s, f
		}
	},
	score: func(rows, n int, p, ds *float32, row int, scale, out float32, lse, delta *float32) {
		for i := range rows {
			x, y := elements(p, i*row, n), elements(ds, i*row, n)
			l, d := finite(*index(lse, i)), *index(delta, i)
			for j, v := range x {
				x[j] = exp(min(float32(scale*v)-l, 0)) // a probability, even where l lost its last digits
				y[j] = x[j] * out * (y[j] - d)
			}
		}
	},
	scale: func(rows, n int, dst *float32, dRow int, src *float32, sRow int, by *float32) {
		for i := range rows {
			x, y, k := elements(src, i*sRow, n), elements(dst, i*dRow, n), *index(by, i)
			for j, v := range x {
				y[j] = v * k
			}
		}
	},
	dot: func(rows, n int, x *float32, xRow int, y *float32, yRow int, dst *float32) {
		for i := range rows {
			a, b, s := elements(x, i*xRow, n), elements(y, i*yRow, n), float32(0)
			for j, v := range a {
				s += v * b[j]
			}
			*index(dst, i) = s
		}
	},
	sum: func(rows, n int, x *float32, xRow int, by, dst *float32) {
		d := elements(dst, 0, n)
		clear(d)
		for i := range rows {
			k := *index(by, i)
			for j, v := range elements(x, i*xRow, n) {
				d[j] += k * v
			}
		}
	},
}

// finite is x, or 0 if no key has been seen.
func finite(x float32) float32 {
	if x == minusInf {
		return 0
	}
	return x
}

// elements are n elements from the i-th after p.
func elements(p *float32, i, n int) []float32 { return unsafe.Slice(index(p, i), n) }

// inner is what a product takes for n elements along its inner dimension.
func (a *attention) inner(n int) int {
	if a.pairs {
		return (n + 1) / 2
	}
	return n
}

// gather copies n rows of one head, row elements apart, to where they lie side by side, as products take them.
func (a *attention) gather(dst, src []float32, row, n int) {
	if a.pairs {
		pairsOfRows(dst, a.D/2, &operand{full: src}, 0, row, n, a.D)
		return
	}
	for i := range n {
		copy(dst[i*a.D:][:a.D], src[i*row:])
	}
}

// packKeys packs n rows of one key head as the transposed right operand of a product, [D, n], and packValues as they
// are, [n, D].
func (a *attention) packKeys(dst, src []float32, n int) {
	g := gemm{tiler: a.tiler, b: operand{full: src, row: 1, col: a.G * a.D}}
	g.packB(dst, 0, a.D, 0, n, 0, a.panels(n))
}

func (a *attention) packValues(dst, src []float32, n int) {
	g := gemm{tiler: a.tiler, b: operand{full: src, row: a.G * a.D, col: 1}}
	g.packB(dst, 0, n, 0, a.D, 0, a.panels(a.D))
}

// halve rounds m rows of n probabilities, or their gradients, in place if products are of pairs. What follows the last
// of an odd number is 0.
func (a *attention) halve(p []float32, m, n int) {
	if a.pairs {
		a.even(p, m, n)
		narrowRows(m, (n+31)/32, &p[0], tileRow, &p[0], tileRow)
	}
}

// even sets the element after the last of an odd number to 0 in m rows.
func (a *attention) even(p []float32, m, n int) {
	for i := 0; n%2 != 0 && i < m; i++ {
		p[i*tileRow+n] = 0
	}
}

// transposed is m rows of n elements as the transposed left operand of a product, in dst if they have to be changed.
func (a *attention) transposed(dst, p []float32, m, n int) []float32 {
	if !a.pairs {
		return p
	}
	if m%2 != 0 {
		clear(p[m*tileRow:][:tileRow])
	}
	for j := 0; j < n; j += 32 {
		pairRows((m+1)/2, dst[j:], tileRow, p[j:], tileRow, 32)
	}
	return dst
}

// multiply sets C [m, n] = A·B, or adds to it, tile by tile: element i, p of A is a[i·aRow + p·aCol]; element p, j of
// panel e of B is b[e·bPanel + p·bRow + j], readable for all columns of a tile.
func (t *tiler) multiply(m, n, k int, a []float32, aRow, aCol int, b []float32, bRow, bPanel int, c []float32, cRow int,
	add bool) {
	bands := t.bands(m)
	for j := 0; j < n; j += t.cols {
		i := 0
		for _, band := range bands {
			if band.tiles == 0 {
				continue
			}
			to, from, fromRow := &c[i*cRow+j], &c[i*cRow+j], cRow
			if !add {
				from, fromRow = nil, 0
			}
			t.tile[band.rows-1](band.tiles, k, &a[i*aRow], band.rows*aRow, aRow, aCol, &b[j/t.cols*bPanel], bRow, from, fromRow,
				to, cRow, min(t.cols, n-j))
			i += band.tiles * band.rows
		}
	}
}
