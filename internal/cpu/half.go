package cpu

import "unsafe"

// halve rounds what of A and B is float32 to bfloat16, into memory of s, if the product asks for it. It is the same on
// every level; what multiplies bfloat16 faster than float32 has them as it needs them, at the price of one pass over
// the operands.
func (g *gemm) halve(s *scratch, spread bool) {
	if !g.half {
		return
	}
	g.a.halve(g.m*g.k, s, spread)
	g.b.halve(g.k*g.n, s, spread)
	g.half = false
}

// halve makes x, whose n elements are contiguous, a matrix of bfloat16.
func (x *operand) halve(n int, s *scratch, spread bool) {
	if x.half != nil || n == 0 {
		return
	}
	half := unsafe.Slice((*uint16)(unsafe.Pointer(&s.take((n + 1) / 2)[0])), n)
	full := x.full
	if narrow := vectors().narrow; spread {
		ranges(n, 1<<15, func(from, to int) { narrow(half[from:to], full[from:to]) })
	} else {
		narrow(half, full[:n])
	}
	x.full, x.half = nil, half
}
