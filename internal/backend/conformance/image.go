package conformance

import (
	"math"

	"github.com/gollava/gollava/internal/backend"
)

// pictures are [N, H, W] and the size of what is made of them.
var pictures = []struct{ n, h, w, toH, toW int }{{1, 1, 1, 1, 1}, {3, 5, 7, 9, 4}, {2, 16, 17, 33, 34}, {1, 31,
	33, 7, 5},
	{17, 3, 1, 1, 3}, {0, 4, 4, 2, 2}, {2, 64, 67, 130, 131}, {1, 2, 3, 0, 5}, {70, 24, 24, 12, 12}}

// taps are random terms for outputs along an axis of n elements, some of weight 0 and some equal to those before.
func (s *suite) taps(n, outputs, k int) (t backend.Taps, index []int32, weight []float32) {
	weight, index = s.normal(outputs*k, 1), make([]int32, outputs*k)
	for i := range index {
		index[i] = int32(s.r.IntN(n))
		if s.r.IntN(5) == 0 {
			weight[i] = 0
		}
		if k == 1 && s.r.IntN(2) == 0 {
			weight[i] = 1
		}
	}
	for i := k; i < outputs*k; i += k {
		if s.r.IntN(3) == 0 {
			copy(index[i:i+k], index[i-k:])
			copy(weight[i:i+k], weight[i-k:])
		}
	}
	return backend.Taps{K: k, Index: s.ints(index), Weight: s.in(weight)}, index, weight
}

func resample(s *suite) {
	for _, c := range pictures {
		for _, k := range [][2]int{{1, 1}, {2, 2}, {4, 3}, {1, 5}} {
			s.start("%+v, %v taps", c, k)
			rows, ri, rw := s.taps(c.h, c.toH, k[0])
			cols, ci, cw := s.taps(c.w, c.toW, k[1])
			x, y := s.normal(c.n*c.h*c.w, 1), s.normal(c.n*c.toH*c.toW, 1)
			sumY, sumX := sumsOf(len(y)), sumsOf(len(x))
			for n := range c.n {
				for i := range ri {
					for j := range ci {
						from := (n*c.h+int(ri[i]))*c.w + int(ci[j])
						to := (n*c.toH+i/k[0])*c.toW + j/k[1]
						sumY.add(to, float64(rw[i])*float64(cw[j])*float64(x[from]))
						sumX.add(from, float64(rw[i])*float64(cw[j])*float64(y[to]))
					}
				}
			}
			r := backend.Resample{X: s.in(x), Y: s.out(len(y)), N: c.n, In: [2]int{c.h, c.w}, Out: [2]int{c.toH,
				c.toW}, Rows: rows, Cols: cols}
			s.dev.Resample(&r)
			s.within("Y", r.Y, sumY.value, func(i int) float64 { return 1e-6 * sumY.size[i] })
			r.X, r.Y = s.out(len(x)), s.in(y)
			s.dev.ResampleGrad(&r)
			s.within("X", r.X, sumX.value, func(i int) float64 { return 1e-6 * sumX.size[i] })
			s.done()
		}
	}
}

func maxPool(s *suite) {
	for form := range 40 {
		p := backend.MaxPool{N: s.r.IntN(5)}
		for i := range 2 {
			p.In[i], p.Kernel[i], p.Stride[i], p.Dilation[i] = 1+s.r.IntN(20), 1+s.r.IntN(4), 1+s.r.IntN(3),
				1+s.r.IntN(2)
			if i == 1 {
				p.In[i] += 17
			}
			p.Kernel[i] = min(p.Kernel[i], (p.In[i]-1)/p.Dilation[i]+1)
			p.Pad[i] = s.r.IntN(p.Kernel[i]/2 + 1)
			p.Out[i] = (p.In[i]+2*p.Pad[i]-(p.Kernel[i]-1)*p.Dilation[i]-1)/p.Stride[i] + 1
		}
		s.start("%+v", p)
		x := s.normal(p.N*p.In[0]*p.In[1], 1)
		for i := range x {
			if form%2 == 1 {
				x[i] = float32(s.r.IntN(3))
			}
			if form%4 == 3 && s.r.IntN(9) == 0 {
				x[i] = float32(math.NaN())
			}
		}
		size := p.Out[0] * p.Out[1]
		want, at, dy := make([]float32, p.N*size), make([]int32, p.N*size), s.normal(p.N*size, 1)
		grad := make([]float64, len(x))
		for o := range want {
			found := false
			for e := range p.In[0] * p.In[1] { // is element e in the window?
				in := true
				for i, v := range [2]int{e / p.In[1], e % p.In[1]} {
					q := [2]int{o % size / p.Out[1], o % p.Out[1]}[i]
					t := v + p.Pad[i] - q*p.Stride[i]
					in = in && t >= 0 && t%p.Dilation[i] == 0 && t/p.Dilation[i] < p.Kernel[i]
				}
				v := x[o/size*p.In[0]*p.In[1]+e]
				if in && (!found || v > want[o] || v != v && want[o] == want[o]) {
					want[o], at[o], found = v, int32(e), true
				}
			}
			grad[o/size*p.In[0]*p.In[1]+int(at[o])] += float64(dy[o])
		}
		p.X, p.Y, p.At = s.in(x), s.out(len(want)), s.buffer(backend.Int32, len(want))
		s.dev.MaxPool(&p)
		s.near("Y", p.Y, wide(want), 0, 0)
		for i, g := range p.At.Int32() {
			if g != at[i] {
				s.wrong("At: element %d is %d, want %d", i, g, at[i])
			}
		}
		p.X, p.Y, p.At = s.out(len(x)), s.in(dy), s.ints(at)
		s.dev.MaxPoolGrad(&p)
		s.near("X", p.X, grad, 1e-6, 1e-6)
		s.done()
	}
}

