package reference

import "github.com/gollava/gollava/internal/backend"

// eachTap calls f for every pair of an output position and a tap that meet inside of the input, with their indices
// and that of the input position. A range over three axes is written as one over their product.
func eachTap(c *backend.Conv, f func(out, tap, in int)) {
	for p := range backend.Volume(c.Out) {
		for t := range backend.Volume(c.Kernel) {
			in, pr, tr, inside := 0, p, t, true
			var at [3]int
			for i := 2; i >= 0; i-- {
				at[i] = pr%c.Out[i]*c.Stride[i] + tr%c.Kernel[i]*c.Dilation[i] - c.Pad[i]
				pr, tr = pr/c.Out[i], tr/c.Kernel[i]
				inside = inside && at[i] >= 0 && at[i] < c.In[i]
			}
			for i := range at {
				in = in*c.In[i] + at[i]
			}
			if inside {
				f(p, t, in)
			}
		}
	}
}

// eachPair calls f for every pair of an output and an input channel of one group, with their offsets in Y, W and X.
func eachPair(c *backend.Conv, f func(y, w, x int)) {
	own, out, taps, in := c.C/c.Groups, backend.Volume(c.Out), backend.Volume(c.Kernel), backend.Volume(c.In)
	for b := range c.B {
		for o := range c.O {
			for k := range own {
				ch := o/(c.O/c.Groups)*own + k
				f((b*c.O+o)*out, (o*own+k)*taps, (b*c.C+ch)*in)
			}
		}
	}
}

func (d *Device) Conv(c *backend.Conv) {
	x, w, out := c.X.Float32(), floats(c.W), backend.Volume(c.Out)
	sum := biased(c.Bias, c.B, c.O, out)
	eachPair(c, func(y, k, from int) {
		eachTap(c, func(p, t, in int) { sum[y+p] += float64(w[k+t]) * float64(x[from+in]) })
	})
	rounded(c.Y, sum)
}

func (d *Device) ConvInput(c *backend.Conv) {
	y, w := c.Y.Float32(), floats(c.W)
	sum := biased(c.Bias, c.B, c.C, backend.Volume(c.In))
	eachPair(c, func(from, k, x int) {
		eachTap(c, func(p, t, in int) { sum[x+in] += float64(w[k+t]) * float64(y[from+p]) })
	})
	rounded(c.X, sum)
}

func (d *Device) ConvWeight(c *backend.Conv) {
	x, y := c.X.Float32(), c.Y.Float32()
	sum := make([]float64, c.W.Len)
	eachPair(c, func(out, k, from int) {
		eachTap(c, func(p, t, in int) { sum[k+t] += float64(y[out+p]) * float64(x[from+in]) })
	})
	rounded(c.W, sum)
}

// biased is [b, channels, n] sums that start at a channel's bias.
func biased(bias *backend.Buffer, b, channels, n int) []float64 {
	sum := make([]float64, b*channels*n)
	if bias != nil {
		v := floats(bias)
		for i := range sum {
			sum[i] = float64(v[i/n%channels])
		}
	}
	return sum
}

func rounded(dst *backend.Buffer, sum []float64) {
	for i, v := range sum {
		dst.Float32()[i] = float32(v)
	}
}
