package cpu

import (
	"math"

	"github.com/gollava/gollava/internal/backend"
)

// fewQueries is how many queries of one key head make a decoding step: fewer than fill a tile, against a long cache.
const fewQueries = 8

// fewKeys is how many keys one task of a decoding step reads.
const fewKeys = 256

// attendFew goes by tasks of one key head and a chunk of keys, bound by reading them once. Each leaves its own largest score, sum and
// output, which a second round combines in the order of the chunks.
func (d *Device) attendFew(a *attention) {
	heads := a.H / a.G
	rows := a.T * heads
	chunks := max((a.Keys+fewKeys-1)/fewKeys, 1)
	each := rows * (a.D + 2)
	buf := d.Alloc(backend.Float32, a.B*a.G*chunks*each)
	parts := buf.Float32()
	parallel(a.B*a.G*chunks, func(i int) {
		s := borrow()
		a.few(s, parts[i*each:][:each], i/chunks/a.G, i/chunks%a.G, i%chunks*fewKeys)
		s.giveBack()
	})
	parallel(a.B*a.G, func(i int) {
		a.combine(parts[i*chunks*each:][:chunks*each], chunks, i/a.G, i%a.G)
	})
	d.Free(buf)
}

// few leaves in part, for each query t and head of group g, the output over keys s0 to s0+fewKeys, not divided by the sum, and, behind all
// outputs, the largest scores and the sums.
func (a *attention) few(w *scratch, part []float32, b, g, s0 int) {
	heads, D := a.H/a.G, a.D
	rows := a.T * heads
	lo, _ := a.sees(b, 0)
	_, hi := a.sees(b, a.T-1)
	lo, hi = max(lo, s0), min(hi, s0+fewKeys)
	out, top, sum := part[:rows*D], part[rows*D:][:rows], part[rows*(D+1):]
	for i := range rows {
		top[i], sum[i] = float32(math.Inf(-1)), 0
	}
	if lo >= hi {
		clear(out)
		return
	}
	n := hi - lo
	q, p := w.take(rows*D), w.take(rows*fewKeys)
	for i := range rows {
		copy(q[i*D:][:D], a.query(a.q, b, i/heads, g*heads+i%heads))
	}
	qk := product{A: q, B: a.key(a.k, b, lo, g), C: p, M: rows, N: n, K: D, BT: true, lda: D, ldb: a.G * D, ldc: fewKeys}
	qk.run(w)
	for i := range rows {
		row, h, t := p[i*fewKeys:][:n], g*heads+i%heads, i/heads
		from, to := a.visible(b, t, lo, n)
		clear(row[:from])
		clear(row[to:])
		if from < to {
			row = row[from:to]
			c := a.bias(row, h, lo+from-a.Offset-t)
			top[i] = maximum(row) * c
			sum[i] = exponentials(row, c, top[i])
		}
	}
	pv := product{A: p, B: a.key(a.v, b, lo, g), C: out, M: rows, N: D, K: n, lda: fewKeys, ldb: a.G * D, ldc: D}
	pv.run(w)
}

// combine puts the chunks of one key head together.
func (a *attention) combine(parts []float32, chunks, b, g int) {
	heads, D := a.H/a.G, a.D
	rows := a.T * heads
	each := rows * (D + 2)
	for i := range rows {
		t, h := i/heads, g*heads+i%heads
		high := float32(math.Inf(-1))
		for c := range chunks {
			high = max(high, parts[c*each+rows*D+i])
		}
		out := a.query(a.out, b, t, h)[:D]
		clear(out)
		total := float32(0)
		for c := range chunks {
			part := parts[c*each:][:each]
			sum := part[rows*(D+1)+i]
			if sum == 0 { // no key of this chunk is seen
				continue
			}
			fade := float32(math.Exp(float64(part[rows*D+i] - high)))
			total += fade * sum
			axpy(out, fade, part[i*D:][:D])
		}
		if total != 0 {
			scale(out, 1/total)
		}
		if a.lse != nil {
			a.lse[(b*a.H+h)*a.T+t] = high + float32(math.Log(float64(total)))
		}
	}
}
