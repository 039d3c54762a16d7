package cpu

import "github.com/gollava/gollava/internal/backend"

// ConvWeight multiplies, for every tap, the planes that it reads with those of Y, which hold zeros where no output
// is.
func (d *Device) ConvWeight(c *backend.Conv) {
	s := borrow()
	defer s.giveBack()
	out, in := backend.Volume(c.Out), backend.Volume(c.In)
	if c.B*out*in == 0 || c.W.Len == 0 {
		d.Fill(c.W, 0)
		return
	}
	if pointwise(c) {
		for b := range c.B {
			d.MatMul(&backend.MatMul{A: c.Y.Slice(b*c.O*out, c.O*out), B: c.X.Slice(b*c.C*in, c.C*in), C: c.W,
				M: c.O, N: c.C, K: out,
				BT: true, Batch: 1, Accumulate: b > 0})
		}
		return
	}
	if inPatches(c) {
		d.weightPatches(c)
		return
	}
	x, y, w := c.X.Float32(), c.Y.Float32(), c.W.Float32()
	own, cols, taps := c.C/c.Groups, c.O/c.Groups, backend.Volume(c.Kernel)
	sums := s.take(len(w)) // [group, tap, input channel, output channel]
	mark := s.used
	atOnce := imagesAtOnce(c, max(c.C, c.O))
	for b := 0; b < c.B; b += atOnce {
		images := min(atOnce, c.B-b)
		var p, q planes
		p.data = s.take(p.lay(c.C, images, c.Out, c.Kernel, c.Stride, c.Dilation))
		p.fill(x[b*c.C*in:], c.C, images, c.In, c.Stride, c.Pad)
		ones := [3]int{1, 1, 1}
		q.data = s.take(q.lay(c.O, images, p.n, ones, ones, ones))
		q.fill(y[b*c.O*out:], c.O, images, c.Out, ones, [3]int{})
		k := (images-1)*p.plane + p.positions
		eachGroup(c, images, func(g int, s *scratch) {
			part := sums[g*taps*own*cols:][:taps*own*cols]
			h := gemm{m: own, n: cols, k: k, a: operand{full: p.data[g*own*p.channel:], row: p.channel, col: 1},
				b: operand{full: q.data[g*cols*q.channel:], row: 1, col: q.channel}, c: part, cRow: cols,
				accumulate: b > 0}
			if cols <= few {
				h.shiftedDots(p.taps)
			} else {
				h.shifted(p.taps, s)
			}
		}, s)
		s.used = mark
	}
	m := permutationOf([]int{c.Groups, taps, own, cols}, []int{0, 3, 2, 1})
	ranges(m.tasks(), max(1, grain*m.tasks()/len(w)), func(i, j int) { m.run(w, sums, i, j) })
}

// shifted computes c[t] = a[t]·b, or adds it, for operands a that start at each of the places given, with c
// [len(starts), m, n]. B is packed once.
func (g *gemm) shifted(starts []int, s *scratch) {
	g.chooseTiler()
	whole := *g
	for from := 0; from < whole.k; from += whole.width {
		h := whole
		h.k = min(whole.width, whole.k-from)
		h.depth = ceilDiv(h.k, ceilDiv(h.k, h.deepest)) // blocks of equal depth
		h.b.skip(from * h.b.row)
		h.accumulate = whole.accumulate || from > 0
		mark := s.used
		blocks, panels := ceilDiv(h.k, h.depth), h.panels(h.n)
		size := (panels*h.panel(h.depth) + spill + 15) &^ 15
		packed := s.take(blocks * size)
		perTask := max(1, packWork/(h.depth*h.cols))
		each := ceilDiv(panels, perTask)
		parallel(blocks*each, func(t int) {
			k, p := t/each*h.depth, t%each*perTask
			h.packB(packed[t/each*size:], k, min(h.depth, h.k-k), 0, h.n, p, min(panels, p+perTask))
		})
		down := ceilDiv(h.m, h.height)
		const tasks = 32 // that share the work evenly
		if down*len(starts) < tasks {
			down = min(ceilDiv(tasks, len(starts)), ceilDiv(h.m, h.rows))
		}
		high := ceilDiv(ceilDiv(h.m, down), h.rows) * h.rows
		down = ceilDiv(h.m, high)
		direct := h.direct(h.n)
		parallel(len(starts)*down, func(t int) {
			s := borrow()
			defer s.giveBack()
			start, i := t/down, t%down*high
			h := h
			h.a.skip(starts[start] + from*h.a.col)
			h.c = h.c[start*h.m*h.n:]
			end := min(h.m, i+high)
			space := s.take(h.sizeA(end-i, h.depth))
			for k := 0; k < h.k; k += h.depth {
				var a tilesOfA
				depth := min(h.depth, h.k-k)
				if direct {
					a = h.tilesInPlace(i, end, k)
				} else {
					a = h.packA(space, i, end, k, depth)
				}
				h.block(&a, 0, h.n, k, depth, packed[k/h.depth*size:])
			}
		})
		s.used = mark
	}
}

// shiftedDots is shifted for a few columns: each element is one product of vectors.
func (g *gemm) shiftedDots(starts []int) {
	f := vectors().dot
	own := *g
	ranges(len(starts)*own.m, max(1, taskWork/8/(own.k*own.n)), func(from, to int) {
		for u := from; u < to; u++ {
			x := own.a.full[starts[u/own.m]+u%own.m*own.a.row:][:own.k]
			for j := range own.n {
				v := f(x, own.b.full[j*own.b.col:][:own.k])
				if o := u*own.n + j; own.accumulate {
					own.c[o] += v
				} else {
					own.c[o] = v
				}
			}
		}
	})
}
