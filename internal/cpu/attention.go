package cpu

import (
	"math"

	"github.com/gollava/gollava/internal/backend"
)

// Tiles of scores are at most queryBlock+queryRest by keyBlock: with their gradient, and the keys and values that they
// belong to, they stay in the second-level cache. Rows lie tileRow apart, which is no power of two so that the elements
// of a column fall into different sets of the first-level cache.
const (
	queryBlock = 48
	queryRest  = 6 // a shorter rest joins the last block
	keyBlock   = 128
	tileRow    = keyBlock + 16
	tileSize   = (queryBlock + queryRest) * tileRow
)

// attention is a backend.Attention whose buffers are slices; its tasks share it.
type attention struct {
	*backend.Attention
	*tiler
	*attentionKernels
	q, k, v, out, lse, slopes []float32
	start, end                []int32
	from, to                  []int32
}

func attentionOf(a *backend.Attention) *attention {
	at := &attention{Attention: a, tiler: activeTiler(), attentionKernels: activeAttention(),
		q: a.Q.Float32(), k: a.K.Float32(), v: a.V.Float32(), out: a.Out.Float32()}
	if a.Half && a.D%2 == 0 && bf16Dot() {
		at.tiler = pairsTiler()
	}
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
	if a.From != nil {
		at.from = a.From.Int32()
	}
	if a.To != nil {
		at.to = a.To.Int32()
	}
	return at
}

// sees returns the keys [from, to) that query t of batch row b sees. Both grow with t, so that a block of queries sees
// no more than from its first one's from to its last one's to. If it sees none, to ≤ from.
func (a *attention) sees(b, t int) (from, to int) {
	to = a.Keys
	if a.start != nil {
		from = max(from, int(a.start[b]))
	}
	if a.end != nil {
		to = min(to, int(a.end[b]))
	}
	if a.from != nil {
		from = max(from, int(a.from[b*a.T+t]))
	}
	if a.to != nil {
		to = min(to, int(a.to[b*a.T+t]))
	}
	if a.Causal {
		to = min(to, a.Offset+t+1)
		if a.Window > 0 {
			from = max(from, a.Offset+t-a.Window+1)
		}
	}
	return from, to
}

// query and key are where the elements of batch row b, position t or s, and a head begin; rows are H·D and G·D apart.
func (a *attention) query(b, t, h int) int { return ((b*a.T+t)*a.H + h) * a.D }
func (a *attention) key(b, s, g int) int   { return ((b*a.S+s)*a.G + g) * a.D }

// Attention goes by tasks of one head and at most a few hundred queries. A task takes the keys block by block, turns a
// block's scores for each block of its queries into probabilities relative to the largest score so far, and adds their
// share of the values to the output, which it scales down whenever the largest score grows: Dao et al. 2022, with the
// keys in the outer loop so that each block of them is packed once. Decoding steps of several sequences go by tasks of
// them all.
func (d *Device) Attention(list ...*backend.Attention) {
	var few []*attention
	for _, p := range list {
		switch a := attentionOf(p); {
		case a.B*a.T*a.H*a.D == 0:
		case a.lse == nil && a.T*(a.H/a.G) <= fewQueries: // a gradient needs the tiles' products, to the last digit
			few = append(few, a)
		default:
			if a.NewK != nil {
				for b := range a.B {
					at, n := a.key(b, a.Keys-a.T, 0), a.T*a.G*a.D
					d.CopyBlocks(a.K, at, n, a.NewK, b*n, n, 1, n, false)
					d.CopyBlocks(a.V, at, n, a.NewV, b*n, n, 1, n, false)
				}
			}
			a.spread()
		}
	}
	if few != nil {
		d.attendFew(few)
	}
}

