package main

import "math"

// The functions of scalar.go of package cpu, a register at a time.

const (
	tanhA = 0.7978845608
	tanhB = 0.044715
	quick = 1.702
)

var expPolynomial = []float64{1.9875691500e-4, 1.3981999507e-3, 8.3334519073e-3, 4.1665795894e-2, 1.6666665459e-1,
	5.0000001201e-1, 1, 1}

// holdExp keeps what exp needs in registers.
func (c *code) holdExp() {
	c.hold(-104, 89, math.Log2E, 0.693359375, -2.12194440e-4)
	c.hold(expPolynomial...)
}

// exp is eˣ, 0 and +Inf beyond the range, NaN of NaN.
func (c *code) exp(x *vec) *vec {
	x = c.min(c.max(x, c.num(-104)), c.num(89))
	t := c.mul(x, c.num(math.Log2E))
	n := c.round(t)
	i := c.toInt(t) // 0 of NaN
	x = c.fnma(n, c.num(0.693359375), x)
	x = c.fnma(n, c.num(-2.12194440e-4), x)
	p := c.horner(x, expPolynomial...)
	half := c.shiftRight(i, 1) // 2ⁿ itself may be no float32
	p = c.addInt(p, c.shiftLeft(half, 23))
	return c.mul(p, c.addInt(c.shiftLeft(c.subInt(i, half), 23), c.num(1)))
}

// logistic is 1 + e^(−kx), and sigmoid its inverse.
func (c *code) logistic(x *vec, k float64) *vec { return c.add(c.exp(c.mul(x, c.num(-k))), c.num(1)) }

func (c *code) sigmoid(x *vec, k float64) *vec { return c.div(c.num(1), c.logistic(x, k)) }

// log is ln x as in Cephes' logf.
func (c *code) log(x *vec) *vec {
	tiny := c.mul(x, c.num(1<<25))
	m := c.choose(c.less(x, c.num(0x1p-126)), tiny, x)
	shift := c.choose(c.less(x, c.num(0x1p-126)), c.num(25), c.zero())
	e := c.shiftRight(c.subInt(m, c.num(math.Sqrt2/2)), 23)
	m = c.subInt(m, c.shiftLeft(e, 23)) // between √½ and √2
	e = c.sub(c.fromInt(e), shift)
	f := c.sub(m, c.num(1))
	z := c.mul(f, f)
	p := c.horner(f, 7.0376836292e-2, -1.1514610310e-1, 1.1676998740e-1, -1.2420140846e-1, 1.4249322787e-1,
		-1.6668057665e-1, 2.0000714765e-1, -2.4999993993e-1, 3.3333331174e-1)
	y := c.mul(c.mul(p, z), f)
	y = c.fma(e, c.num(-2.12194440e-4), y)
	y = c.fnma(z, c.num(0.5), y)
	y = c.add(y, f)
	y = c.fma(e, c.num(0.693359375), y)
	y = c.choose(c.same(x, c.num(math.Inf(1))), x, y)
	y = c.choose(c.same(x, c.zero()), c.num(math.Inf(-1)), y)
	y = c.choose(c.less(x, c.zero()), c.num(math.NaN()), y)
	return c.choose(c.same(x, x), y, x)
}

// tanh is Cephes' tanhf.
func (c *code) tanh(x *vec) *vec {
	z := c.mul(x, x)
	p := c.horner(z, -5.70498872745e-3, 2.06390887954e-2, -5.37397155531e-2, 1.33314442036e-1, -3.33332819422e-1)
	small := c.fma(c.mul(p, z), x, c.copyOf(x))
	large := c.sub(c.num(1), c.div(c.num(2), c.add(c.exp(c.add(x, x)), c.num(1))))
	return c.choose(c.less(z, c.num(0.625*0.625)), small, large)
}

// normal is Φ(x) and e^(−x²/2).
func (c *code) normal(x *vec) (phi, e *vec) {
	e = c.exp(c.mul(c.mul(x, x), c.num(-0.5)))
	t := c.div(c.num(1), c.fma(c.abs(x), c.num(0.3), c.fresh(1)))
	low := c.mul(c.horner(t, 0.03840740641, -0.1693075606, 0.2289519714, -0.07683986646, 0.1427654046, 0.09458581321,
		0.1219452746, 0.1194842057, 7.372464452e-6), e)
	return c.choose(c.less(x, c.zero()), low, c.sub(c.num(1), low)), e
}

