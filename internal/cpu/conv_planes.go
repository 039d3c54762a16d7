package cpu

// planes are the channels of some images, padded with zeros and cut into phases, so that every tap of a kernel
// reads consecutive elements for consecutive outputs: along each axis, position p of the phase whose residue is r
// holds element p·stride + r − pad of the image. The planes of a phase and a channel follow one another, image by
// image.
type planes struct {
	n         [3]int   // positions along each axis
	residues  [3][]int // of the phases along each axis
	plane     int      // elements from one image's plane to the next
	channel   int      // from one channel to the next
	phase     int      // from one phase to the next
	data      []float32
	taps      []int // where each tap of the kernel reads output 0 of channel 0
	tapAxis   [3]tapAxis
	positions int // from the first output of an image to its last, and 1
}

// tapAxis is what the taps of one axis read: position p + shift of the plane with the index phase.
type tapAxis []struct{ phase, shift int }

// axis returns the residues of the phases that the taps t·dilation of a kernel read, and what each tap reads.
func axis(kernel, dilation, stride int) (residues []int, taps tapAxis) {
	at := map[int]int{}
	for t := range kernel {
		r := t * dilation % stride
		if _, ok := at[r]; !ok {
			at[r] = len(residues)
			residues = append(residues, r)
		}
		taps = append(taps, struct{ phase, shift int }{at[r], t * dilation / stride})
	}
	return residues, taps
}

// lay decides where everything lies, for kernels of which out outputs are wanted along each axis. The taps of all
// axes together are in row-major order.
func (p *planes) lay(channels, images int, out, kernel, stride, dilation [3]int) (elements int) {
	phases := 1
	for i := range 3 {
		p.residues[i], p.tapAxis[i] = axis(kernel[i], dilation[i], stride[i])
		p.n[i] = out[i] + (kernel[i]-1)*dilation[i]/stride[i]
		phases *= len(p.residues[i])
	}
	p.plane = p.n[0] * p.n[1] * p.n[2]
	// With a power of two between channels, the same place of all of them would fall into the same set of a cache:
	// an odd number of lines.
	const line = 16
	p.channel = ((images*p.plane+line-1)/line | 1) * line
	p.phase = channels * p.channel
	p.positions = p.offset(out[0]-1, out[1]-1, out[2]-1) + 1
	for _, a := range p.tapAxis[0] {
		for _, b := range p.tapAxis[1] {
			for _, c := range p.tapAxis[2] {
				phase := (a.phase*len(p.residues[1])+b.phase)*len(p.residues[2]) + c.phase
				p.taps = append(p.taps, phase*p.phase+p.offset(a.shift, b.shift, c.shift))
			}
		}
	}
	return phases * p.phase
}

// offset is where position (a, b, c) of a plane lies.
func (p *planes) offset(a, b, c int) int { return (a*p.n[1]+b)*p.n[2] + c }

// fill copies images x [images, channels, in...].
func (p *planes) fill(x []float32, channels, images int, in, stride, pad [3]int) {
	count := channels * images
	phases := len(p.residues[0]) * len(p.residues[1]) * len(p.residues[2])
	size := in[0] * in[1] * in[2]
	ranges(phases*count, max(1, packWork/max(p.plane, 1)), func(from, to int) {
		for u := from; u < to; u++ {
			phase, channel, image := u/count, u/images%channels, u%images
			r := [3]int{p.residues[0][phase/len(p.residues[2])/len(p.residues[1])],
				p.residues[1][phase/len(p.residues[2])%len(p.residues[1])],
				p.residues[2][phase%len(p.residues[2])]}
			dst := p.data[phase*p.phase+channel*p.channel+image*p.plane:][:p.plane]
			p.fillPlane(dst, x[(image*channels+channel)*size:][:size], in, stride, [3]int{r[0] - pad[0],
				r[1] - pad[1], r[2] - pad[2]})
		}
	})
}

// fillPlane copies one channel of one image, of which element p·stride + first becomes position p.
func (p *planes) fillPlane(dst, x []float32, in, stride, first [3]int) {
	from, to := inside(p.n[2], in[2], stride[2], first[2])
	for a := range p.n[0] {
		for b := range p.n[1] {
			row := dst[p.offset(a, b, 0):][:p.n[2]]
			i, j := a*stride[0]+first[0], b*stride[1]+first[1]
			if i < 0 || i >= in[0] || j < 0 || j >= in[1] || from >= to {
				clear(row)
				continue
			}
			src := x[(i*in[1]+j)*in[2]+from*stride[2]+first[2]:]
			clear(row[:from])
			if stride[2] == 1 {
				copy(row[from:to], src)
			} else {
				for k := range to - from {
					row[from+k] = src[k*stride[2]]
				}
			}
			clear(row[to:])
		}
	}
}

// inside is the range of the n positions p for which p·stride + first is in [0, in).
func inside(n, in, stride, first int) (from, to int) {
	from = min(n, max(0, ceilDiv(-first, stride)))
	return from, min(n, max(from, ceilDiv(in-first, stride)))
}

// ceilDiv is ⌈a/b⌉ for b > 0.
func ceilDiv(a, b int) int {
	if a <= 0 {
		return a / b
	}
	return (a + b - 1) / b
}
