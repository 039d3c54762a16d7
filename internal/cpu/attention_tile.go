package cpu

import "math"

// transpose writes x [rows, cols], rows ldx apart, as [cols, rows], rows ldy apart.
func transpose(y []float32, ldy int, x []float32, ldx, rows, cols int) {
	for i := range rows {
		for j, v := range x[i*ldx:][:cols] {
			y[j*ldy+i] = v
		}
	}
}

func axpy(y []float32, a float32, x []float32) {
	x = x[:len(y)]
	for i := range y {
		y[i] += a * x[i]
	}
}

func dot(x, y []float32) float32 {
	y = y[:len(x)]
	s := float32(0)
	for i, v := range x {
		s += v * y[i]
	}
	return s
}

func scale(x []float32, a float32) {
	for i := range x {
		x[i] *= a
	}
}

func maximum(x []float32) float32 {
	m := float32(math.Inf(-1))
	for _, v := range x {
		m = max(m, v)
	}
	return m
}

// exponentials sets x = e^(a·x − b) and returns the sum.
func exponentials(x []float32, a, b float32) float32 {
	s := float32(0)
	for i, v := range x {
		x[i] = float32(math.Exp(float64(a*v - b)))
		s += x[i]
	}
	return s
}

// scoreGradients sets p = e^(a·p − lse) and ds = p·(ds − delta)·scale.
func scoreGradients(p, ds []float32, a, lse, delta, scale float32) {
	ds = ds[:len(p)]
	for i, v := range p {
		p[i] = float32(math.Exp(float64(a*v - lse)))
		ds[i] = p[i] * (ds[i] - delta) * scale
	}
}
