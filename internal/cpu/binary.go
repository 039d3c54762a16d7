package cpu

import "github.com/gollava/gollava/internal/backend"

// axes are the dimensions of an array that operands run through with strides of their own. Neighbouring axes that every
// operand runs through as through one are one.
type axes struct {
	n    int
	dims [maxAxes]int
	a, b [maxAxes]int // strides of the operands
}

// maxAxes bounds the axes that remain after merging.
const maxAxes = 16

// merged returns dims with the strides of two operands.
func merged(dims, as, bs []int) (x axes) {
	for k, d := range dims {
		if d == 1 {
			continue
		}
		if p := x.n - 1; p >= 0 && x.a[p] == as[k]*d && x.b[p] == bs[k]*d {
			x.dims[p], x.a[p], x.b[p] = x.dims[p]*d, as[k], bs[k]
			continue
		}
		x.dims[x.n], x.a[x.n], x.b[x.n] = d, as[k], bs[k]
		x.n++
	}
	if x.n == 0 {
		x.n, x.dims[0] = 1, 1
	}
	return x
}

// outer is the number of rows, which the last axis is.
func (x *axes) outer() int {
	n := 1
	for _, d := range x.dims[:x.n-1] {
		n *= d
	}
	return n
}

// rows calls f for rows from to to, with the offsets at which they start in a and b.
func (x *axes) rows(from, to int, f func(row, a, b int)) {
	var index [maxAxes]int
	a, b, rest := 0, 0, from
	for k := x.n - 2; k >= 0; k-- {
		index[k] = rest % x.dims[k]
		rest /= x.dims[k]
		a, b = a+index[k]*x.a[k], b+index[k]*x.b[k]
	}
	for r := from; r < to; r++ {
		f(r, a, b)
		for k := x.n - 2; k >= 0; k-- {
			a, b = a+x.a[k], b+x.b[k]
			if index[k]++; index[k] < x.dims[k] {
				break
			}
			a, b = a-index[k]*x.a[k], b-index[k]*x.b[k]
			index[k] = 0
		}
	}
}

func (d *Device) Binary(op backend.Binary, dst, a, b *backend.Buffer, dims, aStrides, bStrides []int) {
	if dst.Len == 0 {
		return
	}
	x := merged(dims, aStrides, bStrides)
	o, u, v := dst.Float32(), a.Float32(), b.Float32()
	width, outer := x.dims[x.n-1], x.outer()
	switch {
	case len(o) <= grain:
		x.combine(op, o, u, v, 0, outer)
	case outer == 1:
		own := x
		ranges(width, grain, func(i, j int) {
			part := own
			part.dims[0] = j - i
			part.combine(op, o[i:j], u[i*part.a[0]:], v[i*part.b[0]:], 0, 1)
		})
	default:
		own := x
		ranges(outer, max(1, grain/width), func(i, j int) {
			part := own
			part.combine(op, o, u, v, i, j)
		})
	}
}

// combine computes rows from to to of dst.
func (x *axes) combine(op backend.Binary, dst, a, b []float32, from, to int) {
	k, n := vectors(), x.dims[x.n-1]
	as, bs := x.a[x.n-1], x.b[x.n-1]
	x.rows(from, to, func(r, i, j int) {
		o := dst[r*n : (r+1)*n]
		switch {
		case op >= backend.Less:
			for e := range o {
				o[e] = combine(op, a[i+e*as], b[j+e*bs])
			}
		case n > 1 && as == 1 && bs == 1:
			k.binary[op](o, a[i:i+n], b[j:j+n])
		case n > 1 && as == 1 && bs == 0:
			k.right[op](o, a[i:i+n], b[j])
		case n > 1 && as == 0 && bs == 1:
			k.left[op](o, a[i], b[j:j+n])
		default:
			for e := range o {
				o[e] = combine(op, a[i+e*as], b[j+e*bs])
			}
		}
	})
}

func (d *Device) Select(dst, c, a, b *backend.Buffer, dims, cs, as, bs []int) {
	if dst.Len == 0 {
		return
	}
	y, u, v, w := dst.Float32(), c.Float32(), a.Float32(), b.Float32()
	last := len(dims) - 1
	n, rows := dims[last], dst.Len/dims[last]
	x, z := axes{n: len(dims)}, axes{n: len(dims)}
	for i, d := range dims {
		x.dims[i], x.a[i], x.b[i] = d, cs[i], as[i]
		z.dims[i], z.a[i], z.b[i] = d, cs[i], bs[i]
	}
	ranges(rows, height(n), func(from, to int) {
		x.rows(from, to, func(r, i, j int) {
			row := y[r*n : (r+1)*n]
			for e := range row {
				if u[i+e*cs[last]] != 0 {
					row[e] = v[j+e*as[last]]
				}
			}
		})
		z.rows(from, to, func(r, i, j int) {
			row := y[r*n : (r+1)*n]
			for e := range row {
				if u[i+e*cs[last]] == 0 {
					row[e] = w[j+e*bs[last]]
				}
			}
		})
	})
}

func (d *Device) SumTo(dst, src *backend.Buffer, dims, dstStrides []int) {
	x := merged(dims, dstStrides, dstStrides)
	switch s := &x.a; {
	case src.Len == 0:
		d.Fill(dst, 0)
	case x.n == 1 && s[0] == 0:
		d.Reduce(backend.Sum, dst, src, 1, src.Len, 1)
	case x.n == 1:
		d.Copy(dst, src)
	case x.n == 2 && s[0] == 0:
		d.Reduce(backend.Sum, dst, src, 1, x.dims[0], x.dims[1])
	case x.n == 2 && s[1] == 0:
		d.Reduce(backend.Sum, dst, src, x.dims[0], x.dims[1], 1)
	case x.n == 3 && s[1] == 0 && s[0] != 0 && s[2] != 0:
		d.Reduce(backend.Sum, dst, src, x.dims[0], x.dims[1], x.dims[2])
	default:
		clear(dst.Float32())
		x.accumulate(dst.Float32(), src.Float32())
	}
}

// accumulate adds src up along the axes in which the stride is 0.
func (x *axes) accumulate(dst, src []float32) {
	k, n := vectors(), x.dims[x.n-1]
	stride := x.a[x.n-1]
	x.rows(0, x.outer(), func(r, i, _ int) {
		if row := src[r*n : (r+1)*n]; stride == 0 {
			dst[i] += k.sum(row)
		} else {
			k.binary[backend.Add](dst[i:i+n], dst[i:i+n], row)
		}
	})
}