// lookup is a picture's value at a place between elements, and how it is made of them: plain bilinear
// interpolation of a picture that goes on beyond its edges as g says.
func lookup(g *backend.GridSample, x, y float64, pixel func(i, j int) (at int, ok bool), f func(at int, w float64)) {
	if g.Nearest {
		if at, ok := pixel(int(math.RoundToEven(y)), int(math.RoundToEven(x))); ok {
			f(at, 1)
		}
		return
	}
	i, j := int(math.Floor(y)), int(math.Floor(x))
	for a := range 2 {
		for b := range 2 {
			wy, wx := 1-math.Abs(y-float64(i+a)), 1-math.Abs(x-float64(j+b))
			if at, ok := pixel(i+a, j+b); ok && wy*wx != 0 {
				f(at, wy*wx)
			}
		}
	}
}

// unfold is the place in [0, n) that Outside makes of one along an axis.
func unfold(g *backend.GridSample, v float64, n int) float64 {
	low, high := -0.5, float64(n)-0.5
	if g.AlignCorners {
		low, high = 0, float64(n-1)
	}
	for g.Outside == backend.Reflect && high > low && (v < low || v > high) {
		if v < low {
			v = 2*low - v
		} else {
			v = 2*high - v
		}
	}
	if g.Outside != backend.Zeros {
		v = min(max(v, 0), float64(n-1))
	}
	return v
}

func gridSample(s *suite) {
	for form := range 36 {
		m := []struct{ n, c, p, h, w int }{{2, 3, 17, 5, 7}, {1, 1, 1, 1, 1}, {3, 2, 131, 16, 9}, {1, 5, 33, 2,
			31}, {0, 2, 3, 4, 4}}[s.r.IntN(5)]
		g := backend.GridSample{N: m.n, C: m.c, P: m.p, H: m.h, W: m.w, Nearest: form%3 == 2,
			AlignCorners: form/3%2 == 1,
			Outside:      backend.Outside(form / 6 % 3)}
		s.start("%+v", g)
		x, grid, dy := s.normal(m.n*m.c*m.h*m.w, 1), s.uniform(m.n*m.p*2, -1.8, 1.8), s.normal(m.n*m.c*m.p, 1)
		raw := func(v float64, n int) float64 {
			if g.AlignCorners {
				return (v + 1) / 2 * float64(n-1)
			}
			return (v+1)/2*float64(n) - 0.5
		}
		place := func(v float64, n int) float64 { return unfold(&g, raw(v, n), n) }
		for i := range grid { // no differences across an element or an edge, where the slope changes
			for n := []int{g.W, g.H}[i%2]; n > 1 || !g.AlignCorners; grid[i] = s.uniform(1, -1.8, 1.8)[0] {
				if twice := 2 * raw(float64(grid[i]), n); math.Abs(twice-math.Round(twice)) > 1e-3 {
					break
				}
			}
		}
		pixel := func(i, j int) (int, bool) { return i*g.W + j, i >= 0 && i < g.H && j >= 0 && j < g.W }
		at := func(n, p, axis int, off float64) float64 { return float64(grid[2*(n*g.P+p)+axis]) + off }
		value := func(n, c int, u, v float64) (sum float64) {
			lookup(&g, place(u, g.W), place(v, g.H), pixel, func(e int, w float64) {
				sum += w * float64(x[(n*g.C+c)*g.H*g.W+e])
			})
			return sum
		}
		want, dx, dGrid := make([]float64, len(dy)), make([]float64, len(x)), make([]float64, len(grid))
		for o := range want {
			n, c, p := o/g.P/g.C, o/g.P%g.C, o%g.P
			u, v := at(n, p, 0, 0), at(n, p, 1, 0)
			want[o] = value(n, c, u, v)
			lookup(&g, place(u, g.W), place(v, g.H), pixel, func(e int, w float64) {
				dx[(n*g.C+c)*g.H*g.W+e] += w * float64(dy[o])
			})
			const h = 1e-6
			if !g.Nearest {
				dGrid[2*(n*g.P+p)] += (value(n, c, u+h, v) - value(n, c, u-h, v)) / (2 * h) * float64(dy[o])
				dGrid[2*(n*g.P+p)+1] += (value(n, c, u, v+h) - value(n, c, u, v-h)) / (2 * h) * float64(dy[o])
			}
		}
		g.X, g.Grid, g.Y = s.in(x), s.in(grid), s.out(len(dy))
		s.dev.GridSample(&g)
		s.near("Y", g.Y, want, 1e-5, 4e-5)
		gx, gg := s.out(len(x)), s.out(len(grid))
		g.Y = s.in(dy)
		s.dev.GridSampleGrad(&g, gx, gg)
		s.near("dx", gx, dx, 1e-5, 1e-4)
		s.near("dGrid", gg, dGrid, 1e-3, 1e-2)
		alone := s.out(len(grid))
		s.dev.GridSampleGrad(&g, nil, alone)
		s.exact("dGrid alone", alone, gg.Float32())
		s.done()
	}
}

