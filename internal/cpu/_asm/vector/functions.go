package main

import (
	"math"

	. "github.com/mmcloughlin/avo/build"
	. "github.com/mmcloughlin/avo/operand"
)

// The functions of scalar.go of package cpu, a register at a time.

const (
	expLow  = -104
	expHigh = 89
	magic   = 3 << 22 // added to a small number, leaves it rounded to an integer in the low bits
	tanhA   = 0.7978845608
	tanhB   = 0.044715
	quick   = 1.702
)

// holdExp keeps what exp needs in registers.
func (c *code) holdExp() { c.hold(expLow, expHigh) }

// exp is eˣ; x is overwritten.
func (c *code) exp(x vec) vec {
	VMAXPS(x, c.number(expLow), x) // x is the operand that a NaN is taken from
	VMINPS(x, c.number(expHigh), x)
	t := c.fma(x, num(math.Log2E), c.set(magic))
	n := c.sub(t, num(magic))
	c.fnma(n, num(0.693359375), x)
	c.fnma(n, num(-2.12194440e-4), x)
	p := c.expPolynomial(x)
	i, h := c.reg(), c.reg()
	VPSUBD(word(math.Float32bits(magic)), t, i)
	VPSRAD(U8(1), i, h) // 2ⁿ itself may be no float32: halve n
	VPSUBD(h, i, i)
	VPSLLD(U8(23), h, h)
	VPADDD(h, p, p)
	VPSLLD(U8(23), i, i)
	VPADDD(num(1), i, i)
	return c.mul(p, i)
}

// expPolynomial is eˣ for |x| ≤ ln2/2.
func (c *code) expPolynomial(x vec) vec {
	return c.horner(x, 1.9875691500e-4, 1.3981999507e-3, 8.3334519073e-3, 4.1665795894e-2, 1.6666665459e-1, 5.0000001201e-1, 1, 1)
}

// sigmoid is 1/(1+e^(−kx)).
func (c *code) sigmoid(x vec, k float64) vec { return c.div(c.number(1), c.logistic(x, k)) }

// logistic is 1 + e^(−kx).
func (c *code) logistic(x vec, k float64) vec { return c.add(c.exp(c.mul(x, num(-k))), num(1)) }

// log is ln x as in Cephes' logf.
func (c *code) log(x vec) vec {
	tiny := c.mul(x, num(1<<25))
	m := c.choose(x, less, num(0x1p-126), tiny, x)
	zero := c.reg()
	VXORPS(zero, zero, zero)
	shift := c.choose(x, less, num(0x1p-126), c.set(25), zero)
	e := c.reg()
	VPSUBD(word(math.Float32bits(math.Sqrt2/2)), m, e)
	VPSRAD(U8(23), e, e)
	bits := c.reg()
	VPSLLD(U8(23), e, bits)
	VPSUBD(bits, m, m) // between √½ and √2
	VCVTDQ2PS(e, e)
	e = c.sub(e, shift)
	f := c.sub(m, num(1))
	z := c.mul(f, f)
	p := c.horner(f, 7.0376836292e-2, -1.1514610310e-1, 1.1676998740e-1, -1.2420140846e-1, 1.4249322787e-1, -1.6668057665e-1, 2.0000714765e-1,
		-2.4999993993e-1, 3.3333331174e-1)
	y := c.mul(c.mul(p, z), f)
	c.fma(e, num(-2.12194440e-4), y)
	c.fnma(z, num(0.5), y)
	y = c.add(y, f)
	c.fma(e, num(0.693359375), y)
	y = c.choose(x, equal, num(math.Inf(1)), x, y)
	y = c.choose(x, equal, zero, c.set(math.Inf(-1)), y)
	y = c.choose(x, notLess, zero, y, c.set(math.NaN()))
	return c.choose(x, unordered, x, x, y)
}

// tanh is Cephes' tanhf.
func (c *code) tanh(x vec) vec {
	z := c.mul(x, x)
	p := c.horner(z, -5.70498872745e-3, 2.06390887954e-2, -5.37397155531e-2, 1.33314442036e-1, -3.33332819422e-1)
	small := c.fma(c.mul(p, z), x, c.copyOf(x))
	large := c.sub(c.number(1), c.div(c.set(2), c.add(c.exp(c.add(x, x)), num(1))))
	return c.choose(z, less, num(0.625*0.625), small, large)
}

// expDown is 2⁶⁴·eˣ for x ≤ 0, which is no denormal, and so two steps shorter than exp; x is overwritten.
func (c *code) expDown(x vec) vec {
	const raised = magic + 64
	VMAXPS(x, c.number(expLow), x)
	t := c.fma(x, num(math.Log2E), c.set(raised))
	n := c.sub(t, num(raised))
	c.fnma(n, num(0.693359375), x)
	c.fnma(n, num(-2.12194440e-4), x)
	p := c.expPolynomial(x)
	VPSLLD(U8(23), t, t) // of the rounded number's bits, n+64 stays
	VPADDD(t, p, p)
	return p
}

