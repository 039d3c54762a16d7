package cpu

import "runtime"

// MultiplyAdds runs n rounds of independent multiply-adds of the active level's vectors and returns how many
// floating-point operations that were: their rate is what a product can reach at best.
func MultiplyAdds(n int) (flops int) { return n * multiplyAdds(n) }

// HalfMultiplyAdds is [MultiplyAdds] for bfloat16 with float32 sums, of what multiplies them fastest: a matrix unit, or
// VDPBF16PS, or else what multiplies float32.
func HalfMultiplyAdds(n int) (flops int) { return n * halfMultiplyAdds(n) }

// Read loads x once and does nothing with it: its rate is what an operation bound by memory can reach at best.
func Read(x []float32) { read(x) }

// multiplyAddsGo returns the operations of one round.
func multiplyAddsGo(n int) int {
	a, b, c, d := float32(1), float32(2), float32(3), float32(4)
	e, f, g, h := float32(5), float32(6), float32(7), float32(8)
	for range n {
		a, b, c, d = a*0.5+1, b*0.5+1, c*0.5+1, d*0.5+1
		e, f, g, h = e*0.5+1, f*0.5+1, g*0.5+1, h*0.5+1
	}
	runtime.KeepAlive(a + b + c + d + e + f + g + h)
	return 2 * 8
}

func readGo(x []float32) {
	var a, b, c, d float32
	for ; len(x) >= 4; x = x[4:] {
		a, b, c, d = a+x[0], b+x[1], c+x[2], d+x[3]
	}
	runtime.KeepAlive(a + b + c + d)
}
