package tensor

import (
	"slices"

	"github.com/gollava/gollava/internal/backend"
)

// ConvConfig says how a kernel moves over its input. A list has one value for every spatial axis, or a single one
// for all; an empty list stands for the default. The zero value moves by single steps without padding.
type ConvConfig struct {
	Stride   []int // steps from one output to the next; default 1
	Padding  []int // zeros on both sides of each axis, or on each side: [top, bottom, left, right]; default 0
	Dilation []int // distance of neighbouring taps; default 1
	Groups   int   // channels fall into so many groups that do not mix; 0: 1

	// OutputPadding makes the result of ConvTranspose longer at the end of each axis, by less than its stride or
	// dilation; default 0. Conv ignores it.
	OutputPadding []int
}

// Conv is the convolution (cross-correlation) of x [B, C, spatial...] with w [O, C/Groups, kernel...] plus b [O]:
// [B, O, spatial...], over one to three spatial axes, each of size ⌊(n + padding − dilation·(kernel−1) −
// 1)/stride⌋ + 1. b may be nil; w and b may be bfloat16. Source: torch.nn.functional.conv1d, conv2d and conv3d.
func Conv(x, w, b *Tensor, c ConvConfig) *Tensor {
	const op = "Conv"
	v := convolution(op, x, w, c)
	v.B, v.C, v.O = x.shape[0], x.shape[1], w.shape[0]
	if v.C%v.Groups != 0 || v.O%v.Groups != 0 || w.shape[1] != v.C/v.Groups {
		Fail(op, "x %v, w %v in %d groups: needs w [O, %d/%d, kernel...] with O a multiple of the groups",
			x.shape, w.shape, v.Groups, v.C, v.Groups)
	}
	checkBias(op, x, w, b, v.O)
	shape := []int{v.B, v.O}
	for i := range 3 {
		reach := v.In[i] + v.Pad[i] + v.behind[i] - (v.Kernel[i]-1)*v.Dilation[i] - 1
		if reach < 0 {
			Fail(op, "x %v, w %v: the kernel, dilated, is longer than the padded input along axis %d", x.shape,
				w.shape, i+len(x.shape)-3)
		}
		v.Out[i] = reach/v.Stride[i] + 1
	}
	shape = append(shape, v.Out[5-len(x.shape):]...)
	if at, moved := apart(op, x, w, b); moved {
		return Conv(x.on(at), w.on(at), b.on(at), c)
	}
	d := placeOf(x, w, b)
	out := d.alloc(Float32, shape...)
	v.run(d, d.Conv, x.buf(), w.buf(), out.buf(), optional(b))
	record(out, op, func(dy *gradient) {
		x.into(func(dx *backend.Buffer) { v.run(d, d.ConvInput, dx, w.buf(), dy.buf(), nil) })
		v.weights(w, b, dy, func(dw *backend.Buffer) { v.run(d, d.ConvWeight, x.buf(), dw, dy.buf(), nil) }, v.O,
			backend.Volume(v.Out))
	}, nil, x, w, b)
	return out
}

// ConvTranspose is the transposed convolution, the gradient of [Conv] with respect to its input: x [B, C,
// spatial...], w [C, O/Groups, kernel...] and b [O] make [B, O, spatial...], each axis of size (n−1)·stride −
// padding + dilation·(kernel−1) + outputPadding + 1. b may be nil; w and b may be bfloat16. Source:
// torch.nn.functional.conv_transpose1d, conv_transpose2d and conv_transpose3d.
func ConvTranspose(x, w, b *Tensor, c ConvConfig) *Tensor {
	const op = "ConvTranspose"
	v := convolution(op, x, w, c)
	v.B, v.O, v.C = x.shape[0], x.shape[1], w.shape[1]*v.Groups
	if v.O%v.Groups != 0 || w.shape[0] != v.O {
		Fail(op, "x %v, w %v in %d groups: needs w [%d, O/groups, kernel...], its first axis a multiple of the groups",
			x.shape, w.shape, v.Groups, v.O)
	}
	checkBias(op, x, w, b, v.C)
	extra := perAxis(op, "OutputPadding", c.OutputPadding, len(x.shape)-2, 0)
	v.Out, v.In = v.In, v.Out
	for i := range 3 {
		if extra[i] < 0 || extra[i] >= max(v.Stride[i], v.Dilation[i]) {
			Fail(op, "OutputPadding %v must be at least 0 and below the stride or the dilation", c.OutputPadding)
		}
		v.In[i] = (v.Out[i]-1)*v.Stride[i] - v.Pad[i] - v.behind[i] + (v.Kernel[i]-1)*v.Dilation[i] + extra[i] + 1
		if v.In[i] < 0 {
			Fail(op, "x %v, w %v: the padding is larger than the result along axis %d", x.shape, w.shape,
				i+len(x.shape)-3)
		}
	}
	shape := append([]int{v.B, v.C}, v.In[5-len(x.shape):]...)
	if at, moved := apart(op, x, w, b); moved {
		return ConvTranspose(x.on(at), w.on(at), b.on(at), c)
	}
	d := placeOf(x, w, b)
	out := d.alloc(Float32, shape...)
	v.run(d, d.ConvInput, out.buf(), w.buf(), x.buf(), optional(b))
	record(out, op, func(dy *gradient) {
		x.into(func(dx *backend.Buffer) { v.run(d, d.Conv, dy.buf(), w.buf(), dx, nil) })
		v.weights(w, b, dy, func(dw *backend.Buffer) { v.run(d, d.ConvWeight, dy.buf(), dw, x.buf(), nil) }, v.C,
			backend.Volume(v.In))
	}, nil, x, w, b)
	return out
}

