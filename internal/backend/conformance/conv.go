package conformance

import (
	"math"

	"github.com/gollava/gollava/internal/backend"
)

// convCases are shapes around what implementations tell apart: rows as long as a register and not, strides above
// and below the kernel, taps that no output reaches, groups of one channel and more, one axis to three, several
// blocks of the inner length.
func (s *suite) convCases() []backend.Conv {
	flat := func(b, c, o, groups int, in, kernel, stride, pad, dilation, out [2]int) backend.Conv {
		axes := func(v [2]int, first int) [3]int { return [3]int{first, v[0], v[1]} }
		return backend.Conv{B: b, C: c, O: o, Groups: groups, In: axes(in, 1), Kernel: axes(kernel, 1),
			Stride: axes(stride, 1),
			Pad:    axes(pad, 0), Dilation: axes(dilation, 1), Out: axes(out, 1)}
	}
	two := func(v int) [2]int { return [2]int{v, v} }
	one := two(1)
	list := []backend.Conv{
		flat(1, 1, 1, 1, one, one, one, two(0), one, one),
		flat(2, 5, 7, 1, [2]int{3, 17}, one, one, two(0), one, [2]int{3, 17}),
		flat(2, 64, 17, 1, two(8), two(3), one, one, one, two(8)),
		flat(1, 17, 33, 1, two(16), two(3), one, one, one, two(16)),
		flat(2, 3, 5, 1, [2]int{33, 31}, two(3), one, one, one, [2]int{33, 31}),
		flat(1, 50, 13, 1, two(32), two(3), one, one, one, two(32)),
		flat(3, 4, 6, 2, [2]int{9, 13}, [2]int{3, 2}, [2]int{2, 3}, [2]int{1, 0}, [2]int{1, 2}, [2]int{5, 4}),
		flat(2, 6, 6, 6, [2]int{11, 7}, two(3), one, one, one, [2]int{11, 7}),
		flat(2, 8, 16, 8, [2]int{7, 24}, two(5), two(2), two(2), one, [2]int{4, 12}),
		flat(2, 3, 12, 1, two(28), two(14), two(14), two(0), one, two(2)),
		flat(1, 3, 8, 1, [2]int{8, 9}, one, two(3), two(0), one, two(3)), // rows and columns of X that no tap reaches
		flat(1, 4, 4, 2, two(8), two(3), two(2), two(0), one, two(4)),    // padded on the right only
		flat(2, 2, 3, 1, two(5), two(4), two(2), two(3), one, two(5)),    // the padding is larger than the stride
		flat(1, 4, 3, 1, [2]int{6, 70}, [2]int{1, 3}, one, two(0), [2]int{1, 4}, [2]int{6, 62}),
		flat(1, 2, 2, 1, two(2), two(3), one, two(0), one, two(3)), // a kernel larger than the picture
		flat(2, 4, 4, 4, two(6), two(3), two(2), one, two(2), two(2)),
		flat(0, 3, 4, 1, two(4), two(3), one, one, one, two(4)),
		flat(2, 3, 4, 1, [2]int{0, 4}, two(3), one, two(2), one, [2]int{2, 4}),
		flat(2, 3, 4, 1, two(2), two(3), one, two(0), one, [2]int{0, 0}),
		{B: 2, C: 3, O: 4, Groups: 1, In: [3]int{4, 5, 6}, Kernel: [3]int{2, 3, 3}, Stride: [3]int{2, 1, 2},
			Pad:      [3]int{0, 1, 1},
			Dilation: [3]int{1, 1, 1}, Out: [3]int{2, 5, 3}},
		{B: 3, C: 4, O: 2, Groups: 2, In: [3]int{1, 1, 131}, Kernel: [3]int{1, 1, 7}, Stride: [3]int{1, 1, 3},
			Pad:      [3]int{0, 0, 5},
			Dilation: [3]int{1, 1, 2}, Out: [3]int{1, 1, 43}},
	}
	for range 40 {
		c := backend.Conv{B: 1 + s.r.IntN(3), Groups: 1 + s.r.IntN(3)}
		c.C, c.O = c.Groups*(1+s.r.IntN(9)), c.Groups*(1+s.r.IntN(9))
		for i := range 3 {
			c.In[i], c.Kernel[i], c.Stride[i], c.Dilation[i] = 1+s.r.IntN(20), 1+s.r.IntN(4), 1+s.r.IntN(3),
				1+s.r.IntN(3)
			if i == 0 && s.r.IntN(3) > 0 {
				c.In[i], c.Kernel[i] = 1, 1
			}
			c.Pad[i] = s.r.IntN(c.Kernel[i] + 1)
			c.Out[i] = max(0, (c.In[i]+c.Pad[i]+s.r.IntN(3)-(c.Kernel[i]-1)*c.Dilation[i]-1)/c.Stride[i]+1)
		}
		list = append(list, c)
	}
	return list
}

