package tensor

import (
	"math"
	"slices"

	"github.com/gollava/gollava/internal/backend"
)

// Interpolation is the way in which [Interpolate] makes new pixels of old ones.
type Interpolation uint8

const (
	Nearest      Interpolation = iota // the pixel below the new one's upper left corner, as in torch's "nearest"
	NearestExact                      // the pixel below the new one's centre
	Bilinear                          // two pixels along each axis, by their distance
	Bicubic                           // four pixels along each axis; Keys' kernel with a = −0.75
	Area                              // the mean of the pixels that the new one overlaps: adaptive average pooling
)

// InterpolateConfig says how pixels are made. The zero value takes the nearest.
type InterpolateConfig struct {
	Mode         Interpolation
	AlignCorners bool // Bilinear and Bicubic: the centres of corner pixels stay in place, not the edges of the picture
	Antialias    bool // Bilinear and Bicubic: the kernel widens where the picture shrinks, as Pillow's; then a = −0.5
}

// Interpolate resizes pictures x [..., H, W] to [..., height, width]. Source: torch.nn.functional.interpolate with
// size given, in every mode of two axes.
func Interpolate(x *Tensor, height, width int, c InterpolateConfig) *Tensor {
	const op = "Interpolate"
	checkPictures(op, x)
	smooth := c.Mode == Bilinear || c.Mode == Bicubic
	switch {
	case height < 1 || width < 1:
		Fail(op, "%v to %d×%d: height and width must be at least 1", x.shape, height, width)
	case c.Mode > Area:
		Fail(op, "there is no Interpolation %d", c.Mode)
	case (c.AlignCorners || c.Antialias) && !smooth:
		Fail(op, "AlignCorners and Antialias are for Bilinear and Bicubic")
	case c.AlignCorners && c.Antialias:
		Fail(op, "AlignCorners does not go with Antialias")
	}
	r := len(x.shape)
	return resample(op, x, c.taps(x.shape[r-2], height), c.taps(x.shape[r-1], width))
}

func checkPictures(op string, x *Tensor) {
	x.want(op, Float32)
	if r := len(x.shape); r < 2 || x.shape[r-2] < 1 || x.shape[r-1] < 1 {
		Fail(op, "needs pictures [..., H, W] of at least one pixel, got %v", x.shape)
	}
}

// taps are the terms of every output along one axis: output i is Σ weight[i][k]·x[index[i][k]].
type taps struct {
	index  [][]int32
	weight [][]float32
}

// add appends an output that is made of n elements from the first on.
func (t *taps) add(first, n int, weight func(k int) float64, length int) {
	index, weights := make([]int32, n), make([]float32, n)
	for k := range n {
		index[k], weights[k] = int32(min(max(first+k, 0), length-1)), float32(weight(k))
	}
	t.index, t.weight = append(t.index, index), append(t.weight, weights)
}

// backend pads all outputs to the same number of terms.
func (t taps) backend(at place) backend.Taps {
	k := 0
	for _, index := range t.index {
		k = max(k, len(index))
	}
	n := len(t.index)
	index, weight := make([]int32, n*k), make([]float32, n*k)
	for i := range n {
		copy(index[i*k:], t.index[i])
		copy(weight[i*k:], t.weight[i])
	}
	return backend.Taps{K: k, Index: WrapInts(index, n*k).on(at).buf(), Weight: Wrap(weight, n*k).on(at).buf()}
}

// taps makes n elements of length.
func (c InterpolateConfig) taps(length, n int) (t taps) {
	scale := float64(length) / float64(n)
	one := func(int) float64 { return 1 }
	for i := range n {
		switch {
		case c.Mode == Nearest: // in float32, as torch: for some sizes that decides
			t.add(min(int(float32(i)*(float32(length)/float32(n))), length-1), 1, one, length)
		case c.Mode == NearestExact:
			t.add(min(int((float32(i)+0.5)*(float32(length)/float32(n))), length-1), 1, one, length)
		case c.Mode == Area:
			from, to := i*length/n, ((i+1)*length+n-1)/n
			t.add(from, to-from, func(int) float64 { return 1 / float64(to-from) }, length)
		case c.Antialias:
			c.antialias(&t, i, length, scale)
		default:
			at := scale*(float64(i)+0.5) - 0.5
			if c.AlignCorners {
				at = 0
				if n > 1 {
					at = float64(i) * float64(length-1) / float64(n-1)
				}
			}
			if c.Mode == Bilinear {
				at = min(max(at, 0), float64(length-1))
				from := math.Floor(at)
				t.add(int(from), 2, func(k int) float64 { return triangle(at - from - float64(k)) }, length)
				continue
			}
			from := math.Floor(at) - 1
			t.add(int(from), 4, func(k int) float64 { return cubic(at-from-float64(k), -0.75) }, length)
		}
	}
	return t
}

// antialias adds output i, whose kernel covers scale times as many pixels where the picture shrinks.
func (c InterpolateConfig) antialias(t *taps, i, length int, scale float64) {
	reach, kernel := 1.0, triangle
	if c.Mode == Bicubic {
		reach, kernel = 2, func(x float64) float64 { return cubic(x, -0.5) }
	}
	wide := max(scale, 1)
	center := scale * (float64(i) + 0.5)
	from := max(int(center-reach*wide+0.5), 0)
	to := min(int(center+reach*wide+0.5), length)
	total := 0.0
	at := func(k int) float64 { return kernel((float64(from+k) - center + 0.5) / wide) }
	for k := range to - from {
		total += at(k)
	}
	t.add(from, to-from, func(k int) float64 { return at(k) / total }, length)
}

// triangle is the kernel of linear interpolation.
func triangle(x float64) float64 { return max(0, 1-math.Abs(x)) }

// cubic is the kernel of cubic convolution. Source: Keys 1981.
func cubic(x, a float64) float64 {
	switch x = math.Abs(x); {
	case x < 1:
		return ((a+2)*x-(a+3))*x*x + 1
	case x < 2:
		return ((a*x-5*a)*x+8*a)*x - 4*a
	}
	return 0
}

// resample maps pictures x [..., H, W] by rows and columns.
func resample(op string, x *Tensor, rows, cols taps) *Tensor {
	r := len(x.shape)
	at := placeOf(x)
	v := backend.Resample{In: [2]int(x.shape[r-2:]), Out: [2]int{len(rows.index), len(cols.index)},
		Rows: rows.backend(at), Cols: cols.backend(at)}
	v.N, _, _ = around(x.shape, r-2, r)
	out := at.alloc(Float32, append(slices.Clone(x.shape[:r-2]), v.Out[:]...)...)
	v.X, v.Y = x.buf(), out.buf()
	v.X.Device.Resample(&v)
	record(out, op, func(dy *gradient) {
		x.into(func(dx *backend.Buffer) {
			g := v
			g.X, g.Y = dx, dy.buf()
			dx.Device.ResampleGrad(&g)
		})
	}, nil, x)
	return out
}