// convolutions is a backend.Conv and the zeros behind its input.
type convolutions struct {
	backend.Conv
	behind [3]int
}

// convolution checks the operands and spreads the configuration over three axes. In is that of x.
func convolution(op string, x, w *Tensor, c ConvConfig) (v convolutions) {
	x.want(op, Float32)
	w.check(op)
	axes := len(x.shape) - 2
	if axes < 1 || axes > 3 || len(w.shape) != len(x.shape) || !w.isWeight(false) {
		Fail(op, "x %v, w %v %v: needs x [B, C, spatial...] and w [·, ·, kernel...], float32 or bfloat16, of one to "+
			"three spatial axes", x.shape, w.dtype, w.shape)
	}
	if c.Groups < 0 {
		Fail(op, "%d groups (0 stands for 1)", c.Groups)
	}
	v.Groups = max(c.Groups, 1)
	v.Stride, v.Dilation = perAxis(op, "Stride", c.Stride, axes, 1), perAxis(op, "Dilation", c.Dilation, axes, 1)
	before, behind := c.Padding, c.Padding
	if len(c.Padding) == 2*axes && axes > 0 {
		before, behind = nil, nil
		for i, p := range c.Padding {
			if i%2 == 0 {
				before = append(before, p)
			} else {
				behind = append(behind, p)
			}
		}
	}
	v.Pad, v.behind = perAxis(op, "Padding", before, axes, 0), perAxis(op, "Padding", behind, axes, 0)
	v.In, v.Kernel = [3]int{1, 1, 1}, [3]int{1, 1, 1}
	copy(v.In[3-axes:], x.shape[2:])
	copy(v.Kernel[3-axes:], w.shape[2:])
	for i := range 3 {
		if v.Stride[i] < 1 || v.Dilation[i] < 1 || v.Pad[i] < 0 || v.behind[i] < 0 || v.Kernel[i] < 1 {
			Fail(op, "w %v, Stride %v, Dilation %v, Padding %v: needs padding of at least 0, and the others at least 1",
				w.shape, c.Stride, c.Dilation, c.Padding)
		}
	}
	return v
}

// perAxis spreads a list of values over the last axes of three; the others get the default.
func perAxis(op, name string, list []int, axes, otherwise int) [3]int {
	out := [3]int{otherwise, otherwise, otherwise}
	switch len(list) {
	case 0:
	case 1:
		for i := range axes {
			out[3-axes+i] = list[0]
		}
	case axes:
		copy(out[3-axes:], list)
	default:
		Fail(op, "%s %v has %d values: needs one for each of %d spatial axes, or one for all", name, list,
			len(list), axes)
	}
	return out
}

func checkBias(op string, x, w, b *Tensor, channels int) {
	if b == nil {
		return
	}
	b.check(op)
	if !slices.Equal(b.shape, []int{channels}) || !b.isWeight(false) {
		Fail(op, "x %v, w %v, bias %v %v: the bias must be [%d] of float32 or bfloat16", x.shape, w.shape,
			b.dtype, b.shape, channels)
	}
}

// run executes f on the given operands.
func (v convolutions) run(at place, f func(*backend.Conv), x, w, y, bias *backend.Buffer) {
	v.X, v.W, v.Y, v.Bias = x, w, y, bias
	terms := uint64(v.C/v.Groups) * uint64(backend.Volume(v.Kernel)) // of each output
	at.usage().work(2 * uint64(v.B) * uint64(v.O) * uint64(backend.Volume(v.Out)) * terms)
	f(&v.Conv)
}

// weights adds to the gradients of the weights and of the bias, of which dy [B, channels, n] has one value for
// each channel.
func (v convolutions) weights(w, b *Tensor, dy *gradient, dw func(dst *backend.Buffer), channels, n int) {
	w.into(dw)
	if b != nil {
		b.into(func(db *backend.Buffer) { db.Device.SumTo(db, dy.buf(), []int{v.B, channels, n}, []int{0, 1, 0}) })
	}
}
