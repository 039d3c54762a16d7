package imaging

import (
	"fmt"
	"image"
	"math"

	"github.com/gollava/gollava/internal/misuse"
)

// Filter is a resampling kernel. The numbers are Pillow's, as preprocessor_config.json has them under "resample".
type Filter int

// The kernels. Downscaling widens each by the scale, so that all input pixels take part.
const (
	Lanczos  Filter = 1
	Bilinear Filter = 2
	Bicubic  Filter = 3 // a = -0.5
	Box      Filter = 4
	Hamming  Filter = 5
)

func (f Filter) String() string {
	switch f {
	case Lanczos:
		return "lanczos"
	case Bilinear:
		return "bilinear"
	case Bicubic:
		return "bicubic"
	case Box:
		return "box"
	case Hamming:
		return "hamming"
	}
	return fmt.Sprintf("filter %d", int(f))
}

// ParseFilter returns the filter of a name as Filter.String writes it.
func ParseFilter(name string) (Filter, error) {
	for f := Lanczos; f <= Hamming; f++ {
		if f.String() == name {
			return f, nil
		}
	}
	return 0, fmt.Errorf("imaging: no filter is called %q: use lanczos, bilinear, bicubic, box or hamming", name)
}

// support is the radius of the kernel at scale 1.
func (f Filter) support() float64 {
	switch f {
	case Lanczos:
		return 3
	case Bilinear, Hamming:
		return 1
	case Bicubic:
		return 2
	case Box:
		return 0.5
	}
	panic(misuse.Errorf("imaging", "%v is not known", f))
}

// at is the kernel's value. Products are rounded before they are added (float64(…)), so that processors with fused
// multiply-add find the same weights.
func (f Filter) at(x float64) float64 {
	switch f {
	case Lanczos:
		if -3 <= x && x < 3 {
			return sinc(x) * sinc(x/3)
		}
	case Bilinear:
		if x = math.Abs(x); x < 1 {
			return 1 - x
		}
	case Bicubic:
		const a = -0.5
		x = math.Abs(x)
		if x < 1 {
			return float64((float64((a+2)*x)-(a+3))*x*x) + 1
		}
		if x < 2 {
			return (float64((float64((x-5)*x)+8)*x) - 4) * a
		}
	case Box:
		if -0.5 < x && x <= 0.5 {
			return 1
		}
	case Hamming:
		x = math.Abs(x)
		if x == 0 {
			return 1
		}
		if x < 1 {
			x *= math.Pi
			return math.Sin(x) / x * (0.54 + float64(0.46*math.Cos(x)))
		}
	}
	return 0
}

func sinc(x float64) float64 {
	if x == 0 {
		return 1
	}
	x *= math.Pi
	return math.Sin(x) / x
}

// axis holds, for the outputs [lo, hi) along one axis, which inputs they mix and how. All mix the same number of
// inputs, some with weight 0: a loop of constant length is what processors predict well.
type axis struct {
	first  []int   // first input of each output, ascending
	weight []int32 // taps for each output; fixed point of 22 bits
	taps   int

	at    []int32 // as acrossAVX2 takes them: the byte of the first input
	split []int16 // weights in groups of four, in low and high bits
}

// groups is how many groups of four weights each output has in split.
func (x *axis) groups() int { return (x.taps + 3) / 4 }

// prepare fills in what acrossAVX2 takes.
func (x *axis) prepare() {
	x.at, x.split = make([]int32, len(x.first)), make([]int16, 8*x.groups()*len(x.first))
	for o, first := range x.first {
		x.at[o] = int32(3 * first)
		for t, w := range x.weight[o*x.taps : (o+1)*x.taps] {
			to := x.split[8*(o*x.groups()+t/4)+t%4:]
			to[0], to[4] = int16(w&(1<<15-1)), int16(w>>15)
		}
	}
}

// part is the axis of the outputs from lo to hi-1.
func (x *axis) part(lo, hi int) axis {
	p := axis{first: x.first[lo:hi], weight: x.weight[lo*x.taps : hi*x.taps], taps: x.taps}
	if x.at != nil {
		p.at, p.split = x.at[lo:hi], x.split[8*x.groups()*lo:8*x.groups()*hi]
	}
	return p
}

// weights computes the mixing of in pixels to out pixels for the outputs [lo, hi), in the order of operations of
// Pillow's src/libImaging/Resample.c (weights in float64, normalised to sum 1, then rounded half away from zero). Where
// in and out are equal nothing is mixed.
func (f Filter) weights(in, out, lo, hi int) axis {
	scale := float64(in) / float64(out)
	wide := max(scale, 1)
	radius := f.support() * wide
	inv := 1 / wide
	inputs := func(o int) (center float64, from, to int) {
		if in == out {
			return 0, o, o + 1
		}
		center = (float64(o) + 0.5) * scale
		return center, max(0, int(center-radius+0.5)), min(in, int(center+radius+0.5))
	}
	a := axis{first: make([]int, hi-lo)}
	for o := lo; o < hi; o++ {
		_, from, to := inputs(o)
		a.taps = max(a.taps, to-from)
	}
	a.weight = make([]int32, (hi-lo)*a.taps)
	w := make([]float64, a.taps)
	for o := lo; o < hi; o++ {
		center, from, to := inputs(o)
		sum := 0.0
		for x := from; x < to; x++ {
			w[x-from] = f.at((float64(x) - center + 0.5) * inv)
			if in == out {
				w[x-from] = 1
			}
			sum += w[x-from]
		}
		first := min(from, in-a.taps)
		a.first[o-lo] = first
		fixed := a.weight[(o-lo)*a.taps+from-first:]
		for i, v := range w[:to-from] {
			if sum != 0 {
				v /= sum
			}
			fixed[i] = int32(math.Copysign(0.5, v) + float64(v*(1<<22)))
		}
	}
	return a
}

// Resize scales m to w×h pixels, byte for byte as Pillow (up to 12.3) does: first along rows, then along columns, with
// 8-bit values between. It panics where w or h is not positive, m is empty, or f is not one of the constants.
func Resize(m *RGB, w, h int, f Filter) *RGB {
	return ResizeWindow(m, w, h, image.Rect(0, 0, w, h), f)
}

// ResizeWindow returns the rectangle window of what Resize(m, w, h, f) would return, and computes no more than that: a
// crop of a picture that would be enormous costs no more than any other. It panics where Resize does, and where window
// is not inside.
func ResizeWindow(m *RGB, w, h int, window image.Rectangle, f Filter) *RGB {
	return resample(canvas{m: m, w: m.W, h: m.H}, w, h, window, f)
}

// canvas is a picture on a larger ground of one colour, which is never laid out in memory.
type canvas struct {
	m      *RGB
	w, h   int     // of the canvas
	x, y   int     // where m lies
	ground [3]byte // around m
}

// row returns row y of the canvas, or nil where it is nothing but ground. line is a row of ground to put the picture's
// row into.
func (c *canvas) row(y int, line []byte) []byte {
	if y < c.y || y >= c.y+c.m.H {
		return nil
	}
	copy(line[3*c.x:], c.m.row(y-c.y))
	return line
}
