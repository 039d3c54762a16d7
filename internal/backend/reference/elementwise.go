package reference

import (
	"math"

	"github.com/gollava/gollava/internal/backend"
)

func sigmoid(x float64) float64 { return 1 / (1 + math.Exp(-x)) }

func apply(op backend.Unary, x float64) float64 {
	switch op {
	case backend.Exp:
		return math.Exp(x)
	case backend.Log:
		return math.Log(x)
	case backend.Sqrt:
		return math.Sqrt(x)
	case backend.Rsqrt:
		return 1 / math.Sqrt(x)
	case backend.Tanh:
		return math.Tanh(x)
	case backend.Sigmoid:
		return sigmoid(x)
	case backend.ReLU:
		return math.Max(x, 0)
	case backend.SiLU:
		return x * sigmoid(x)
	case backend.GELU:
		return x * 0.5 * math.Erfc(-x/math.Sqrt2)
	case backend.GELUTanh:
		return 0.5 * x * (1 + math.Tanh(math.Sqrt(2/math.Pi)*(x+0.044715*x*x*x)))
	case backend.QuickGELU:
		return x * sigmoid(1.702*x)
	}
	return x
}

func (d *Device) Unary(op backend.Unary, dst, x *backend.Buffer) {
	for i, v := range x.Float32() {
		dst.Float32()[i] = float32(apply(op, float64(v)))
	}
}

// slope is f'(x), given y = f(x).
func slope(op backend.Unary, x, y float64) float64 {
	swish := func(k float64) float64 { s := sigmoid(k * x); return s + k*x*s*(1-s) }
	switch op {
	case backend.Exp:
		return y
	case backend.Log:
		return 1 / x
	case backend.Sqrt:
		return 0.5 / y
	case backend.Rsqrt:
		return -0.5 * y / x
	case backend.Tanh:
		return 1 - y*y
	case backend.Sigmoid:
		return y * (1 - y)
	case backend.ReLU:
		if x > 0 {
			return 1
		}
		return 0 * x
	case backend.SiLU:
		return swish(1)
	case backend.QuickGELU:
		return swish(1.702)
	case backend.GELU:
		return 0.5*math.Erfc(-x/math.Sqrt2) + x*math.Exp(-x*x/2)/math.Sqrt(2*math.Pi)
	case backend.GELUTanh:
		c := math.Sqrt(2 / math.Pi)
		t := math.Tanh(c * (x + 0.044715*x*x*x))
		return 0.5*(1+t) + 0.5*x*(1-t*t)*c*(1+3*0.044715*x*x)
	}
	return 1
}

func (d *Device) UnaryGrad(op backend.Unary, dx, x, y, dy *backend.Buffer) {
	for i, v := range x.Float32() {
		dx.Float32()[i] = float32(float64(dy.Float32()[i]) * slope(op, float64(v), float64(y.Float32()[i])))
	}
}

func (d *Device) Affine(dst, x *backend.Buffer, a, c float32) {
	for i, v := range x.Float32() {
		dst.Float32()[i] = a*v + c
	}
}

func (d *Device) Binary(op backend.Binary, dst, x, y *backend.Buffer, dims, as, bs []int) {
	n := 1
	for _, k := range dims {
		n *= k
	}
	for o := range n {
		rem, i, j := o, 0, 0
		for k := len(dims) - 1; k >= 0; k-- {
			i += rem % dims[k] * as[k]
			j += rem % dims[k] * bs[k]
			rem /= dims[k]
		}
		u, v := x.Float32()[i], y.Float32()[j]
		switch op {
		case backend.Add:
			u += v
		case backend.Sub:
			u -= v
		case backend.Mul:
			u *= v
		case backend.Div:
			u /= v
		case backend.Less:
			u = truth(u < v)
		case backend.LessEqual:
			u = truth(u <= v)
		case backend.Equal:
			u = truth(u == v)
		}
		dst.Float32()[o] = u
	}
}

func truth(b bool) float32 {
	if b {
		return 1
	}
	return 0
}

func (d *Device) SumTo(dst, src *backend.Buffer, dims, dstStrides []int) {
	sum := make([]float64, dst.Len)
	for o, v := range src.Float32() {
		rest, i := o, 0
		for k := len(dims) - 1; k >= 0; k-- {
			i += rest % dims[k] * dstStrides[k]
			rest /= dims[k]
		}
		sum[i] += float64(v)
	}
	for i, v := range sum {
		dst.Float32()[i] = float32(v)
	}
}

func (d *Device) Accumulate(dst, src *backend.Buffer, a float32) {
	for i, v := range src.Float32() {
		dst.Float32()[i] += a * v
	}
}

func (d *Device) Dropout(dst, x *backend.Buffer, p float32, key uint64) {
	for i, v := range x.Float32() {
		if backend.Uniform(key, uint64(i)) < p {
			v = 0
		} else {
			v /= 1 - p
		}
		dst.Float32()[i] = v
	}
}

func (d *Device) SwiGLU(dst, g, u *backend.Buffer) {
	for i, v := range g.Float32() {
		dst.Float32()[i] = float32(apply(backend.SiLU, float64(v))) * u.Float32()[i]
	}
}

func (d *Device) SwiGLUGrad(dg, du, g, u, dy *backend.Buffer) {
	for i, v := range g.Float32() {
		s := sigmoid(float64(v))
		y := float64(dy.Float32()[i])
		uu := float64(u.Float32()[i])
		dg.Float32()[i] = float32(y * uu * (s + float64(v)*s*(1-s)))
		du.Float32()[i] = float32(y * float64(v) * s)
	}
}

func (d *Device) SumSquares(xs []*backend.Buffer) (s float64) {
	for _, x := range xs {
		for _, v := range x.Float32() {
			s += float64(v) * float64(v)
		}
	}
	return
}

func (d *Device) AllFinite(xs []*backend.Buffer) (bool, int) {
	for i, x := range xs {
		for _, v := range x.Float32() {
			if math.IsNaN(float64(v)) || math.IsInf(float64(v), 0) {
				return false, i
			}
		}
	}
	return true, -1
}
