package seem

import (
	"math"

	"github.com/gollava/gollava/tensor"
)

// Mask says which pixels of a picture of H×W belong to something, row by row.
type Mask struct {
	H, W int
	On   []bool // H·W
}

// NewMask is an empty mask.
func NewMask(h, w int) Mask { return Mask{h, w, make([]bool, h*w)} }

// At reports whether a pixel belongs to the mask. Outside of the picture none does.
func (m Mask) At(p Pixel) bool {
	return p.Y >= 0 && p.X >= 0 && p.Y < m.H && p.X < m.W && m.On[p.Y*m.W+p.X]
}

// Pixels are those of the mask, row by row.
func (m Mask) Pixels() (list []Pixel) {
	for i, on := range m.On {
		if on {
			list = append(list, Pixel{i / m.W, i % m.W})
		}
	}
	return list
}

// MaskOf is logits [h, w] above 0, resized to H×W first.
func MaskOf(logits *tensor.Tensor, H, W int) Mask {
	z := tensor.Interpolate(logits.Detach(), H, W, tensor.InterpolateConfig{Mode: tensor.Bilinear})
	m := NewMask(H, W)
	for i, v := range z.Host().Data() {
		m.On[i] = v > 0
	}
	return m
}

// Click is a pixel and those around it: up to 3×3, within a picture of h×w.
func Click(p Pixel, h, w int) (list []Pixel) {
	for y := max(p.Y-1, 0); y <= min(p.Y+1, h-1); y++ {
		for x := max(p.X-1, 0); x <= min(p.X+1, w-1); x++ {
			list = append(list, Pixel{y, x})
		}
	}
	return list
}

// Scribble is a line through points, three pixels wide, within a picture of h×w.
func Scribble(through []Pixel, h, w int) []Pixel {
	m := NewMask(h, w)
	for i, a := range through {
		b := through[min(i+1, len(through)-1)]
		n := max(abs(b.Y-a.Y), abs(b.X-a.X), 1)
		for k := range n + 1 {
			at := Pixel{a.Y + (b.Y-a.Y)*k/n, a.X + (b.X-a.X)*k/n}
			for _, p := range Click(at, h, w) {
				m.On[p.Y*w+p.X] = true
			}
		}
	}
	return m.Pixels()
}

func abs(x int) int { return max(x, -x) }

// IoU is the intersection of two masks of one size over their union, in 0 … 1, and 0 if both are empty.
func IoU(a, b Mask) float64 {
	if a.H != b.H || a.W != b.W {
		tensor.Fail("IoU", "masks of %d×%d and %d×%d", a.H, a.W, b.H, b.W)
	}
	both, any := 0, 0
	for i := range a.On {
		if a.On[i] && b.On[i] {
			both++
		}
		if a.On[i] || b.On[i] {
			any++
		}
	}
	return float64(both) / (float64(any) + 1e-8)
}

// NextClick adds to the strokes of a round the click that corrects its mask: in the middle of the larger of what is
// missed and what is wrong, touched by no stroke so far, at the pixel that is deepest inside. ok is false, and nothing
// is added, once the masks overlap by enough, or nothing is left to click at. Source: the authors' protocol, with an
// exact distance transform.
func NextClick(want, got Mask, s Strokes, enough float64) (next Strokes, ok bool) {
	if IoU(want, got) >= enough {
		return s, false
	}
	missed, wrong := NewMask(want.H, want.W), NewMask(want.H, want.W)
	for i := range want.On {
		missed.On[i], wrong.On[i] = want.On[i] && !got.On[i], !want.On[i] && got.On[i]
	}
	for _, list := range [][]Pixel{s.Positive, s.Negative} {
		for _, p := range list {
			missed.On[p.Y*want.W+p.X], wrong.On[p.Y*want.W+p.X] = false, false
		}
	}
	next = Strokes{append([]Pixel(nil), s.Positive...), append([]Pixel(nil), s.Negative...)}
	m, w := len(missed.Pixels()), len(wrong.Pixels())
	switch {
	case m == 0 && w == 0:
		return s, false
	case m > w:
		next.Positive = merge(next.Positive, Click(deepest(missed), want.H, want.W))
	default:
		next.Negative = merge(next.Negative, Click(deepest(wrong), want.H, want.W))
	}
	return next, true
}

// merge adds pixels that are not there yet.
func merge(to, from []Pixel) []Pixel {
	there := map[Pixel]bool{}
	for _, p := range to {
		there[p] = true
	}
	for _, p := range from {
		if !there[p] {
			to = append(to, p)
		}
	}
	return to
}

// deepest is the first pixel with the largest distance from what is outside of the mask, the picture's edge included.
func deepest(m Mask) Pixel {
	best, at := -1.0, Pixel{}
	for i, d := range squaredDistances(m) {
		if d > best {
			best, at = d, Pixel{i / m.W, i % m.W}
		}
	}
	return at
}

// squaredDistances are those of each pixel from the nearest outside of the mask. Source: Felzenszwalb and Huttenlocher
// 2012, lower envelopes of parabolas along columns and then rows.
func squaredDistances(m Mask) []float64 {
	h, w := m.H+2, m.W+2 // what lies around the picture is outside
	d := make([]float64, h*w)
	for y := range m.H {
		for x := range m.W {
			if m.On[y*m.W+x] {
				d[(y+1)*w+x+1] = math.Inf(1)
			}
		}
	}
	for x := range w {
		column := make([]float64, h)
		for y := range h {
			column[y] = d[y*w+x]
		}
		for y, v := range envelope(column) {
			d[y*w+x] = v
		}
	}
	out := make([]float64, 0, m.H*m.W)
	for y := range m.H {
		out = append(out, envelope(d[(y+1)*w : (y+2)*w])[1:w-1]...)
	}
	return out
}

// envelope is min over k of f[k] + (i−k)². Its first and last values are finite.
func envelope(f []float64) []float64 {
	var at []int       // vertices of the parabolas of the envelope
	var from []float64 // where each of them begins to be the least
	for k, v := range f {
		if math.IsInf(v, 1) {
			continue
		}
		start := math.Inf(-1)
		for len(at) > 0 {
			last := at[len(at)-1]
			start = (v + float64(k*k) - f[last] - float64(last*last)) / float64(2*(k-last))
			if start > from[len(from)-1] {
				break
			}
			at, from, start = at[:len(at)-1], from[:len(from)-1], math.Inf(-1)
		}
		at, from = append(at, k), append(from, start)
	}
	out := make([]float64, len(f))
	j := 0
	for i := range f {
		for j+1 < len(at) && from[j+1] < float64(i) {
			j++
		}
		out[i] = f[at[j]] + float64((i-at[j])*(i-at[j]))
	}
	return out
}
