package tensor

import (
	"slices"

	"github.com/gollava/gollava/internal/backend"
)

// broadcast is how two shapes combine under NumPy's rules: aligned at the right, an axis of 1 repeats.
type broadcast struct {
	shape  []int // of the result
	dims   []int // shape with neighbouring axes fused where both operands allow it
	as, bs []int // strides of the operands over dims, 0 where one repeats
}

func broadcastShapes(op string, a, b []int) broadcast {
	if slices.Equal(a, b) {
		n := 1
		for _, d := range a {
			n *= d
		}
		return broadcast{a, []int{n}, []int{1}, []int{1}}
	}
	r := max(len(a), len(b))
	at := func(s []int, i int) int {
		if j := i - (r - len(s)); j >= 0 {
			return s[j]
		}
		return 1
	}
	c := broadcast{shape: make([]int, r)}
	as, bs := make([]int, r), make([]int, r)
	na, nb := 1, 1
	for i := r - 1; i >= 0; i-- {
		x, y := at(a, i), at(b, i)
		switch {
		case x == y:
			c.shape[i], as[i], bs[i] = x, na, nb
		case x == 1:
			c.shape[i], bs[i] = y, nb
		case y == 1:
			c.shape[i], as[i] = x, na
		default:
			Fail(op, "%v and %v do not broadcast: axis −%d is %d and %d, which must be equal or one of them 1", a, b,
				r-i, x, y)
		}
		na, nb = na*x, nb*y
	}
	for i := range r {
		d := c.shape[i]
		if d == 1 && r > 1 && !(i == r-1 && len(c.dims) == 0) {
			continue
		}
		k := len(c.dims) - 1
		if k >= 0 && c.as[k] == as[i]*d && c.bs[k] == bs[i]*d {
			c.dims[k], c.as[k], c.bs[k] = c.dims[k]*d, as[i], bs[i]
		} else {
			c.dims, c.as, c.bs = append(c.dims, d), append(c.as, as[i]), append(c.bs, bs[i])
		}
	}
	if r == 0 {
		c.dims, c.as, c.bs = []int{1}, []int{1}, []int{1}
	}
	return c
}

// fits reports whether strides over dims walk a contiguous array of that shape.
func fits(dims, strides []int) bool {
	n := 1
	for i := len(dims) - 1; i >= 0; i-- {
		if strides[i] != n {
			return false
		}
		n *= dims[i]
	}
	return true
}

func (t *Tensor) binary(op backend.Binary, name string, u *Tensor) (*Tensor, broadcast) {
	t.want(name, Float32)
	u.want(name, Float32)
	c := broadcastShapes(name, t.shape, u.shape)
	out := placeOf(t, u).alloc(Float32, c.shape...)
	d := out.buf().Device
	d.Binary(op, out.buf(), t.buf(), u.buf(), c.dims, c.as, c.bs)
	return out, c
}

// share gives x its part of the gradient dy of a broadcast result: the sum over the axes along which x was repeated.
func (x *Tensor) share(dy *gradient, dims, strides []int) {
	if fits(dims, strides) {
		x.pass(dy)
		return
	}
	x.into(func(dx *backend.Buffer) { dx.Device.SumTo(dx, dy.buf(), dims, strides) })
}

// shareOf is share of a gradient that f first computes from dy, at full size.
func (x *Tensor) shareOf(dy *gradient, dims, strides []int, f func(dst *backend.Buffer)) {
	if !x.needs() {
		return
	}
	if fits(dims, strides) {
		x.into(f)
		return
	}
	at := placeOf(dy.Tensor)
	full := at.scratch(dy.n)
	f(full)
	x.into(func(dx *backend.Buffer) { dx.Device.SumTo(dx, full, dims, strides) })
	at.free(full)
}

// Add returns t + u, broadcast.
func (t *Tensor) Add(u *Tensor) *Tensor {
	if at, moved := apart("Add", t, u); moved {
		return t.on(at).Add(u.on(at))
	}
	out, c := t.binary(backend.Add, "Add", u)
	record(out, "Add", func(dy *gradient) {
		if !fits(c.dims, c.as) {
			t, u, c.as, c.bs = u, t, c.bs, c.as
		}
		u.shareOf(dy, c.dims, c.bs, func(dst *backend.Buffer) { dst.Device.Copy(dst, dy.buf()) })
		t.share(dy, c.dims, c.as)
	}, nil, t, u)
	return out
}

// Sub returns t − u, broadcast.
func (t *Tensor) Sub(u *Tensor) *Tensor {
	if at, moved := apart("Sub", t, u); moved {
		return t.on(at).Sub(u.on(at))
	}
	out, c := t.binary(backend.Sub, "Sub", u)
	record(out, "Sub", func(dy *gradient) {
		u.shareOf(dy, c.dims, c.bs, func(dst *backend.Buffer) { dst.Device.Affine(dst, dy.buf(), -1, 0) })
		t.share(dy, c.dims, c.as)
	}, nil, t, u)
	return out
}

// Mul returns the elementwise product t·u, broadcast.
func (t *Tensor) Mul(u *Tensor) *Tensor {
	if at, moved := apart("Mul", t, u); moved {
		return t.on(at).Mul(u.on(at))
	}
	out, c := t.binary(backend.Mul, "Mul", u)
	record(out, "Mul", func(dy *gradient) {
		own := ownStrides(c.dims)
		t.shareOf(dy, c.dims, c.as, func(dst *backend.Buffer) {
			dst.Device.Binary(backend.Mul, dst, dy.buf(), u.buf(), c.dims, own, c.bs)
		})
		u.shareOf(dy, c.dims, c.bs, func(dst *backend.Buffer) {
			dst.Device.Binary(backend.Mul, dst, dy.buf(), t.buf(), c.dims, own, c.as)
		})
	}, nil, t, u)
	return out
}

// Div returns the elementwise quotient t/u, broadcast.
func (t *Tensor) Div(u *Tensor) *Tensor {
	if at, moved := apart("Div", t, u); moved {
		return t.on(at).Div(u.on(at))
	}
	out, c := t.binary(backend.Div, "Div", u)
	record(out, "Div", func(dy *gradient) {
		own := ownStrides(c.dims)
		t.shareOf(dy, c.dims, c.as, func(dst *backend.Buffer) {
			dst.Device.Binary(backend.Div, dst, dy.buf(), u.buf(), c.dims, own, c.bs)
		})
		u.shareOf(dy, c.dims, c.bs, func(dst *backend.Buffer) { // −dy·y/u
			d := dst.Device
			d.Binary(backend.Mul, dst, dy.buf(), out.buf(), []int{dy.n}, []int{1}, []int{1})
			d.Affine(dst, dst, -1, 0)
			d.Binary(backend.Div, dst, dst, u.buf(), c.dims, own, c.bs)
		})
	}, nil, t, u)
	return out
}

func ownStrides(dims []int) []int {
	s, n := make([]int, len(dims)), 1
	for i := len(dims) - 1; i >= 0; i-- {
		s[i] = n
		n *= dims[i]
	}
	return s
}