func groupNorm(s *suite) {
	for form, c := range [][4]int{{1, 1, 1, 1}, {2, 6, 17, 3}, {3, 4, 1, 2}, {1, 32, 67, 8}, {2, 5, 131, 5}, {0,
		4, 3, 2}, {2, 8, 1031, 1}, {5, 64, 64, 32}} {
		batch, channels, inner, groups := c[0], c[1], c[2], c[3]
		const eps = 0.01
		s.start("[%d %d %d] in %d groups", batch, channels, inner, groups)
		n, per := batch*channels*inner, channels/groups*inner
		x, dy, w, b := s.normal(n, 1), s.normal(n, 1), s.normal(channels, 1), s.normal(channels, 1)
		for i := range x {
			x[i] += 3 // a mean that is not zero
		}
		plain, half := form%4 == 3, form%2 == 1
		var wb, bb *backend.Buffer
		if wb, bb = s.weight(w, half), s.weight(b, half); plain {
			wb, bb = nil, nil
		}
		scale := func(k int) float64 {
			if plain {
				return 1
			}
			return float64(w[k/inner%channels])
		}
		want, mean, rstd := make([]float64, n), make([]float64, batch*groups), make([]float64, batch*groups)
		dx, dw, db := make([]float64, n), make([]float64, channels), make([]float64, channels)
		for g := range mean {
			for k := range per {
				mean[g] += float64(x[g*per+k]) / float64(per)
			}
			variance, s1, s2 := 0.0, 0.0, 0.0
			for k := range per {
				variance += math.Pow(float64(x[g*per+k])-mean[g], 2) / float64(per)
			}
			rstd[g] = 1 / math.Sqrt(variance+eps)
			for k := g * per; k < (g+1)*per; k++ {
				h := (float64(x[k]) - mean[g]) * rstd[g]
				if want[k] = h * scale(k); !plain {
					want[k] += float64(b[k/inner%channels])
				}
				dw[k/inner%channels] += float64(dy[k]) * h
				db[k/inner%channels] += float64(dy[k])
				s1 += float64(dy[k]) * scale(k) / float64(per)
				s2 += float64(dy[k]) * scale(k) * h / float64(per)
			}
			for k := g * per; k < (g+1)*per; k++ {
				dx[k] = rstd[g] * (float64(dy[k])*scale(k) - s1 - (float64(x[k])-mean[g])*rstd[g]*s2)
			}
		}
		y, mb, rb, xb, dyb := s.out(n), s.out(len(mean)), s.out(len(mean)), s.in(x), s.in(dy)
		s.dev.GroupNorm(y, mb, rb, xb, wb, bb, batch, channels, inner, groups, eps)
		s.near("dst", y, want, 1e-5, 2e-5)
		s.near("mean", mb, mean, 1e-6, 1e-6)
		s.near("rstd", rb, rstd, 1e-5, 0)
		gx, gw, gb, same := s.out(n), s.out(channels), s.out(channels), s.inout(dy)
		s.dev.GroupNormGrad(gx, gw, gb, xb, wb, mb, rb, dyb, batch, channels, inner, groups)
		s.dev.GroupNormGrad(same, nil, nil, xb, wb, mb, rb, same, batch, channels, inner, groups)
		loose := 3e-6 * math.Sqrt(float64(batch*inner))
		s.near("dx", gx, dx, 2e-5, 1e-4)
		s.near("dx in place", same, dx, 2e-5, 1e-4)
		s.near("dw", gw, dw, 2e-5, 10*loose)
		s.near("db", gb, db, 2e-5, loose)
		s.done()
	}
}
