package cpu

import (
	"math"

	"github.com/gollava/gollava/internal/backend"
)

// corner is an element that a point of a grid reads.
type corner struct {
	at          int32 // −1: it is outside
	w, byX, byY float32
}

// corners of a point: four, or one and three outside.
type corners [4]corner

func (d *Device) GridSample(g *backend.GridSample) {
	x, y, q := g.X.Float32(), g.Y.Float32(), *g
	each := cornersOf(g)
	ranges(g.N*g.C, height(g.P*4), func(from, to int) {
		for u := from; u < to; u++ {
			plane, points := x[u*q.H*q.W:(u+1)*q.H*q.W], each[u/q.C*q.P:]
			for p := range q.P {
				sum := float32(0)
				for _, c := range points[p] {
					if c.at >= 0 {
						sum += c.w * plane[c.at]
					}
				}
				y[u*q.P+p] = sum
			}
		}
	})
}

func (d *Device) GridSampleGrad(g *backend.GridSample, dx, dGrid *backend.Buffer) {
	x, dy, q := g.X.Float32(), g.Y.Float32(), *g
	each := cornersOf(g)
	if dx != nil {
		grad := dx.Float32()
		ranges(g.N*g.C, height(max(g.P*4, g.H*g.W)), func(from, to int) {
			for u := from; u < to; u++ {
				plane, points := grad[u*q.H*q.W:(u+1)*q.H*q.W], each[u/q.C*q.P:]
				clear(plane)
				for p := range q.P {
					for _, c := range points[p] {
						if c.at >= 0 {
							plane[c.at] += c.w * dy[u*q.P+p]
						}
					}
				}
			}
		})
	}
	if dGrid == nil {
		return
	}
	grad := dGrid.Float32()
	ranges(g.N*g.P, height(g.C*8), func(from, to int) {
		for u := from; u < to; u++ {
			n, p := u/q.P, u%q.P
			var byX, byY float64
			for c := range q.C {
				plane, v := x[(n*q.C+c)*q.H*q.W:][:q.H*q.W], dy[(n*q.C+c)*q.P+p]
				for _, e := range each[u] {
					if e.at >= 0 {
						byX += float64(e.byX * v * plane[e.at])
						byY += float64(e.byY * v * plane[e.at])
					}
				}
			}
			grad[2*u], grad[2*u+1] = float32(byX), float32(byY)
		}
	})
}

// cornersOf returns the corners of every point of every picture.
func cornersOf(g *backend.GridSample) []corners {
	q, grid, all := *g, g.Grid.Float32(), make([]corners, g.N*g.P)
	ranges(len(all), grain/16, func(from, to int) {
		for i := from; i < to; i++ {
			all[i] = cornersAt(&q, grid[2*i], grid[2*i+1])
		}
	})
	return all
}

func cornersAt(g *backend.GridSample, u, v float32) (c corners) {
	x, slopeX := placeOf(g, u, g.W)
	y, slopeY := placeOf(g, v, g.H)
	element := func(i, j float64) int32 {
		if i >= 0 && i < float64(g.H) && j >= 0 && j < float64(g.W) {
			return int32(i)*int32(g.W) + int32(j)
		}
		return -1
	}
	if g.Nearest {
		c[0] = corner{at: element(math.RoundToEven(y), math.RoundToEven(x)), w: 1}
		c[1].at, c[2].at, c[3].at = -1, -1, -1
		return c
	}
	j, i := math.Floor(x), math.Floor(y)
	for k := range c {
		a, b := x-j, y-i // the weights of the right and the lower corners
		signX, signY := slopeX, slopeY
		if k&1 == 0 {
			a, signX = 1-a, -slopeX
		}
		if k&2 == 0 {
			b, signY = 1-b, -slopeY
		}
		c[k] = corner{element(i+float64(k>>1), j+float64(k&1)), float32(a * b), float32(signX * b), float32(signY * a)}
	}
	return c
}

// placeOf is where coordinate v of a grid lies on an axis of n elements, and its derivative.
func placeOf(g *backend.GridSample, v float32, n int) (at, slope float64) {
	low, high := -0.5, float64(n)-0.5 // the edges
	if g.AlignCorners {
		low, high = 0, float64(n-1)
	}
	slope = (high - low) / 2
	at = low + (float64(v)+1)*slope
	if g.Outside == backend.Zeros {
		return at, slope
	}
	if g.Outside == backend.Reflect && high > low {
		at, slope = reflected(at-low, high-low, slope)
		at += low
	}
	switch last := float64(n - 1); {
	case !(at > 0): // NaN too
		return 0, 0
	case at >= last:
		return last, 0
	}
	return at, slope
}

// reflected folds at into [0, span].
func reflected(at, span, slope float64) (float64, float64) {
	if at < 0 {
		at, slope = -at, -slope
	}
	if at = math.Mod(at, 2*span); at > span {
		return 2*span - at, -slope
	}
	return at, slope
}
