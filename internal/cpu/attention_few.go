package cpu

import (
	"math"

	"github.com/gollava/gollava/internal/backend"
)

// fewQueries is how many queries of one key head make a decoding step: fewer than fill a tile, against a long cache.
const fewQueries = 8

// fewKeys is how many keys one task of a decoding step reads.
const fewKeys = 256

// attendFew goes by tasks of one key head and a chunk of keys, bound by reading them once. Each leaves its own largest
// score, sum and output, which a second round combines in the order of the chunks if there are several.
func (d *Device) attendFew(list []*attention) {
	type task struct{ of, at int } // index in list, and of its parts
	var tasks []task
	starts := make([]int, len(list)+1) // of the parts of each
	for n, a := range list {
		count := a.B * a.G * a.chunks()
		for i := range count {
			tasks = append(tasks, task{n, i})
		}
		starts[n+1] = starts[n] + count*a.part()
	}
	buf := d.Alloc(backend.Float32, starts[len(list)])
	parts := buf.Float32()
	parallel(len(tasks), func(t int) {
		a, i := list[tasks[t].of], tasks[t].at
		chunks, each := a.chunks(), a.part()
		b, g, part := i/chunks/a.G, i/chunks%a.G, parts[starts[tasks[t].of]+i*each:][:each]
		s := borrow()
		a.few(s, part, b, g, i%chunks*fewKeys)
		s.giveBack()
		if chunks == 1 {
			a.combine(part, 1, b, g)
		}
	})
	for n, a := range list {
		chunks, all := a.chunks(), parts[starts[n]:starts[n+1]]
		if chunks == 1 {
			continue
		}
		size := chunks * a.part()
		for i := range a.B * a.G {
			a.combine(all[i*size:][:size], chunks, i/a.G, i%a.G)
		}
	}
	d.Free(buf)
}

// chunks is how many tasks read the keys of a head.
func (a *attention) chunks() int { return max((a.Keys+fewKeys-1)/fewKeys, 1) }

// part is the number of elements that a task leaves.
func (a *attention) part() int { return a.T * (a.H / a.G) * (a.D + 2) }

// few leaves in part, for each query t and head of group g, the output over keys s0 to s0+fewKeys, not divided by the
// sum, and, behind all outputs, the largest scores and the sums.
func (a *attention) few(w *scratch, part []float32, b, g, s0 int) {
	heads, D := a.H/a.G, a.D
	rows := a.T * heads
	if first := a.Keys - a.T; a.NewK != nil {
		for s := max(s0, first); s < min(s0+fewKeys, a.Keys); s++ {
			from := ((b*a.T+s-first)*a.G + g) * D
			copy(a.k[a.key(b, s, g):][:D], a.NewK.Float32()[from:])
			copy(a.v[a.key(b, s, g):][:D], a.NewV.Float32()[from:])
		}
	}
	lo, _ := a.sees(b, 0)
	_, hi := a.sees(b, a.T-1)
	lo, hi = max(lo, s0), min(hi, s0+fewKeys)
	top, sum := part[rows*D:][:rows], part[rows*(D+1):]
	set(top, minusInf)
	clear(sum)
	if lo >= hi {
		return
	}
	n := hi - lo
	p, fade := w.take(fewKeys), w.take(1)
	k, v := &a.k[a.key(b, lo, g)], &a.v[a.key(b, lo, g)]
	for i := range rows {
		t, h := i/heads, g*heads+i%heads
		a.dot(n, D, &a.q[a.query(b, t, h)], 0, k, a.G*D, &p[0])
		scale := a.finish(p, fewKeys, b, h, t, 1, lo, n)
		a.softmax(1, upTo16(n), &p[0], fewKeys, scale, &top[i], &sum[i], &fade[0])
		a.sum(n, D, v, a.G*D, &p[0], &part[i*D])
	}
}

// combine puts the chunks of one key head together.
func (a *attention) combine(parts []float32, chunks, b, g int) {
	heads, D := a.H/a.G, a.D
	rows := a.T * heads
	each := rows * (D + 2)
	for i := range rows {
		t, h := i/heads, g*heads+i%heads
		high := minusInf
		for c := range chunks {
			high = max(high, parts[c*each+rows*D+i])
		}
		out := a.out[a.query(b, t, h):][:D]
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
			for j, v := range part[i*D:][:D] {
				out[j] += fade * v
			}
		}
		if total != 0 {
			for j := range out {
				out[j] /= total
			}
		}
	}
}
