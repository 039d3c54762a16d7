package shapes

import (
	"image"
	"math"
	"math/rand/v2"
)

type rgb [3]int32

var (
	palette = []rgb{{214, 40, 40}, {40, 160, 60}, {45, 85, 215}, {232, 200, 30}, {145, 60, 185}, {240, 130, 25}}
	tints   = []rgb{{245, 245, 240}, {235, 240, 250}, {250, 238, 232}, {236, 248, 236}, {245, 236, 248},
		{230, 232, 236}}
	// otherTints are the backgrounds of the split Style.
	otherTints = []rgb{{226, 218, 200}, {205, 220, 226}, {228, 206, 206}, {206, 226, 210}, {216, 206, 228},
		{204, 204, 204}}
)

var (
	plate     = rgb{252, 252, 252}
	plateEdge = rgb{120, 120, 120}
	ink       = rgb{30, 30, 40}
)

const (
	one        = 256 // a level in the canvas's units
	signScale  = 2   // pixels per dot of a sign's letters
	styleNoise = 3   // how much stronger the noise of the split Style is
)

// canvas is a square picture in 256ths of a level: integers, so that it is the same on every machine.
type canvas struct {
	side int
	pix  []int32 // [side, side, 3]
}

// Image draws the scene: an opaque square picture of [World.Side] pixels.
func (s Scene) Image() *image.RGBA {
	w := s.world
	c := canvas{w.Side(), make([]int32, 3*w.Side()*w.Side())}
	ground := tints[s.Tint]
	if s.style {
		ground = otherTints[s.Tint]
	}
	c.fill(0, 0, c.side, c.side, ground)
	if s.Sign != nil {
		c.sign(s.Sign, w.Cell)
	}
	for _, o := range s.Objects {
		color := palette[o.Color]
		if s.style {
			color = turn(color, s.hue)
		}
		for k, d := range o.shade {
			color[k] += int32(d)
		}
		c.stamp(w.sprites[2*int(o.Shape)+int(o.Size)], w.Cell, o.Cell.Col*w.Cell+o.DX, o.Cell.Row*w.Cell+o.DY, color)
	}
	gain := int32(1)
	if s.style {
		c.blur()
		gain = styleNoise
	}
	return c.finish(w.noise, s.grain, gain)
}

// fill paints a rectangle.
func (c canvas) fill(x0, y0, x1, y1 int, v rgb) {
	for y := y0; y < y1; y++ {
		row := c.pix[3*(y*c.side+x0) : 3*(y*c.side+x1)]
		for i := 0; i < len(row); i += 3 {
			row[i], row[i+1], row[i+2] = v[0]*one, v[1]*one, v[2]*one
		}
	}
}

// sign paints a plate with a frame and its letters over a row of cells.
func (c canvas) sign(s *Sign, cell int) {
	top := s.Row * cell
	c.fill(1, top, c.side-1, top+cell, plateEdge)
	c.fill(2, top+1, c.side-2, top+cell-1, plate)
	x := (c.side-(6*len(s.Text)-1)*signScale)/2 + s.DX
	y := top + (cell-7*signScale)/2
	for _, letter := range s.Text {
		for i, dot := range glyphs[letter] { // rows of five dots and a blank
			if dot == '#' {
				dx, dy := x+i%6*signScale, y+i/6*signScale
				c.fill(dx, dy, dx+signScale, dy+signScale, ink)
			}
		}
		x += 6 * signScale
	}
}

// stamp lays a colour over the canvas where the sprite covers it.
func (c canvas) stamp(sprite []uint8, cell, x0, y0 int, v rgb) {
	for y := max(0, -y0); y < min(cell, c.side-y0); y++ {
		for x := max(0, -x0); x < min(cell, c.side-x0); x++ {
			a := int32(sprite[y*cell+x])
			if a == 0 {
				continue
			}
			p := c.pix[3*((y0+y)*c.side+x0+x):]
			for k := range 3 {
				p[k] += (v[k]*one - p[k]) * a / (samples * samples)
			}
		}
	}
}

// blur averages each pixel with its neighbours by ¼, ½, ¼, across and down.
func (c canvas) blur() {
	line := make([]int32, c.side)
	for axis := range 2 {
		step, next := 3, 3*c.side
		if axis == 1 {
			step, next = next, step
		}
		for i := range c.side {
			for k := range 3 {
				p := c.pix[i*next+k:]
				for j := range line {
					line[j] = p[j*step]
				}
				for j := range line {
					p[j*step] = (line[max(j-1, 0)] + 2*line[j] + line[min(j+1, c.side-1)]) / 4
				}
			}
		}
	}
}

// finish adds grey noise and rounds to bytes.
func (c canvas) finish(noise []int32, seed uint64, gain int32) *image.RGBA {
	m := image.NewRGBA(image.Rect(0, 0, c.side, c.side))
	src := rand.NewPCG(seed, 0)
	var bits uint64
	for i := range c.side * c.side {
		if i%5 == 0 {
			bits = src.Uint64()
		}
		d := noise[bits&4095]*gain + one/2
		bits >>= 12
		p, q := c.pix[3*i:3*i+3], m.Pix[4*i:4*i+4]
		q[0] = uint8(min(max((p[0]+d)/one, 0), 255))
		q[1] = uint8(min(max((p[1]+d)/one, 0), 255))
		q[2] = uint8(min(max((p[2]+d)/one, 0), 255))
		q[3] = 255
	}
	return m
}

// turn turns a colour's hue by some degrees, around the grey axis.
func turn(v rgb, degrees float64) rgb {
	sin, cos := math.Sincos(degrees * math.Pi / 180)
	a, b := cos+(1-cos)/3, (1-cos)/3
	c := sin / math.Sqrt(3)
	var out rgb
	for k := range 3 {
		x, y, z := float64(v[k]), float64(v[(k+1)%3]), float64(v[(k+2)%3])
		out[k] = int32(math.Round(float64(a*x) + float64((b-c)*y) + float64((b+c)*z)))
	}
	return out
}
