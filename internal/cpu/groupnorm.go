package cpu

import "github.com/gollava/gollava/internal/backend"

// groups is a GroupNorm or its gradient. w and b are nil for 1 and 0.
type groups struct {
	x, w, b, mean, rstd []float32
	channels, inner     int
	own                 int // channels of a group
}

func groupsOf(x, w, b, mean, rstd *backend.Buffer, channels, inner, n int, s *scratch) groups {
	return groups{x.Float32(), wide(w, s), wide(b, s), mean.Float32(), rstd.Float32(), channels, inner, channels / n}
}

func (d *Device) GroupNorm(dst, mean, rstd, x, w, b *backend.Buffer, batch, channels, inner, n int, eps float32) {
	s := borrow()
	defer s.giveBack()
	g, y := groupsOf(x, w, b, mean, rstd, channels, inner, n, s), dst.Float32()
	ranges(batch*n, height(g.own*inner), func(from, to int) {
		for i := from; i < to; i++ {
			g.normalize(y, i, eps)
		}
	})
}

// normalize computes group i of the batch.
func (g *groups) normalize(y []float32, i int, eps float32) {
	k, size := vectors(), g.own*g.inner
	x := g.x[i*size : (i+1)*size]
	m := k.sum(x) / float32(size)
	q := inverseRoot(k.deviation(x, m), size, eps)
	g.mean[i], g.rstd[i] = m, q
	for c := range g.own {
		w, b, channel := q, float32(0), (i*g.own+c)%g.channels
		if g.w != nil {
			w *= g.w[channel]
		}
		if g.b != nil {
			b = g.b[channel]
		}
		o := i*size + c*g.inner
		k.shift(y[o:o+g.inner], g.x[o:o+g.inner], m, 0) // the mean first: it may be far above the deviation
		k.affine(y[o:o+g.inner], y[o:o+g.inner], w, b)
	}
}

func (d *Device) GroupNormGrad(dx, dw, db, x, w, mean, rstd, dy *backend.Buffer, batch, channels, inner, n int) {
	s := borrow()
	defer s.giveBack()
	g := groupsOf(x, w, nil, mean, rstd, channels, inner, n, s)
	ones, sums := s.take(inner), s.take(2*batch*channels) // of each channel of an image: Σ dy and Σ dy·(x−mean)
	set(ones, 1)
	grad, v := optional(dx), dy.Float32()
	ranges(batch*n, height(g.own*inner), func(from, to int) {
		for i := from; i < to; i++ {
			g.backward(grad, v, ones, sums, i)
		}
	})
	for c := range channels {
		var sw, sb float64
		for b := range batch {
			o := b*channels + c
			sb += float64(sums[2*o])
			sw += float64(sums[2*o+1]) * float64(g.rstd[o/g.own])
		}
		if dw != nil {
			dw.Float32()[c] = float32(sw)
		}
		if db != nil {
			db.Float32()[c] = float32(sb)
		}
	}
}

// backward computes the sums of group i of the batch and, unless it is nil, dx.
func (g *groups) backward(dx, dy, ones, sums []float32, i int) {
	k, first := vectors(), i*g.own
	m, q := g.mean[i], g.rstd[i]
	var sum, along float64
	scale := func(c int) float32 {
		if g.w == nil {
			return 1
		}
		return g.w[c%g.channels]
	}
	for c := first; c < first+g.own; c++ {
		o := c * g.inner
		a, b := k.normSums(g.x[o:o+g.inner], ones, dy[o:o+g.inner], m)
		sums[2*c], sums[2*c+1] = a, b
		sum, along = sum+float64(a)*float64(scale(c)), along+float64(b)*float64(scale(c))
	}
	if dx == nil {
		return
	}
	n := float32(g.own * g.inner)
	for c := first; c < first+g.own; c++ {
		o := c * g.inner
		k.normGrad(dx[o:o+g.inner], g.x[o:o+g.inner], ones, dy[o:o+g.inner], m, q*scale(c), -float32(along)*q*q*q/n,
			-float32(sum)*q/n)
	}
}
