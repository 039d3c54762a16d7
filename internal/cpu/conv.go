package cpu

import "github.com/gollava/gollava/internal/backend"

// convWork is the number of elements of planes made at once, unless one image has more.
const convWork = 1 << 21

// Conv multiplies the weights with patches that are packed as they are needed.
func (d *Device) Conv(c *backend.Conv) {
	s := borrow()
	defer s.giveBack()
	out, in := backend.Volume(c.Out), backend.Volume(c.In)
	if c.B*c.O*out == 0 {
		return
	}
	y, x, bias := c.Y.Float32(), c.X.Float32(), wide(c.Bias, s)
	if patches := inPatches(c); patches || pointwise(c) {
		if bias != nil {
			ranges(c.B*c.O, height(out), func(i, j int) { expandBias(y, bias, i, j, out) })
		}
		if patches {
			d.convPatches(c, bias != nil)
		} else {
			d.MatMul(&backend.MatMul{A: c.W, B: c.X, C: c.Y, M: c.O, N: out, K: c.C, Batch: c.B, BStride: c.C * in,
				CStride: c.O * out, Accumulate: bias != nil})
		}
		return
	}
	own, rows, taps := c.C/c.Groups, c.O/c.Groups, backend.Volume(c.Kernel)
	mark := s.used
	atOnce := imagesAtOnce(c, c.C)
	for b := 0; b < c.B; b += atOnce {
		images := min(atOnce, c.B-b)
		var p planes
		p.data = s.take(p.lay(c.C, images, c.Out, c.Kernel, c.Stride, c.Dilation))
		p.fill(x[b*c.C*in:], c.C, images, c.In, c.Stride, c.Pad)
		eachGroup(c, images, func(g int, s *scratch) {
			k := correlation{gemm: gemm{m: rows, n: images * out, k: own * taps, a: floats(c.W, own*taps),
				c: y[(b*c.O+g*rows)*out:], cRow: out},
				src: &p, first: g * own, own: own, taps: p.taps, out: c.Out, images: images, cImage: c.O * out}
			k.a.skip(g * rows * own * taps)
			if bias != nil {
				k.rowBias = bias[g*rows:]
			}
			k.run(s)
		}, s)
		s.used = mark
	}
}

// pointwise reports whether c is a matrix product of its operands as they are.
func pointwise(c *backend.Conv) bool {
	ones := [3]int{1, 1, 1}
	return c.Groups == 1 && c.Kernel == ones && c.Stride == ones && c.Pad == [3]int{} && c.In == c.Out
}

// expandBias fills rows from to to of n elements with the bias of their channel.
func expandBias(y, bias []float32, from, to, n int) {
	for i := from; i < to; i++ {
		set(y[i*n:(i+1)*n], bias[i%len(bias)])
	}
}

// imagesAtOnce is the number of images of so many channels whose planes are made at once.
func imagesAtOnce(c *backend.Conv, channels int) int {
	size := channels
	for i := range 3 {
		size *= max(c.In[i], c.Out[i]*c.Stride[i]) + c.Kernel[i]*c.Dilation[i]
	}
	return min(max(1, convWork/max(size, 1)), max(1, c.B))
}

// eachGroup calls f for every group of channels: groups of little work side by side, others one after another with
// f's own tasks.
func eachGroup(c *backend.Conv, images int, f func(g int, s *scratch), s *scratch) {
	work := images * backend.Volume(c.Out) * c.O / c.Groups * c.C / c.Groups * backend.Volume(c.Kernel)
	if c.Groups > 1 && work < 8*taskWork {
		ranges(c.Groups, max(1, taskWork/max(work, 1)), func(from, to int) {
			s := borrow()
			defer s.giveBack()
			for g := from; g < to; g++ {
				f(g, s)
			}
		})
		return
	}
	for g := range c.Groups {
		mark := s.used
		f(g, s)
		s.used = mark
	}
}