// normal is Φ(x) and 2⁶⁴·e^(−x²/2).
func (c *code) normal(x vec) (phi, e vec) {
	e = c.expDown(c.mul(c.mul(x, x), num(-0.5)))
	t := c.div(c.number(1), c.fma(c.and(x, word(0x7fffffff)), num(0.3), c.set(1)))
	m := []float64{0.03840740641, -0.1693075606, 0.2289519714, -0.07683986646, 0.1427654046, 0.09458581321, 0.1219452746, 0.1194842057, 7.372464452e-6}
	for i := range m {
		m[i] *= 0x1p-64
	}
	low := c.mul(c.horner(t, m...), e)
	zero := c.reg()
	VXORPS(zero, zero, zero)
	return c.choose(x, less, zero, low, c.sub(c.number(1), low)), e
}

// inner is the k·√(2/π)(x + 0.044715x³) of GELU's tanh approximation.
func (c *code) inner(x vec, k float64) vec {
	return c.mul(x, c.fma(c.mul(x, x), num(k*tanhA*tanhB), c.set(k*tanhA)))
}

// functions are f(x), by the names that package backend gives them; x may be overwritten.
var functions = []struct {
	name string
	f    func(c *code, x vec) vec
}{
	{name: "Exp", f: func(c *code, x vec) vec { return c.exp(x) }},
	{name: "Log", f: func(c *code, x vec) vec { return c.log(x) }},
	{name: "Sqrt", f: func(c *code, x vec) vec { return c.sqrt(x) }},
	{name: "Rsqrt", f: func(c *code, x vec) vec { return c.div(c.number(1), c.sqrt(x)) }},
	{name: "Tanh", f: func(c *code, x vec) vec { return c.tanh(x) }},
	{name: "Sigmoid", f: func(c *code, x vec) vec { return c.sigmoid(x, 1) }},
	{name: "ReLU", f: func(c *code, x vec) vec { return c.relu(x) }},
	{name: "SiLU", f: func(c *code, x vec) vec { return c.div(x, c.logistic(x, 1)) }},
	{name: "GELU", f: func(c *code, x vec) vec { phi, _ := c.normal(x); return c.mul(x, phi) }},
	{name: "GELUTanh", f: func(c *code, x vec) vec { return c.div(x, c.add(c.exp(c.inner(x, -2)), num(1))) }},
	{name: "QuickGELU", f: func(c *code, x vec) vec { return c.div(x, c.logistic(x, quick)) }},
}

func (c *code) relu(x vec) vec {
	o := c.reg()
	VXORPS(o, o, o)
	VMAXPS(x, o, o) // NaN stays
	return o
}

// swish is the slope of x·σ(kx) and σ(kx): σ + kx·σ·(1−σ).
func (c *code) swish(x vec, k float64) (slope, s vec) {
	s = c.sigmoid(x, k)
	rest := c.sub(c.number(1), s)
	kx := x
	if k != 1 {
		kx = c.mul(x, num(k))
	}
	return c.fma(c.mul(kx, s), rest, c.copyOf(s)), s
}

// gradients are dx = dy·f'(x), each from dy and what it needs of x and y.
var gradients = map[string]func(c *code) vec{
	"Exp":   func(c *code) vec { return c.mul(c.load("y"), c.load("dy")) },
	"Log":   func(c *code) vec { return c.mul(c.load("dy"), c.div(c.number(1), c.load("x"))) },
	"Sqrt":  func(c *code) vec { return c.mul(c.load("dy"), c.div(c.set(0.5), c.load("y"))) },
	"Rsqrt": func(c *code) vec { return c.mul(c.load("dy"), c.div(c.mul(c.load("y"), num(-0.5)), c.load("x"))) },
	"Tanh": func(c *code) vec {
		y := c.load("y")
		return c.mul(c.load("dy"), c.fnma(y, y, c.set(1)))
	},
	"Sigmoid": func(c *code) vec {
		y := c.load("y")
		return c.mul(c.load("dy"), c.mul(y, c.sub(c.number(1), y)))
	},
	"ReLU": func(c *code) vec {
		x, zero := c.load("x"), c.reg()
		VXORPS(zero, zero, zero)
		return c.mul(c.load("dy"), c.choose(zero, less, x, c.set(1), c.mul(x, zero)))
	},
	"SiLU":      func(c *code) vec { s, _ := c.swish(c.load("x"), 1); return c.mul(s, c.load("dy")) },
	"QuickGELU": func(c *code) vec { s, _ := c.swish(c.load("x"), quick); return c.mul(s, c.load("dy")) },
	"GELU": func(c *code) vec {
		x := c.load("x")
		phi, e := c.normal(x)
		return c.mul(c.fma(c.mul(e, num(0x1p-64*0.3989422804)), x, phi), c.load("dy"))
	},
	"GELUTanh": func(c *code) vec {
		x := c.load("x")
		s := c.div(c.number(1), c.add(c.exp(c.inner(x, -2)), num(1)))
		rest := c.sub(c.number(1), s)
		d := c.fma(c.mul(x, x), num(2*tanhA*3*tanhB), c.set(2*tanhA))
		return c.mul(c.fma(c.mul(c.mul(x, s), rest), d, s), c.load("dy"))
	},
}
