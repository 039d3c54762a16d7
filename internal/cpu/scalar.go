package cpu

import (
	"math"

	"github.com/gollava/gollava/internal/backend"
)

// The functions of one float32 that the vector kernels compute eight or sixteen at a time: the same steps, so that they
// agree to a few units in the last place.

const (
	log2e   = 1.44269504
	ln2High = 0.693359375 // ln 2 in two parts: n·ln2High is exact for |n| < 2¹⁵
	ln2Low  = -2.12194440e-4
	expLow  = -104 // e^expLow rounds to 0
	expHigh = 89   // e^expHigh overflows

	quick = 1.702        // QuickGELU's factor
	tanhA = 0.7978845608 // √(2/π)
	tanhB = 0.044715
)

// exp is eˣ, denormal results included: e^x = 2ⁿ·e^r with |r| ≤ ln2/2, whose polynomial is Cephes' expf.
func exp(x float32) float32 {
	if x != x {
		return x
	}
	x = min(max(x, expLow), expHigh)
	n := int32(math.RoundToEven(float64(x * log2e)))
	r := x - float32(n)*ln2High - float32(n)*ln2Low
	p := float32(1.9875691500e-4)
	p = p*r + 1.3981999507e-3
	p = p*r + 8.3334519073e-3
	p = p*r + 4.1665795894e-2
	p = p*r + 1.6666665459e-1
	p = p*r + 5.0000001201e-1
	p = p*r*r + r + 1
	half := n >> 1 // 2ⁿ itself may be no float32
	return p * power(half) * power(n-half)
}

// power is 2ⁿ, |n| < 127.
func power(n int32) float32 { return math.Float32frombits(uint32(n+127) << 23) }

func sigmoid(x float32) float32 { return 1 / (1 + exp(-x)) }

// tanh is Cephes' tanhf: a polynomial below 0.625, where 1 − 2/(e²ˣ+1) would cancel.
func tanh(x float32) float32 {
	if x < 0.625 && x > -0.625 {
		z := x * x
		p := float32(-5.70498872745e-3)
		p = p*z + 2.06390887954e-2
		p = p*z - 5.37397155531e-2
		p = p*z + 1.33314422036e-1
		p = p*z - 3.33332819422e-1
		return p*z*x + x
	}
	return 1 - 2/(exp(2*x)+1)
}

// normal returns Φ(x), the normal distribution function, and e^(−x²/2). For a = |x|, Φ(−a) = e^(−a²/2)·M(a), and M is a
// polynomial in t = 1/(1+0.3a), fitted to erfcx within 6e-8 relative.
func normal(x float32) (phi, e float32) {
	a := x
	if a < 0 {
		a = -a
	}
	t := 1 / (0.3*a + 1)
	p := float32(0.03840740641)
	p = p*t - 0.1693075606
	p = p*t + 0.2289519714
	p = p*t - 0.07683986646
	p = p*t + 0.1427654046
	p = p*t + 0.09458581321
	p = p*t + 0.1219452746
	p = p*t + 0.1194842057
	p = p*t + 7.372464452e-6
	e = exp(-0.5 * (x * x))
	if phi = p * e; x >= 0 {
		phi = 1 - phi
	}
	return phi, e
}

// function is f(x).
func function(op backend.Unary, x float32) float32 {
	switch op {
	case backend.Exp:
		return exp(x)
	case backend.Log:
		return float32(math.Log(float64(x)))
	case backend.Sqrt:
		return float32(math.Sqrt(float64(x)))
	case backend.Rsqrt:
		return 1 / float32(math.Sqrt(float64(x)))
	case backend.Tanh:
		return tanh(x)
	case backend.Sigmoid:
		return sigmoid(x)
	case backend.ReLU:
		if x < 0 {
			return 0
		}
		return x
	case backend.SiLU:
		return x / (1 + exp(-x))
	case backend.GELU:
		phi, _ := normal(x)
		return x * phi
	case backend.GELUTanh:
		return x / (1 + exp(-2*tanhA*(x+tanhB*(x*x*x))))
	case backend.QuickGELU:
		return x / (1 + exp(-quick*x))
	}
	return x
}

// slope is f'(x), given y = f(x).
func slope(op backend.Unary, x, y float32) float32 {
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
		s := sigmoid(x)
		return s + x*s*(1-s)
	case backend.GELU:
		phi, e := normal(x)
		return phi + x*e*0.3989422804
	case backend.GELUTanh:
		s := sigmoid(2 * tanhA * (x + tanhB*(x*x*x)))
		return s + x*s*(1-s)*(2*tanhA*(1+3*tanhB*(x*x)))
	case backend.QuickGELU:
		s := sigmoid(quick * x)
		return s + quick*x*s*(1-s)
	}
	return 1
}
