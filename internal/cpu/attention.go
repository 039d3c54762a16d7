package cpu

import (
	"math"

	"github.com/gollava/gollava/internal/backend"
)

// Tiles of scores are queryBlock×keyBlock: small enough that a tile, its gradient and the keys they belong to stay in the second-level
// cache, rows a multiple of what the product kernels take at a time.
const (
	queryBlock = 48
	keyBlock   = 128
)

// attention is a backend.Attention whose buffers are slices; its tasks share it.
type attention struct {
	*backend.Attention
	q, k, v, out, lse, slopes []float32
	start, end                []int32
}

func attentionOf(a *backend.Attention) *attention {
	at := &attention{Attention: a, q: a.Q.Float32(), k: a.K.Float32(), v: a.V.Float32(), out: a.Out.Float32()}
	if a.LSE != nil {
		at.lse = a.LSE.Float32()
	}
	if a.Slopes != nil {
		at.slopes = a.Slopes.Float32()
	}
	if a.Start != nil {
		at.start = a.Start.Int32()
	}
	if a.End != nil {
		at.end = a.End.Int32()
	}
	return at
}

// sees returns the keys [from, to) that query t of batch row b sees. Both grow with t, so that a block of queries sees no more than from
// its first one's from to its last one's to. If it sees none, to ≤ from.
func (a *attention) sees(b, t int) (from, to int) {
	to = a.Keys
	if a.start != nil {
		from = max(from, int(a.start[b]))
	}
	if a.end != nil {
		to = min(to, int(a.end[b]))
	}
	if a.Causal {
		to = min(to, a.Offset+t+1)
		if a.Window > 0 {
			from = max(from, a.Offset+t-a.Window+1)
		}
	}
	return from, to
}

// query, key and the like are the elements from the first of batch row b, position t and head h on; rows are H·D or G·D apart.
func (a *attention) query(x []float32, b, t, h int) []float32 { return x[((b*a.T+t)*a.H+h)*a.D:] }
func (a *attention) key(x []float32, b, s, g int) []float32   { return x[((b*a.S+s)*a.G+g)*a.D:] }

// Attention goes by tasks of one head and at most a few hundred queries. A task takes the keys block by block, turns a block's
// scores for each block of its queries into probabilities relative to the largest score so far, and adds their share of the values to
// the output, which it scales down whenever the largest score grows: Dao et al. 2022, with the keys in the outer loop so that each
// block of them is transposed once.
func (d *Device) Attention(p *backend.Attention) {
	a := attentionOf(p)
	if a.B*a.T*a.H*a.D == 0 {
		return
	}
	if a.T*(a.H/a.G) <= fewQueries {
		d.attendFew(a)
		return
	}
	chunks, rows := split(a.T, 256, queryBlock)
	parallel(a.B*a.H*chunks, func(i int) {
		s := borrow()
		t := (chunks - 1 - i%chunks) * rows // the last queries see most: they go first
		a.forward(s, i/chunks/a.H, i/chunks%a.H, t, min(t+rows, a.T))
		s.giveBack()
	})
}

// split cuts n into parts of about the given length, a multiple of unit.
func split(n, length, unit int) (parts, each int) {
	parts = max((n+length-1)/length, 1)
	each = max((n+parts-1)/parts, 1)
	each = (each + unit - 1) / unit * unit
	return max((n+each-1)/each, 1), each
}

func (a *attention) forward(w *scratch, b, h, t0, t1 int) {
	D, g := a.D, h*a.G/a.H
	qs, ks := a.H*D, a.G*D
	p, kt := w.take(queryBlock*keyBlock), w.take(D*keyBlock)
	top, sum := w.take(t1-t0), w.take(t1-t0)
	for i := range top {
		top[i], sum[i] = float32(math.Inf(-1)), 0
		clear(a.query(a.out, b, t0+i, h)[:D])
	}
	lo, _ := a.sees(b, t0)
	_, hi := a.sees(b, t1-1)
	for s := lo; s < hi; s += keyBlock {
		n := min(keyBlock, hi-s)
		transpose(kt, keyBlock, a.key(a.k, b, s, g), ks, n, D)
		for t := t0; t < t1; t += queryBlock {
			m := min(queryBlock, t1-t)
			if !a.overlap(b, t, t+m, s, s+n) {
				continue
			}
			out := a.query(a.out, b, t, h)
			qk := product{A: a.query(a.q, b, t, h), B: kt, C: p, M: m, N: n, K: D, lda: qs, ldb: keyBlock, ldc: keyBlock}
			qk.run(w)
			a.probabilities(p, out, top[t-t0:], sum[t-t0:], b, h, t, m, s, n)
			pv := product{A: p, B: a.key(a.v, b, s, g), C: out, M: m, N: D, K: n, lda: keyBlock, ldb: ks, ldc: qs, Accumulate: true}
			pv.run(w)
		}
	}
	for i, l := range sum {
		if l != 0 {
			scale(a.query(a.out, b, t0+i, h)[:D], 1/l)
		}
		if a.lse != nil {
			a.lse[(b*a.H+h)*a.T+t0+i] = top[i] + float32(math.Log(float64(l)))
		}
	}
}

// overlap reports whether one of the queries [t0, t1) sees one of the keys [s0, s1).
func (a *attention) overlap(b, t0, t1, s0, s1 int) bool {
	lo, _ := a.sees(b, t0)
	_, hi := a.sees(b, t1-1)
	return max(lo, s0) < min(hi, s1)
}

// visible is the part [from, to) of the keys s to s+n that query t sees, counted from s.
func (a *attention) visible(b, t, s, n int) (from, to int) {
	from, to = a.sees(b, t)
	from = min(max(from-s, 0), n)
	return from, max(min(to-s, n), from)
}

// bias turns products into scores where more than a positive scale is needed, and returns the scale that remains to be applied.
func (a *attention) bias(x []float32, h, distance int) (rest float32) {
	switch {
	case a.slopes != nil:
		for j := range x {
			x[j] = x[j]*a.Scale + a.slopes[h]*float32(distance+j)
		}
	case a.Scale < 0:
		scale(x, a.Scale)
	default:
		return a.Scale
	}
	return 1
}

// probabilities turns products p of queries t to t+m with keys s to s+n into e^(score−top), updates top and sum, and scales down the rows
// of the output whose top has grown.
func (a *attention) probabilities(p, out, top, sum []float32, b, h, t, m, s, n int) {
	for i := range m {
		row := p[i*keyBlock:][:n]
		from, to := a.visible(b, t+i, s, n)
		clear(row[:from])
		clear(row[to:])
		if from == to {
			continue
		}
		row = row[from:to]
		c := a.bias(row, h, s+from-a.Offset-t-i)
		high := max(top[i], maximum(row)*c)
		fade := float32(math.Exp(float64(top[i] - high)))
		sum[i] = sum[i]*fade + exponentials(row, c, high)
		if fade != 1 {
			scale(out[i*a.H*a.D:][:a.D], fade)
		}
		top[i] = high
	}
}