// inner is the k·√(2/π)(x + 0.044715x³) of GELU's tanh approximation.
func (c *code) inner(x *vec, k float64) *vec {
	return c.mul(x, c.fma(c.mul(x, x), c.num(k*tanhA*tanhB), c.fresh(k*tanhA)))
}

// swish is the slope of x·σ(kx) and σ(kx): σ + kx·σ·(1−σ).
func (c *code) swish(x *vec, k float64) (slope, s *vec) {
	s = c.sigmoid(x, k)
	rest := c.sub(c.num(1), s)
	kx := x
	if k != 1 {
		kx = c.mul(x, c.num(k))
	}
	return c.fma(c.mul(kx, s), rest, c.copyOf(s)), s
}

// functions are f(x), by the names that package backend gives them, and what the doc comments say of them.
var functions = []struct {
	name, formula string
	exp           bool // whether it needs exp
	f             func(c *code, x *vec) *vec
	gradient      func(c *code) *vec // dy·f'(x), from dy and what it needs of x and y
}{
	{"Exp", "exp(x[i])", true, (*code).exp, func(c *code) *vec { return c.mul(c.load("y"), c.load("dy")) }},
	{"Log", "log(x[i])", false, (*code).log, func(c *code) *vec {
		return c.mul(c.load("dy"), c.div(c.num(1), c.load("x")))
	}},
	{"Sqrt", "√x[i]", false, (*code).sqrt, func(c *code) *vec {
		return c.mul(c.load("dy"), c.div(c.num(0.5), c.load("y")))
	}},
	{"Rsqrt", "1 / √x[i]", false, func(c *code, x *vec) *vec { return c.div(c.num(1), c.sqrt(x)) }, func(c *code) *vec {
		return c.mul(c.load("dy"), c.div(c.mul(c.load("y"), c.num(-0.5)), c.load("x")))
	}},
	{"Tanh", "tanh(x[i])", true, (*code).tanh, func(c *code) *vec {
		y := c.load("y")
		return c.mul(c.load("dy"), c.fnma(y, y, c.fresh(1)))
	}},
	{"Sigmoid", "1 / (1 + exp(-x[i]))", true, func(c *code, x *vec) *vec { return c.sigmoid(x, 1) }, func(c *code) *vec {
		y := c.load("y")
		return c.mul(c.load("dy"), c.mul(y, c.sub(c.num(1), y)))
	}},
	{"ReLU", "max(x[i], 0)", false, func(c *code, x *vec) *vec { return c.max(x, c.zero()) }, func(c *code) *vec {
		x, zero := c.load("x"), c.zero()
		return c.mul(c.load("dy"), c.choose(c.less(zero, x), c.num(1), c.mul(x, zero)))
	}},
	{"SiLU", "x[i] / (1 + exp(-x[i]))", true, func(c *code, x *vec) *vec { return c.div(x, c.logistic(x, 1)) },
		func(c *code) *vec { s, _ := c.swish(c.load("x"), 1); return c.mul(s, c.load("dy")) }},
	{"GELU", "x[i] * Φ(x[i])", true, func(c *code, x *vec) *vec { phi, _ := c.normal(x); return c.mul(x, phi) },
		func(c *code) *vec {
			x := c.load("x")
			phi, e := c.normal(x)
			return c.mul(c.fma(c.mul(e, c.num(0.3989422804)), x, phi), c.load("dy"))
		}},
	{"GELUTanh", "x[i] / (1 + exp(-2*tanhA*(x[i]+tanhB*x[i]*x[i]*x[i])))", true,
		func(c *code, x *vec) *vec { return c.div(x, c.add(c.exp(c.inner(x, -2)), c.num(1))) },
		func(c *code) *vec {
			x := c.load("x")
			s := c.div(c.num(1), c.add(c.exp(c.inner(x, -2)), c.num(1)))
			rest := c.sub(c.num(1), s)
			d := c.fma(c.mul(x, x), c.num(2*tanhA*3*tanhB), c.fresh(2*tanhA))
			return c.mul(c.fma(c.mul(c.mul(x, s), rest), d, s), c.load("dy"))
		}},
	{"QuickGELU", "x[i] / (1 + exp(-1.702*x[i]))", true,
		func(c *code, x *vec) *vec { return c.div(x, c.logistic(x, quick)) },
		func(c *code) *vec { s, _ := c.swish(c.load("x"), quick); return c.mul(s, c.load("dy")) }},
}
