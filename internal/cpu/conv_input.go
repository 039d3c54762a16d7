package cpu

import "github.com/gollava/gollava/internal/backend"

// ConvInput correlates Y with the weights turned round. With a stride, X falls into phases that different taps
// reach: each is a correlation of its own with stride 1.
func (d *Device) ConvInput(c *backend.Conv) {
	s := borrow()
	defer s.giveBack()
	out, in := backend.Volume(c.Out), backend.Volume(c.In)
	if c.B*c.C*in == 0 {
		return
	}
	x, y, bias := c.X.Float32(), c.Y.Float32(), wide(c.Bias, s)
	if pointwise(c) {
		p := backend.MatMul{A: c.W, B: c.Y, C: c.X, M: c.C, N: in, K: c.O, AT: true, Batch: c.B,
			BStride: c.O * out, CStride: c.C * in}
		if p.Accumulate = bias != nil; p.Accumulate {
			ranges(c.B*c.C, height(in), func(i, j int) { expandBias(x, bias, i, j, in) })
		}
		d.MatMul(&p)
		return
	}
	if inPatches(c) && bias == nil {
		d.inputPatches(c)
		return
	}
	own, rows, taps := c.O/c.Groups, c.C/c.Groups, backend.Volume(c.Kernel)
	w := wide(c.W, s)
	phases, pad, span := inputPhases(c)
	mark := s.used
	atOnce := imagesAtOnce(c, max(c.O, c.C))
	for b := 0; b < c.B; b += atOnce {
		images := min(atOnce, c.B-b)
		var p planes
		ones := [3]int{1, 1, 1}
		p.data = s.take(p.lay(c.O, images, span, ones, ones, ones))
		p.fill(y[b*c.O*out:], c.O, images, c.Out, ones, pad)
		eachGroup(c, images, func(g int, s *scratch) {
			mark := s.used
			for _, f := range phases {
				f.run(c, &p, pad, w[g*own*rows*taps:], x[b*c.C*in:], bias, g, images, s)
				s.used = mark
			}
		}, s)
		s.used = mark
	}
}

// inputPhase is the elements a·stride + residue − pad of an input, for a in [from, from+n) along each axis, and
// the taps that reach them: at element a a tap reads output a − shift.
type inputPhase struct {
	residue, from, n [3]int
	taps             []int    // their indices
	shifts           [][3]int //
}

// inputPhases returns the phases of the input that are not empty, and which part of the outputs they read: span
// outputs along each axis from −pad on.
func inputPhases(c *backend.Conv) (phases []inputPhase, pad, span [3]int) {
	var from, to [3]int
	for r := range backend.Volume(c.Stride) {
		f := inputPhase{residue: coordinates(r, c.Stride)}
		empty := false
		for i := range 3 {
			first := f.residue[i] - c.Pad[i]
			f.from[i] = ceilDiv(-first, c.Stride[i])
			f.n[i] = ceilDiv(c.In[i]-first, c.Stride[i]) - f.from[i]
			empty = empty || f.n[i] <= 0
		}
		if empty {
			continue
		}
		for t := range backend.Volume(c.Kernel) {
			at, shift, reached := coordinates(t, c.Kernel), [3]int{}, true
			for i := range 3 {
				u := at[i] * c.Dilation[i]
				reached = reached && u%c.Stride[i] == f.residue[i]
				shift[i] = u / c.Stride[i]
			}
			if reached {
				f.taps, f.shifts = append(f.taps, t), append(f.shifts, shift)
				for i := range 3 {
					from[i], to[i] = min(from[i], f.from[i]-shift[i]), max(to[i], f.from[i]+f.n[i]-shift[i])
				}
			}
		}
		phases = append(phases, f)
	}
	for i := range 3 {
		pad[i], span[i] = -from[i], to[i]-from[i]
	}
	return phases, pad, span
}

// coordinates of element i of an array of the given shape.
func coordinates(i int, shape [3]int) [3]int {
	return [3]int{i / shape[2] / shape[1], i / shape[2] % shape[1], i % shape[2]}
}

// run computes one phase of the input channels of a group.
func (f *inputPhase) run(c *backend.Conv, p *planes, pad [3]int, w, x, bias []float32, g, images int, s *scratch) {
	own, rows, taps := c.O/c.Groups, c.C/c.Groups, backend.Volume(c.Kernel)
	n, in := backend.Volume(f.n), backend.Volume(c.In)
	k := correlation{gemm: gemm{m: rows, n: images * n, k: own * len(f.taps)}, turned: &turned{w, taps,
		rows * taps, f.taps},
		src: p, first: g * own, own: own, out: f.n, images: images}
	for _, shift := range f.shifts {
		k.taps = append(k.taps, p.offset(f.from[0]-shift[0]+pad[0], f.from[1]-shift[1]+pad[1],
			f.from[2]-shift[2]+pad[2]))
	}
	if bias != nil {
		k.rowBias = bias[g*rows:]
	}
	if c.Stride == [3]int{1, 1, 1} {
		k.c, k.cRow, k.cImage = x[g*rows*in:], in, c.C*in
		k.run(s)
		return
	}
	k.c, k.cRow, k.cImage = s.take(images*rows*n), n, rows*n
	k.run(s)
	ranges(images*rows, height(n), func(from, to int) {
		for u := from; u < to; u++ {
			f.scatter(c, x[(u/rows*c.C+g*rows+u%rows)*in:][:in], k.c[u*n:][:n])
		}
	})
}

// scatter moves the elements of a phase to their places in one channel.
func (f *inputPhase) scatter(c *backend.Conv, x, part []float32) {
	first := func(i int) int { return f.from[i]*c.Stride[i] + f.residue[i] - c.Pad[i] }
	for a := range f.n[0] {
		for b := range f.n[1] {
			row := x[((first(0)+a*c.Stride[0])*c.In[1]+first(1)+b*c.Stride[1])*c.In[2]+first(2):]
			for i, v := range part[(a*f.n[1]+b)*f.n[2]:][:f.n[2]] {
				row[i*c.Stride[2]] = v
			}
		}
	}
}
