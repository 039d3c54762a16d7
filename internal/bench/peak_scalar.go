package main

const scalarFLOPs = 2 * 8

var sink float32

func scalarMultiplyAdds(n int) {
	a, b, c, d, e, f, g, h := float32(1), float32(2), float32(3), float32(4), float32(5), float32(6), float32(7), float32(8)
	for range n {
		a, b, c, d = a*0.5+1, b*0.5+1, c*0.5+1, d*0.5+1
		e, f, g, h = e*0.5+1, f*0.5+1, g*0.5+1, h*0.5+1
	}
	sink = a + b + c + d + e + f + g + h
}

func scalarRead(x []float32) {
	var a, b, c, d float32
	for ; len(x) >= 4; x = x[4:] {
		a, b, c, d = a+x[0], b+x[1], c+x[2], d+x[3]
	}
	sink = a + b + c + d
}

// multiplyAddFLOPs is what one round of multiplyAdds computes.
func multiplyAddFLOPs() float64 { return scalarFLOPs }

func multiplyAdds(n int) { scalarMultiplyAdds(n) }

func readAll(x []float32) { scalarRead(x) }
