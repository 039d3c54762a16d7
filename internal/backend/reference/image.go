package reference

import (
	"math"

	"github.com/gollava/gollava/internal/backend"
)

// eachTerm calls f for every term of a resampling, with the indices of its element of Y and of X.
func eachTerm(r *backend.Resample, f func(y, x int, weight float64)) {
	ri, rw, ci, cw := r.Rows.Index.Int32(), r.Rows.Weight.Float32(), r.Cols.Index.Int32(), r.Cols.Weight.Float32()
	for y := range r.N * r.Out[0] * r.Out[1] {
		n, i, j := y/r.Out[1]/r.Out[0], y/r.Out[1]%r.Out[0], y%r.Out[1]
		for a := range r.Rows.K {
			for b := range r.Cols.K {
				u, v := i*r.Rows.K+a, j*r.Cols.K+b
				if w := float64(rw[u]) * float64(cw[v]); w != 0 {
					f(y, (n*r.In[0]+int(ri[u]))*r.In[1]+int(ci[v]), w)
				}
			}
		}
	}
}

func (d *Device) Resample(r *backend.Resample) {
	sum := make([]float64, r.Y.Len)
	eachTerm(r, func(y, x int, w float64) { sum[y] += w * float64(r.X.Float32()[x]) })
	rounded(r.Y, sum)
}

func (d *Device) ResampleGrad(r *backend.Resample) {
	sum := make([]float64, r.X.Len)
	eachTerm(r, func(y, x int, w float64) { sum[x] += w * float64(r.Y.Float32()[y]) })
	rounded(r.X, sum)
}

func (d *Device) MaxPool(p *backend.MaxPool) {
	x, y, at := p.X.Float32(), p.Y.Float32(), p.At.Int32()
	for o := range y {
		n, i, j := o/p.Out[1]/p.Out[0], o/p.Out[1]%p.Out[0], o%p.Out[1]
		at[o] = -1
		for a := range p.Kernel[0] {
			for b := range p.Kernel[1] {
				u, v := i*p.Stride[0]+a*p.Dilation[0]-p.Pad[0], j*p.Stride[1]+b*p.Dilation[1]-p.Pad[1]
				if u < 0 || u >= p.In[0] || v < 0 || v >= p.In[1] {
					continue
				}
				e := u*p.In[1] + v
				if val := x[n*p.In[0]*p.In[1]+e]; at[o] < 0 || val > y[o] || val != val && y[o] == y[o] {
					y[o], at[o] = val, int32(e)
				}
			}
		}
	}
}

func (d *Device) MaxPoolGrad(p *backend.MaxPool) {
	sum := make([]float64, p.X.Len)
	for o, v := range p.Y.Float32() {
		sum[o/(p.Out[0]*p.Out[1])*p.In[0]*p.In[1]+int(p.At.Int32()[o])] += float64(v)
	}
	rounded(p.X, sum)
}

// place turns a coordinate of a grid into one of an axis of n elements; slope is its derivative.
func place(g *backend.GridSample, v float64, n int) (at, slope float64) {
	size, low, high := float64(n), -0.5, float64(n)-0.5
	if g.AlignCorners {
		size, low, high = size-1, 0, size-1
	}
	slope = size / 2
	if at = (v + 1) / 2 * size; !g.AlignCorners {
		at -= 0.5
	}
	switch g.Outside {
	case backend.Reflect:
		span := high - low
		if span == 0 {
			return 0, 0
		}
		at -= low
		if at < 0 {
			at, slope = -at, -slope
		}
		turns := math.Floor(at / span)
		if at -= turns * span; math.Mod(turns, 2) != 0 {
			at, slope = span-at, -slope
		}
		at += low
		fallthrough
	case backend.Border:
		if at <= 0 {
			return 0, 0
		}
		if at >= float64(n-1) {
			return float64(n - 1), 0
		}
	}
	return at, slope
}

// eachCorner calls f for every element that is read at point p of picture n, with its weight and the derivatives
// of that by x and y.
func eachCorner(g *backend.GridSample, n, p int, f func(at int, w, dx, dy float64)) {
	o := 2 * (n*g.P + p)
	x, sx := place(g, float64(g.Grid.Float32()[o]), g.W)
	y, sy := place(g, float64(g.Grid.Float32()[o+1]), g.H)
	visit := func(i, j, w, dx, dy float64) {
		if i >= 0 && i < float64(g.H) && j >= 0 && j < float64(g.W) {
			f(int(i)*g.W+int(j), w, dx, dy)
		}
	}
	if g.Nearest {
		visit(math.RoundToEven(y), math.RoundToEven(x), 1, 0, 0)
		return
	}
	j, i := math.Floor(x), math.Floor(y)
	a, b := x-j, y-i
	visit(i, j, (1-a)*(1-b), -(1-b)*sx, -(1-a)*sy)
	visit(i, j+1, a*(1-b), (1-b)*sx, -a*sy)
	visit(i+1, j, (1-a)*b, -b*sx, (1-a)*sy)
	visit(i+1, j+1, a*b, b*sx, a*sy)
}

func (d *Device) GridSample(g *backend.GridSample) {
	x, y := g.X.Float32(), g.Y.Float32()
	for o := range y {
		n, c, p := o/g.P/g.C, o/g.P%g.C, o%g.P
		sum := 0.0
		eachCorner(g, n, p, func(at int, w, _, _ float64) { sum += w * float64(x[(n*g.C+c)*g.H*g.W+at]) })
		y[o] = float32(sum)
	}
}

func (d *Device) GridSampleGrad(g *backend.GridSample, dx, dGrid *backend.Buffer) {
	x, dy := g.X.Float32(), g.Y.Float32()
	image, grid := make([]float64, g.X.Len), make([]float64, g.Grid.Len)
	for o, v := range dy {
		n, c, p := o/g.P/g.C, o/g.P%g.C, o%g.P
		eachCorner(g, n, p, func(at int, w, byX, byY float64) {
			e, at2 := (n*g.C+c)*g.H*g.W+at, 2*(n*g.P+p)
			image[e] += w * float64(v)
			grid[at2] += byX * float64(v) * float64(x[e])
			grid[at2+1] += byY * float64(v) * float64(x[e])
		})
	}
	if dx != nil {
		rounded(dx, image)
	}
	if dGrid != nil {
		rounded(dGrid, grid)
	}
}
