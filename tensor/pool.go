package tensor

import (
	"slices"

	"github.com/gollava/gollava/internal/backend"
)

// PoolConfig says which windows of a picture are pooled. Lists have one value for both axes, or one for each.
type PoolConfig struct {
	Kernel   []int // size of a window
	Stride   []int // from one window to the next; default Kernel
	Padding  []int // on both sides of each axis, up to half of Kernel; default 0
	Dilation []int // of MaxPool alone: distance of neighbouring elements of a window; default 1
	Ceil     bool  // windows that only begin inside of the picture, or its left or upper padding, count too

	// ExcludePadding makes AvgPool average over the elements of the picture alone. Without it padding counts as
	// zeros.
	ExcludePadding bool
}

// MaxPool is the largest element of each window of pictures x [..., H, W]: [..., h, w]. NaN wins. The gradient
// goes to the first of equals. Source: torch.nn.functional.max_pool2d.
func MaxPool(x *Tensor, c PoolConfig) *Tensor {
	const op = "MaxPool"
	v := c.windows(op, x)
	r := len(x.shape)
	shape := append(slices.Clone(x.shape[:r-2]), v.Out[:]...)
	d := placeOf(x)
	out, at := d.alloc(Float32, shape...), d.alloc(Int32, shape...)
	v.X, v.Y, v.At = x.buf(), out.buf(), at.buf()
	d.MaxPool(&v)
	record(out, op, func(dy *gradient) {
		x.into(func(dx *backend.Buffer) {
			g := v
			g.X, g.Y = dx, dy.buf()
			dx.Device.MaxPoolGrad(&g)
		})
	}, []*Tensor{at}, x)
	return out
}

// AvgPool is the mean of each window of pictures x [..., H, W]: [..., h, w]. [Interpolate] with Area pools
// adaptively. Source: torch.nn.functional.avg_pool2d.
func AvgPool(x *Tensor, c PoolConfig) *Tensor {
	const op = "AvgPool"
	if c.Dilation != nil {
		Fail(op, "Dilation %v is for MaxPool", c.Dilation)
	}
	v := c.windows(op, x)
	var axes [2]taps
	for i := range axes {
		for o := range v.Out[i] {
			first := o*v.Stride[i] - v.Pad[i]
			behind := min(first+v.Kernel[i], v.In[i]+v.Pad[i])
			from, to := max(first, 0), min(behind, v.In[i])
			count := behind - first
			if c.ExcludePadding {
				count = to - from
			}
			axes[i].add(from, to-from, func(int) float64 { return 1 / float64(count) }, v.In[i])
		}
	}
	return resample(op, x, axes[0], axes[1])
}

// windows checks the configuration and computes the sizes.
func (c PoolConfig) windows(op string, x *Tensor) (v backend.MaxPool) {
	checkPictures(op, x)
	r := len(x.shape)
	pair := func(name string, list []int, otherwise int) [2]int {
		p := perAxis(op, name, list, 2, otherwise)
		return [2]int(p[1:])
	}
	if len(c.Kernel) == 0 {
		Fail(op, "needs a Kernel")
	}
	v.Kernel, v.Pad, v.Dilation = pair("Kernel", c.Kernel, 1), pair("Padding", c.Padding, 0), pair("Dilation",
		c.Dilation, 1)
	if v.Stride = v.Kernel; len(c.Stride) > 0 {
		v.Stride = pair("Stride", c.Stride, 1)
	}
	v.In = [2]int(x.shape[r-2:])
	v.N, _, _ = around(x.shape, r-2, r)
	for i := range 2 {
		if v.Kernel[i] < 1 || v.Stride[i] < 1 || v.Dilation[i] < 1 || v.Pad[i] < 0 || v.Pad[i] > v.Kernel[i]/2 {
			Fail(op,
				"Kernel %v, Stride %v, Dilation %v, Padding %v: needs at least 1, and padding of up to half of Kernel",
				c.Kernel, c.Stride, c.Dilation, c.Padding)
		}
		reach := v.In[i] + 2*v.Pad[i] - (v.Kernel[i]-1)*v.Dilation[i] - 1
		if reach < 0 {
			Fail(op, "%v: a window of %v is larger than the padded picture", x.shape, c.Kernel)
		}
		if v.Out[i] = reach/v.Stride[i] + 1; c.Ceil {
			v.Out[i] = (reach+v.Stride[i]-1)/v.Stride[i] + 1
			if (v.Out[i]-1)*v.Stride[i] >= v.In[i]+v.Pad[i] {
				v.Out[i]--
			}
		}
	}
	return v
}