// meets calls f with the indices in Y, W and X of every product that a convolution adds up.
func meets(c *backend.Conv, f func(y, w, x int)) {
	own := c.C / c.Groups
	for w := range c.O * own * product(c.Kernel[:]) {
		tap, k, o := w, 0, 0
		var t, p, at [3]int
		for i := 2; i >= 0; i-- {
			t[i], tap = tap%c.Kernel[i], tap/c.Kernel[i]
		}
		k, o = tap%own, tap/own
		for b := range c.B {
			for p[0] = range c.Out[0] {
				for p[1] = range c.Out[1] {
					for p[2] = range c.Out[2] {
						inside := true
						y, x := b*c.O+o, b*c.C+o*c.Groups/c.O*own+k
						for i := range 3 {
							at[i] = p[i]*c.Stride[i] + t[i]*c.Dilation[i] - c.Pad[i]
							inside = inside && 0 <= at[i] && at[i] < c.In[i]
							y, x = y*c.Out[i]+p[i], x*c.In[i]+at[i]
						}
						if inside {
							f(y, w, x)
						}
					}
				}
			}
		}
	}
}

// sumOf is sums and the sums of what was added without its sign.
type sumOf struct{ value, size []float64 }

func sumsOf(n int) sumOf { return sumOf{make([]float64, n), make([]float64, n)} }

func (s *sumOf) add(i int, v float64) {
	s.value[i] += v
	s.size[i] += math.Abs(v)
}

func conv(s *suite) {
	for i, c := range s.convCases() {
		in, out, taps := product(c.In[:]), product(c.Out[:]), product(c.Kernel[:])
		x, w, y := s.normal(c.B*c.C*in, 1), s.normal(c.O*c.C/c.Groups*taps, 1), s.normal(c.B*c.O*out, 1)
		sumY, sumX, sumW := sumsOf(len(y)), sumsOf(len(x)), sumsOf(len(w))
		s.start("%+v", c)
		half := i%3 == 2
		wb := s.weight(w, half)
		var biasY, biasX *backend.Buffer
		if i%2 == 0 {
			by, bx := s.normal(c.O, 1), s.normal(c.C, 1)
			biasY, biasX = s.weight(by, half), s.weight(bx, half)
			for j := range y {
				sumY.add(j, float64(by[j/out%c.O]))
			}
			for j := range x {
				sumX.add(j, float64(bx[j/in%c.C]))
			}
		}
		meets(&c, func(yi, wi, xi int) {
			sumY.add(yi, float64(w[wi])*float64(x[xi]))
			sumX.add(xi, float64(w[wi])*float64(y[yi]))
			sumW.add(wi, float64(y[yi])*float64(x[xi]))
		})
		near := func(name string, got *backend.Buffer, sum *sumOf) {
			s.T.Helper()
			s.within(name, got, sum.value, func(i int) float64 { return 2.5e-6 * sum.size[i] })
		}
		xb, yb := s.in(x), s.in(y)
		c.X, c.W, c.Y, c.Bias = xb, wb, s.out(len(y)), biasY
		s.dev.Conv(&c)
		near("Y", c.Y, &sumY)
		c.X, c.W, c.Y, c.Bias = s.out(len(x)), wb, yb, biasX
		s.dev.ConvInput(&c)
		near("X", c.X, &sumX)
		c.X, c.W, c.Y, c.Bias = xb, s.out(len(w)), yb, nil
		s.dev.ConvWeight(&c)
		near("W", c.W, &sumW)
		s.done()
	}
}

// convSpecial: NaN and Inf reach the outputs whose window they stand in, and no others.
func convSpecial(s *suite) {
	for form := range 12 {
		groups := 1 + form%2*3
		c := backend.Conv{B: 2, C: 4, O: 8, Groups: groups, In: [3]int{1, 9, 16}, Kernel: [3]int{1, 3, 3},
			Stride: [3]int{1, 1, 1 + form/6},
			Pad:    [3]int{0, 1, 1}, Dilation: [3]int{1, 1, 1}, Out: [3]int{1, 9, 16 / (1 + form/6)}}
		in, out := product(c.In[:]), product(c.Out[:])
		x, w, y := s.normal(c.B*c.C*in, 1), s.normal(c.O*c.C/groups*9, 1), s.normal(c.B*c.O*out, 1)
		special := []float32{float32(math.NaN()), float32(math.Inf(1)), float32(math.Inf(-1))}[form/2%3]
		x[s.r.IntN(len(x))], y[s.r.IntN(len(y))] = special, special
		s.start("%+v, %v among numbers", c, special)
		wantY, wantX := make([]float64, len(y)), make([]float64, len(x))
		meets(&c, func(yi, wi, xi int) {
			wantY[yi] += float64(w[wi]) * float64(x[xi])
			wantX[xi] += float64(w[wi]) * float64(y[yi])
		})
		wb := s.in(w)
		gotY, gotX := s.out(len(y)), s.out(len(x))
		c.X, c.W, c.Y = s.in(x), wb, gotY
		s.dev.Conv(&c)
		s.near("Y", gotY, wantY, 1e-5, 1e-4)
		c.X, c.W, c.Y = gotX, wb, s.in(y)
		s.dev.ConvInput(&c)
		s.near("X", gotX, wantX, 1e-5, 1e-4)
		s.done()
	}
}
