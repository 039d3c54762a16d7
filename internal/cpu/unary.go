package cpu

import "github.com/gollava/gollava/internal/backend"

// grain is the number of elements of a task that works element by element: some 5 to 10 µs. An operation on no more
// runs on its caller, and without a closure, so that small operations take no memory from the heap.
const grain = 16 << 10

func (d *Device) Unary(op backend.Unary, dst, x *backend.Buffer) {
	f, y, u := vectors().unary[op], dst.Float32(), x.Float32()
	if len(y) <= grain {
		f(y, u)
		return
	}
	ranges(len(y), grain, func(i, j int) { f(y[i:j], u[i:j]) })
}

func (d *Device) UnaryGrad(op backend.Unary, dx, x, y, dy *backend.Buffer) {
	f, o, u, v, g := vectors().unaryGrad[op], dx.Float32(), x.Float32(), y.Float32(), dy.Float32()
	if len(o) <= grain {
		f(o, u, v, g)
		return
	}
	ranges(len(o), grain, func(i, j int) { f(o[i:j], u[i:j], v[i:j], g[i:j]) })
}

// activate replaces x by op(x).
func activate(op backend.Unary, x []float32) { vectors().unary[op](x, x) }

func (d *Device) Affine(dst, x *backend.Buffer, a, b float32) {
	f, y, u := vectors().affine, dst.Float32(), x.Float32()
	if len(y) <= grain {
		f(y, u, a, b)
		return
	}
	ranges(len(y), grain, func(i, j int) { f(y[i:j], u[i:j], a, b) })
}

func (d *Device) Accumulate(dst, src *backend.Buffer, alpha float32) {
	f, y, u := vectors().axpy, dst.Float32(), src.Float32()
	if len(y) <= grain {
		f(y, u, alpha)
		return
	}
	ranges(len(y), grain, func(i, j int) { f(y[i:j], u[i:j], alpha) })
}

func (d *Device) Dropout(dst, x *backend.Buffer, p float32, key uint64) {
	f, y, u := vectors().dropout, dst.Float32(), x.Float32()
	if len(y) <= grain {
		f(y, u, p, key, 0)
		return
	}
	ranges(len(y), grain, func(i, j int) { f(y[i:j], u[i:j], p, key, uint64(i)) })
}

func (d *Device) SwiGLU(dst, gate, up *backend.Buffer) {
	f, y, g, u := vectors().swiglu, dst.Float32(), gate.Float32(), up.Float32()
	if len(y) <= grain {
		f(y, g, u)
		return
	}
	ranges(len(y), grain, func(i, j int) { f(y[i:j], g[i:j], u[i:j]) })
}

func (d *Device) SwiGLUGrad(dGate, dUp, gate, up, dy *backend.Buffer) {
	f, dg, du, g, u, y := vectors().swigluGrad, dGate.Float32(), dUp.Float32(), gate.Float32(), up.Float32(), dy.Float32()
	if len(y) <= grain {
		f(dg, du, g, u, y)
		return
	}
	ranges(len(y), grain, func(i, j int) { f(dg[i:j], du[i:j], g[i:j], u[i:j], y[i:j]) })
}