// spread goes by tasks of a head and some queries.
func (a *attention) spread() {
	chunks, rows := split(a.T, 512, queryBlock)
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

// block is how many of n queries the next block takes. Short causal attentions waste less on what is hidden with half
// as many.
func (a *attention) block(n int) int {
	size := queryBlock
	if a.Causal && a.T <= 256 {
		size /= 2
	}
	if n <= size+queryRest {
		return n
	}
	return size
}

func (a *attention) forward(w *scratch, b, h, t0, t1 int) {
	D, g, T := a.D, h*a.G/a.H, t1-t0
	p, fade := w.take(tileSize), w.take(queryBlock+queryRest)
	keys, values := w.take(a.panels(keyBlock)*a.panel(D)), w.take(a.panels(D)*a.panel(keyBlock))
	q, out := w.take(T*D), w.take(T*D)
	inner := a.inner(D)
	top, sum := w.take(T), w.take(T)
	a.gather(q, a.q[a.query(b, t0, h):], a.H*D, T)
	clear(out)
	clear(sum)
	for i := range top {
		top[i] = minusInf
	}
	lo, _ := a.sees(b, t0)
	_, hi := a.sees(b, t1-1)
	for s := lo; s < hi; s += keyBlock {
		n := min(keyBlock, hi-s)
		a.packKeys(keys, a.k[a.key(b, s, g):], n)
		a.packValues(values, a.v[a.key(b, s, g):], n)
		for t := 0; t < T; {
			m := a.block(T - t)
			if c := a.overlap(b, t0+t, t0+t+m, s, n); c > 0 {
				a.multiply(m, c, inner, q[t*inner:], inner, 1, keys, a.cols, a.panel(D), p, tileRow, false)
				scale := a.finish(p, tileRow, b, h, t0+t, m, s, c)
				a.softmax(m, upTo16(c), &p[0], tileRow, scale, &top[t], &sum[t], &fade[0])
				a.scale(m, D, &out[t*D], D, &out[t*D], D, &fade[0])
				a.halve(p, m, c)
				a.multiply(m, D, a.inner(c), p, tileRow, 1, values, a.cols, a.panel(n), out[t*D:], D, true)
			}
			t += m
		}
	}
	for i, l := range sum {
		if a.lse != nil {
			a.lse[(b*a.H+h)*a.T+t0+i] = top[i] + float32(math.Log(float64(l)))
		}
		if l != 0 {
			l = 1 / l
		}
		sum[i] = l
	}
	a.scale(T, D, &a.out[a.query(b, t0, h)], a.H*D, &out[0], D, &sum[0])
}

var minusInf = float32(math.Inf(-1))

// hidden is the scores of a row of keys that are not seen.
var hidden = func() (row [max(keyBlock, fewKeys)]float32) {
	for i := range row {
		row[i] = minusInf
	}
	return row
}()

func upTo16(n int) int { return (n + 15) &^ 15 }

// overlap is how many of the keys s to s+n the queries [t0, t1) look at: 0, or up to the last one that any of them
// sees.
func (a *attention) overlap(b, t0, t1, s, n int) int {
	lo, _ := a.sees(b, t0)
	_, hi := a.sees(b, t1-1)
	if n = min(n, hi-s); n <= lo-s {
		return 0
	}
	return max(n, 0)
}

// finish makes scores of the products p of queries t to t+m with keys s to s+n, save for the scale that it returns, and
// hides with −Inf what is not seen, and the columns from n up to a multiple of 16. A cap is part of the scores.
func (a *attention) finish(p []float32, row, b, h, t, m, s, n int) (scale float32) {
	lo, _ := a.sees(b, t+m-1)
	_, hi := a.sees(b, t)
	biased := a.slopes != nil || a.Scale <= 0 || a.Cap > 0
	if !biased && lo <= s && s+n <= hi && n%16 == 0 {
		return a.Scale
	}
	for i := range m {
		x := p[i*row:][:upTo16(n)]
		from, to := a.sees(b, t+i)
		from = min(max(from-s, 0), n)
		to = max(min(to-s, n), from)
		if biased {
			slope, scale := float32(0), a.Scale
			if a.slopes != nil {
				slope = a.slopes[h]
			}
			if a.Cap > 0 {
				vectors().affine(x[from:to], x[from:to], scale/a.Cap, 0)
				activate(backend.Tanh, x[from:to])
				scale = a.Cap
			}
			for j := from; j < to; j++ {
				x[j] = x[j]*scale + slope*float32(s+j-a.Offset-t-i)
			}
		}
		copy(x[:from], hidden[:])
		copy(x[to:], hidden[:])
	}
	if biased {
		return 1
	}
	return a.Scale
}
