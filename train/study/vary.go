package study

import (
	"image"
	"math"
	"math/rand/v2"
)

// Vary appends the values 0 … 1 [3, size, size] of a square picture to dst as another artist might have placed and
// coloured it: moved, scaled, turned, stretched, mirrored where it may be, on another ground, blurred, with other
// colours and a hole, more of it if hard. size is at least 6. The picture's colours are premultiplied with its alpha.
func Vary(dst []float32, m *image.RGBA, mirror bool, size int, hard bool, r *rand.Rand) []float32 {
	between := func(a, b float64) float64 { return a + (b-a)*r.Float64() }
	sin, cos := math.Sincos(between(-0.2, 0.2))
	scale, sx, sy := between(0.85, 1.25), between(0.9, 1.1), between(0.9, 1.1)
	if mirror && r.IntN(2) == 0 {
		sx = -sx
	}
	dx, dy := between(-0.1, 0.1), between(-0.1, 0.1)
	side := float64(m.Rect.Dx())
	var ground [3]float32
	low := 1.0
	switch k := r.Float64(); {
	case k > 0.9:
		low = 0
	case k > 0.6:
		low = 0.6
	}
	for c := range ground {
		ground[c] = float32(between(low, 1))
	}
	x := make([]float32, size*size*3)
	for i := range size {
		for j := range size {
			u, v := (float64(j)+0.5)/float64(size)*2-1, (float64(i)+0.5)/float64(size)*2-1
			p := sample(m, (scale*(cos*u*sx-sin*v)+dx+1)*side/2-0.5, (scale*(sin*u*sx+cos*v*sy)+dy+1)*side/2-0.5)
			for c := range 3 {
				x[(i*size+j)*3+c] = p[c] + ground[c]*(1-p[3])
			}
		}
	}
	blurs, holes, strength := r.IntN(4), 2, 1.7
	if !hard {
		blurs, holes, strength = max(0, 1-blurs), 5, 1
	}
	for range blurs {
		x = blur(x, size)
	}
	recolour(x, strength, between, r)
	if r.IntN(holes) == 0 {
		n := size/6 + r.IntN(size/6)
		a, b := r.IntN(size-n), r.IntN(size-n)
		for i := a; i < a+n; i++ {
			for j := b; j < b+n; j++ {
				copy(x[(i*size+j)*3:], ground[:])
			}
		}
	}
	for c := range 3 {
		for at := c; at < len(x); at += 3 {
			dst = append(dst, min(max(x[at], 0), 1))
		}
	}
	return dst
}

// recolour changes saturation, contrast, brightness and tint of a picture [size, size, 3].
func recolour(x []float32, strength float64, between func(a, b float64) float64, r *rand.Rand) {
	saturation, contrast := float32(1+strength*between(-0.3, 0.3)), float32(1+strength*between(-0.25, 0.25))
	if r.IntN(12) == 0 {
		saturation = 0.1
	}
	var mean float32
	for _, v := range x {
		mean += v / float32(len(x))
	}
	light := float32(strength * between(-0.1, 0.1))
	var tint [3]float32
	for c := range tint {
		tint[c] = mean + light + float32(strength*between(-0.06, 0.06))
	}
	for at := 0; at < len(x); at += 3 {
		p := x[at : at+3]
		grey := (p[0] + p[1] + p[2]) / 3
		for c := range p {
			p[c] = (grey+(p[c]-grey)*saturation-mean)*contrast + tint[c]
		}
	}
}

// sample is the picture at a point between pixels, 0 … 1; nothing lies outside.
func sample(m *image.RGBA, x, y float64) (p [4]float32) {
	i, j := int(math.Floor(x)), int(math.Floor(y))
	fx, fy := float32(x-float64(i)), float32(y-float64(j))
	for _, q := range [4]struct {
		i, j int
		w    float32
	}{{i, j, (1 - fx) * (1 - fy)}, {i + 1, j, fx * (1 - fy)}, {i, j + 1, (1 - fx) * fy}, {i + 1, j + 1, fx * fy}} {
		if q.i < 0 || q.j < 0 || q.i >= m.Rect.Dx() || q.j >= m.Rect.Dy() {
			continue
		}
		at := m.Pix[m.PixOffset(q.i, q.j):][:4]
		for c := range p {
			p[c] += q.w / 255 * float32(at[c])
		}
	}
	return p
}

// blur is the mean of each pixel's neighbourhood of 3×3 in a picture [size, size, 3].
func blur(x []float32, size int) []float32 {
	y := make([]float32, len(x))
	for i := range size {
		for j := range size {
			for c := range 3 {
				var sum, n float32
				for a := max(i-1, 0); a <= min(i+1, size-1); a++ {
					for b := max(j-1, 0); b <= min(j+1, size-1); b++ {
						sum += x[(a*size+b)*3+c]
						n++
					}
				}
				y[(i*size+j)*3+c] = sum / n
			}
		}
	}
	return y
}
