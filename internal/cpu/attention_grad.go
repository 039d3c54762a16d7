package cpu

import "github.com/gollava/gollava/internal/backend"

// AttentionGrad goes by tasks of one key head and a chunk of the keys, which alone write that part of dk and dv. The probabilities of a tile
// come back from the scores and the log-sum-exp. When there are few heads, several chunks contribute to dq: the first one in place,
// the others in scratch, added up in order.
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
			parts = append(parts, d.Alloc(backend.Float32, dq.Len))
			grad.parts = append(grad.parts, parts[len(parts)-1].Float32())
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

// tasksWanted is how many tasks a gradient is cut into if the keys are long enough: it does not depend on the number of processors.
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
	D, heads := a.D, a.H/a.G
	qs, ks := a.H*D, a.G*D
	p, ds := w.take(queryBlock*keyBlock), w.take(queryBlock*keyBlock)
	kt, vt := w.take(D*keyBlock), w.take(D*keyBlock)
	delta := w.take(a.T * heads) // [T, heads], Σ dOut·out
	for s := s0; s < s1; s++ {
		if a.dk != nil {
			clear(a.key(a.dk, b, s, g)[:D])
		}
		if a.dv != nil {
			clear(a.key(a.dv, b, s, g)[:D])
		}
	}
	dq := a.dq
	if chunk > 0 && dq != nil {
		dq = a.parts[chunk-1]
	}
	for t := range a.T {
		for j := range heads {
			h := g*heads + j
			delta[t*heads+j] = dot(a.query(a.dOut, b, t, h)[:D], a.query(a.out, b, t, h)[:D])
			if dq != nil {
				clear(a.query(dq, b, t, h)[:D])
			}
		}
	}
	if a.T == 0 {
		return
	}
	lo, _ := a.sees(b, 0)
	_, hi := a.sees(b, a.T-1)
	for s := max(s0, lo); s < min(s1, hi); s += keyBlock {
		n := min(keyBlock, min(s1, hi)-s)
		transpose(kt, keyBlock, a.key(a.k, b, s, g), ks, n, D)
		transpose(vt, keyBlock, a.key(a.v, b, s, g), ks, n, D)
		for h := g * heads; h < (g+1)*heads; h++ {
			for t := 0; t < a.T; t += queryBlock {
				m := min(queryBlock, a.T-t)
				if !a.overlap(b, t, t+m, s, s+n) {
					continue
				}
				q, dOut := a.query(a.q, b, t, h), a.query(a.dOut, b, t, h)
				qk := product{A: q, B: kt, C: p, M: m, N: n, K: D, lda: qs, ldb: keyBlock, ldc: keyBlock}
				qk.run(w)
				dp := product{A: dOut, B: vt, C: ds, M: m, N: n, K: D, lda: qs, ldb: keyBlock, ldc: keyBlock}
				dp.run(w)
				a.scores(p, ds, delta[t*heads+h-g*heads:], heads, b, h, t, m, s, n)
				if a.dv != nil {
					pdo := product{A: p, B: dOut, C: a.key(a.dv, b, s, g), M: n, N: D, K: m, AT: true, lda: keyBlock, ldb: qs, ldc: ks, Accumulate: true}
					pdo.run(w)
				}
				if a.dk != nil {
					dsq := product{A: ds, B: q, C: a.key(a.dk, b, s, g), M: n, N: D, K: m, AT: true, lda: keyBlock, ldb: qs, ldc: ks, Accumulate: true}
					dsq.run(w)
				}
				if dq != nil {
					dsk := product{A: ds, B: a.key(a.k, b, s, g), C: a.query(dq, b, t, h), M: m, N: D, K: n, lda: keyBlock, ldb: ks, ldc: qs, Accumulate: true}
					dsk.run(w)
				}
			}
		}
	}
}

// scores turns products of queries with keys into probabilities p, and products of dOut with values into the gradient of the former,
// p·(ds − delta)·scale.
func (a *attentionGrad) scores(p, ds, delta []float32, step, b, h, t, m, s, n int) {
	for i := range m {
		p, ds := p[i*keyBlock:][:n], ds[i*keyBlock:][:n]
		from, to := a.visible(b, t+i, s, n)
		clear(p[:from])
		clear(ds[:from])
		clear(p[to:])
		clear(ds[to:])
		if from < to {
			p, ds = p[from:to], ds[from:to]
			c := a.bias(p, h, s+from-a.Offset-t-i)
			scoreGradients(p, ds, c, a.lse[(b*a.H+h)*a.T+t+i], delta[i*step], a.Scale)
		}
	}
}
