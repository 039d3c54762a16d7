package cpu

import (
	"math"

	"github.com/gollava/gollava/internal/backend"
)

func (d *Device) Reduce(op backend.Reduction, dst, x *backend.Buffer, outer, n, inner int) {
	y, u := dst.Float32(), x.Float32()
	switch {
	case len(y) == 0:
	case inner == 1 && op == backend.Sum && n > 2*grain:
		for o := range outer {
			y[o] = float32(total(u[o*n : (o+1)*n]))
		}
	case inner == 1 && len(u) <= grain:
		reduceRows(op, y, u, n)
	case inner == 1:
		ranges(outer, max(1, grain/max(n, 1)), func(i, j int) { reduceRows(op, y[i:j], u[i*n:j*n], n) })
	case op == backend.Sum:
		sumColumns(y, u, outer, n, inner)
	case len(u) <= grain:
		maxColumns(y, u, outer, n, inner)
	default:
		ranges(outer, max(1, grain/max(n*inner, 1)),
			func(i, j int) { maxColumns(y[i*inner:j*inner], u[i*n*inner:], j-i, n, inner) })
	}
}

func reduceRows(op backend.Reduction, y, x []float32, n int) {
	f := vectors().sum
	if op == backend.Max {
		f = vectors().max
	}
	for i := range y {
		y[i] = f(x[i*n : (i+1)*n])
	}
}

// total is the sum of a long vector.
func total(x []float32) float64 {
	f, parts := vectors().sum, make([]float32, (len(x)+grain-1)/grain)
	ranges(len(x), grain, func(i, j int) { parts[i/grain] = f(x[i:j]) })
	s := 0.0
	for _, v := range parts {
		s += float64(v)
	}
	return s
}

// sumColumns adds up the rows of each of outer matrices [n, inner]: those of a chunk one after another, then the
// chunks.
func sumColumns(y, x []float32, outer, n, inner int) {
	clear(y)
	chunk := max(32, grain/inner)
	switch {
	case outer*n*inner <= grain:
		addMatrices(y, x, n, inner)
	case n <= chunk:
		ranges(outer, height(n*inner), func(i, j int) { addMatrices(y[i*inner:j*inner], x[i*n*inner:j*n*inner], n, inner) })
	default:
		s := borrow()
		defer s.giveBack()
		chunks := (n + chunk - 1) / chunk
		parts := s.take(outer * chunks * inner)
		parallel(outer*chunks, func(i int) {
			o, c := i/chunks, i%chunks
			part := parts[i*inner : (i+1)*inner]
			clear(part)
			addRows(part, x[(o*n+c*chunk)*inner:(o*n+min(n, (c+1)*chunk))*inner])
		})
		addMatrices(y, parts, chunks, inner)
	}
}

// addMatrices adds the rows of each matrix [n, inner] of x to its row of y.
func addMatrices(y, x []float32, n, inner int) {
	for ; len(y) > 0; y, x = y[inner:], x[n*inner:] {
		addRows(y[:inner], x[:n*inner])
	}
}

// addRows adds the rows of x, each as long as y, to y.
func addRows(y, x []float32) {
	add := vectors().binary[backend.Add]
	for ; len(x) > 0; x = x[len(y):] {
		add(y, y, x[:len(y)])
	}
}

func maxColumns(y, x []float32, outer, n, inner int) {
	for o := range outer {
		top := y[o*inner : (o+1)*inner]
		for j := range top {
			top[j] = float32(math.Inf(-1))
		}
		for i := range n {
			for j, v := range x[(o*n+i)*inner:][:inner] {
				if v > top[j] || v != v {
					top[j] = v
				}
			}
		}
	}
}

func (d *Device) ArgMax(dst, x *backend.Buffer, outer, n, inner int) {
	at, u := dst.Int32(), x.Float32()
	if len(u) <= grain {
		argMax(at, u, outer, n, inner)
		return
	}
	ranges(outer, max(1, grain/(n*inner)),
		func(i, j int) { argMax(at[i*inner:j*inner], u[i*n*inner:j*n*inner], j-i, n, inner) })
}

func argMax(at []int32, x []float32, outer, n, inner int) {
	f := vectors().max
	for o := range outer {
		m := x[o*n*inner : (o+1)*n*inner]
		if inner == 1 {
			top := f(m)
			for i, v := range m {
				if v == top || v != v {
					at[o] = int32(i)
					break
				}
			}
			continue
		}
		best := at[o*inner : (o+1)*inner]
		clear(best)
		for i := range n {
			for j, v := range m[i*inner:][:inner] {
				if top := m[int(best[j])*inner+j]; v > top || v != v && top == top {
					best[j] = int32(i)
				}
			}
		}
	}
}

func (d *Device) MaxGrad(dx, at, dy *backend.Buffer, outer, n, inner int) {
	d.Fill(dx, 0)
	x, g, a := dx.Float32(), dy.Float32(), at.Int32()
	for o := range outer {
		for j := range inner {
			x[(o*n+int(a[o*inner+j]))*inner+j] = g[o*inner+j]
		}
	}
}
