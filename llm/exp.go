package llm

import "math"

// expStep is how finely [exp] tabulates powers of two: 32 to an octave.
const expStep = 32

// powers are 2^(i/expStep).
var powers = func() (p [expStep]float64) {
	for i := range p {
		p[i] = math.Exp2(float64(i) / expStep)
	}
	return p
}()

// exp is math.Exp of x ≤ 0 within 2⁻⁵² of the result, at a fifth of its time: a softmax over a vocabulary calls it once
// for each token. With n the integer next to 32·x/ln 2, it is 2^(n/32)·e^r, and r is so small that six terms do.
func exp(x float64) float64 {
	switch {
	case x < -746: // of which there are many: tokens that may not be chosen
		return 0
	case !(x > -700): // or NaN
		return math.Exp(x)
	}
	const magic = 3 << 51                                     // adding it rounds to an integer, in the lowest bits
	const high, low = 0x1.62e42fef8p-6, 0x1.1cf79abc9e3b4p-41 // ln 2/32, the first so short that n·high is exact
	t := x*(expStep/math.Ln2) + magic
	n := int64(math.Float64bits(t) - math.Float64bits(magic))
	f := t - magic
	r := (x - f*high) - f*low
	q := r * r
	e := 1 + r + q*(0.5+r*(1./6)+q*(1./24+r*(1./120)+q*(1./720)))
	return powers[n&(expStep-1)] * e * math.Float64frombits(uint64(n>>5+1023)<<52)
}
