package cpu

import "github.com/gollava/gollava/internal/backend"

// AttentionGrad goes by tasks of one key head and a chunk of the keys, which alone write that part of dk and dv. The
// probabilities of a tile come back from the scores and the log-sum-exp. When there are few heads, several chunks
// contribute to dq: the first one in place, the others in scratch, added up in order.
func (d *Device) AttentionGrad(p *backend.Attention, dq, dk, dv, dOut *backend.Buffer) {
	a := attentionOf(p)
	grad := attentionGrad{attention: a, dOut: dOut.Float32(), dq: optional(dq), dk: optional(dk), dv: optional(dv)}
	if a.B*a.G*a.D == 0 {
		return
	}
	chunks, keys := 1, max(a.S, 1)
	if want := (tasksWanted + a.B*a.G - 1) / (a.B * a.G); want > 1 {
		chunks, keys = split(a.S, max((a.S+want-1)/want, 4*keyBlock), keyBlock)
	}
	var parts []*backend.Buffer
	if grad.dq != nil {
		for range chunks - 1 {
			x := d.Alloc(backend.Float32, dq.Len)
			parts, grad.parts = append(parts, x), append(grad.parts, x.Float32())
		}
	}
	parallel(a.B*a.G*chunks, func(i int) {
		s, c := borrow(), i%chunks
		grad.backward(s, i/chunks/a.G, i/chunks%a.G, c, c*keys, min((c+1)*keys, a.S))
		s.giveBack()
	})
	for _, x := range parts {
		d.Accumulate(dq, x, 1)
		d.Free(x)
	}
}

// tasksWanted is how many tasks a gradient is cut into if the keys are long enough: it does not depend on the number of
// processors.
const tasksWanted = 16

func optional(b *backend.Buffer) []float32 {
	if b == nil {
		return nil
	}
	return b.Float32()
}

type attentionGrad struct {
	*attention
	dOut, dq, dk, dv []float32
	parts            [][]float32 // of dq, from chunks 1, 2, …
}

