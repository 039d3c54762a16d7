package shapes

import "math"

// samples is how finely the rasteriser looks at a pixel: samples² points.
const samples = 8

// point is a place relative to an object's centre, y down, in units of its radius.
type point struct{ x, y float64 }

// outlines are the shapes of radius one. A circle has none.
func outline(s Shape) []point {
	switch s {
	case Square:
		const h = 0.86
		return []point{{-h, -h}, {h, -h}, {h, h}, {-h, h}}
	case Triangle:
		return []point{{0, -1}, {1.008, 0.8}, {-1.008, 0.8}}
	case Cross:
		const a = 0.33
		return []point{{-a, -1}, {a, -1}, {a, -a}, {1, -a}, {1, a}, {a, a}, {a, 1}, {-a, 1}, {-a, a}, {-1, a}, {-1, -a},
			{-a, -a}}
	case Star:
		p := make([]point, 10)
		for i := range p {
			radius := 1.08
			if i%2 == 1 {
				radius *= 0.42
			}
			sin, cos := math.Sincos(float64(i) * math.Pi / 5)
			p[i] = point{radius * sin, -radius * cos}
		}
		return p
	}
	return nil
}

// inside reports whether a point lies in a shape of radius one, by the even-odd rule.
func inside(p point, edge []point) bool {
	if edge == nil {
		return float64(p.x*p.x)+float64(p.y*p.y) <= 1
	}
	in := false
	for i, a := range edge {
		b := edge[(i+1)%len(edge)]
		if (a.y > p.y) != (b.y > p.y) && p.x < a.x+float64((p.y-a.y)/(b.y-a.y)*(b.x-a.x)) {
			in = !in
		}
	}
	return in
}

// sprites rasterises every shape in both sizes: [shape·2+size][cell·cell], how many of a pixel's 64 points are covered.
func sprites(c Config) [][]uint8 {
	all := make([][]uint8, 2*len(shapeNames))
	for i := range all {
		radius := c.SmallRadius
		if Size(i%2) == Large {
			radius = c.LargeRadius
		}
		edge := outline(Shape(i / 2))
		all[i] = make([]uint8, c.Cell*c.Cell)
		n := c.Cell * samples
		for y := range n {
			for x := range n {
				at := func(k int) float64 { return ((float64(k)+0.5)/samples - float64(c.Cell)/2) / radius }
				if inside(point{at(x), at(y)}, edge) {
					all[i][y/samples*c.Cell+x/samples]++
				}
			}
		}
	}
	return all
}

// quantiles is a table of 4096 equally likely values of normal noise, in 256ths of a level.
func quantiles(sigma float64) []int32 {
	t := make([]int32, 4096)
	for i := range t {
		u := (float64(i) + 0.5) / float64(len(t))
		t[i] = int32(math.Round(256 * sigma * math.Sqrt2 * math.Erfinv(2*u-1)))
	}
	return t
}