// backward handles keys s0 to s1 of group g, and all queries.
func (a *attentionGrad) backward(w *scratch, b, g, chunk, s0, s1 int) {
	D, T := a.D, a.T
	seen0, seen1 := 0, 0
	if T > 0 {
		seen0, _ = a.sees(b, 0)
		_, seen1 = a.sees(b, T-1)
	}
	lo := min(max(s0, seen0), s1)
	hi := max(min(s1, seen1), lo)
	for _, x := range [][]float32{a.dk, a.dv} {
		if x != nil {
			a.clearKeys(x, b, g, s0, lo)
			a.clearKeys(x, b, g, hi, s1)
		}
	}
	if T == 0 {
		return
	}
	dqOut := a.dq
	if chunk > 0 && dqOut != nil {
		dqOut = a.parts[chunk-1]
	}
	p, ds := w.take(tileSize), w.take(tileSize)
	var tanh []float32 // of the products, below the cap
	if a.Cap > 0 {
		tanh = w.take(tileSize)
	}
	keysT, valuesT := w.take(a.panels(keyBlock)*a.panel(D)), w.take(a.panels(keyBlock)*a.panel(D))
	keys := w.take(a.panels(D) * a.panel(keyBlock))
	dk, dv := w.take(keyBlock*D), w.take(keyBlock*D)
	q, dOut, dq := w.take(T*D+a.cols), w.take(T*D+a.cols), w.take(T*D) // read up to a whole tile's columns
	right := rights{q: q, dOut: dOut, row: D}
	if a.pairs {
		right.row = a.panels(D) * a.cols
		size := a.inner(T) * right.row
		right.q, right.dOut, right.tile = w.take(size), w.take(size), w.take(tileSize)
	}
	delta := w.take(T)
	inner := a.inner(D)
	heads := a.H / a.G
	for j := range heads {
		h := g*heads + j
		at := a.query(b, 0, h)
		lse := a.lse[(b*a.H+h)*T:]
		a.gather(q, a.q[at:], a.H*D, T)
		a.gather(dOut, a.dOut[at:], a.H*D, T)
		a.dot(T, D, &a.dOut[at], a.H*D, &a.out[at], a.H*D, &delta[0])
		if a.pairs {
			for j := 0; j < D; j += a.cols {
				end := min(j+a.cols, D)
				pairsOfColumns(right.q[j:], right.row, &operand{full: a.q[at:], row: a.H * D, col: 1}, 0, T, j, end, a.cols)
				pairsOfColumns(right.dOut[j:], right.row, &operand{full: a.dOut[at:], row: a.H * D, col: 1}, 0, T, j, end,
					a.cols)
			}
		}
		clear(dq)
		for s := lo; s < hi; s += keyBlock {
			n := min(keyBlock, hi-s)
			from := a.key(b, s, g)
			a.packKeys(keysT, a.k[from:], n)
			a.packKeys(valuesT, a.v[from:], n)
			a.packValues(keys, a.k[from:], n)
			clear(dk[:n*D])
			clear(dv[:n*D])
			for t := 0; t < T; {
				m := a.block(T - t)
				if c := a.overlap(b, t, t+m, s, n); c > 0 {
					a.multiply(m, c, inner, q[t*inner:], inner, 1, keysT, a.cols, a.panel(D), p, tileRow, false)
					a.multiply(m, c, inner, dOut[t*inner:], inner, 1, valuesT, a.cols, a.panel(D), ds, tileRow, false)
					a.capped(tanh, p, m, c)
					scale := a.finish(p, tileRow, b, h, t, m, s, c)
					a.score(m, upTo16(c), &p[0], &ds[0], tileRow, scale, a.Scale, &lse[t], &delta[t])
					a.through(ds, tanh, m, c)
					below := a.inner(t) * right.row // t is even
					if a.dv != nil {
						pT := a.transposed(right.tile, p, m, c)
						a.multiply(c, D, a.inner(m), pT, 1, tileRow, right.dOut[below:], right.row, a.cols, dv, D, true)
					}
					if a.dk != nil {
						dsT := a.transposed(right.tile, ds, m, c)
						a.multiply(c, D, a.inner(m), dsT, 1, tileRow, right.q[below:], right.row, a.cols, dk, D, true)
					}
					if dqOut != nil {
						a.halve(ds, m, c)
						a.multiply(m, D, a.inner(c), ds, tileRow, 1, keys, a.cols, a.panel(n), dq[t*D:], D, true)
					}
				}
				t += m
			}
			a.putKeys(a.dk, from, dk, n, j > 0)
			a.putKeys(a.dv, from, dv, n, j > 0)
		}
		if dqOut != nil {
			for t := range T {
				copy(dqOut[at+t*a.H*D:], dq[t*D:][:D])
			}
		}
	}
}

// rights are all queries of a head and their outputs' gradients as right operands of products, with rows row elements
// apart, and a tile for what is transposed.
type rights struct {
	q, dOut, tile []float32
	row           int
}

// capped sets y, which is nil without a cap, to tanh(scale·p/cap) for m rows of n products.
func (a *attentionGrad) capped(y, p []float32, m, n int) {
	for i := 0; y != nil && i < m; i++ {
		row := y[i*tileRow:][:n]
		vectors().affine(row, p[i*tileRow:][:n], a.Scale/a.Cap, 0)
		activate(backend.Tanh, row)
	}
}

// through multiplies m rows of n elements of ds by the cap's slope 1 − y², unless y is nil.
func (a *attentionGrad) through(ds, y []float32, m, n int) {
	for i := 0; y != nil && i < m; i++ {
		x, row := ds[i*tileRow:][:n], y[i*tileRow:][:n]
		vectors().unaryGrad[backend.Tanh](x, row, row, x)
	}
}

func (a *attentionGrad) clearKeys(x []float32, b, g, s0, s1 int) {
	for s := s0; s < s1; s++ {
		clear(x[a.key(b, s, g):][:a.D])
	}
}

// putKeys sets or adds n rows of one group to dst, which may be nil.
func (a *attentionGrad) putKeys(dst []float32, at int, src []float32, n int, add bool) {
	if dst == nil {
		return
	}
	for s := range n {
		x, y := src[s*a.D:][:a.D], dst[at+s*a.G*a.D:][:a.D]
		if !add {
			copy(y, x)
			continue
		}
		for i, v := range x {
			y[i] += v
		}
	}
}
