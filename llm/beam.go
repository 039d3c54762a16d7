package llm

import (
	"cmp"
	"context"
	"math"
	"slices"
)

// beam is a running hypothesis.
type beam struct {
	ids   []int32
	score float64 // Σ log p
}

// hypotheses are the finished beams of one row, best first, at most n of them.
type hypotheses struct {
	done  []beam // score is already divided by length^penalty
	n     int
	ended bool
}

func (h *hypotheses) add(ids []int32, score float64) {
	h.done = append(h.done, beam{slices.Clone(ids), score})
	slices.SortStableFunc(h.done, func(a, b beam) int { return cmp.Compare(b.score, a.score) })
	h.done = h.done[:min(len(h.done), h.n)]
}

// beams is beam search: each row keeps its num_beams best sequences; of 2·num_beams candidates a step, an end token finishes a sequence only among
// the first num_beams. A row stops when num_beams are finished and no running one, by its present length, can beat the worst.
func (g *generator) beams(ctx context.Context) (Generated, error) {
	k := g.o.Beams
	penalty := g.o.LengthPenalty
	if penalty == 0 {
		penalty = 1
	}
	rows := g.rows
	g.repeat(k)
	running := make([][]beam, rows)
	finished := make([]hypotheses, rows)
	for b := range rows {
		finished[b].n = k
		running[b] = make([]beam, k)
		for i := 1; i < k; i++ {
			running[b][i].score = -1e9 // all beams start alike: only the first may be continued
		}
	}
	fresh := make([][]int32, rows*k)
	for step := 1; step <= g.o.MaxNewTokens; step++ {
		if err := ctx.Err(); err != nil {
			return Generated{}, err
		}
		z := g.logits(fresh)
		order := make([]int, rows*k)
		for b := range rows {
			next, from := g.advance(b, running[b], z[b*k:(b+1)*k], &finished[b], step, penalty)
			running[b] = next
			for i := range k {
				order[b*k+i] = b*k + from[i]
			}
		}
		g.cache.reorderIf(order)
		open := false
		for b := range rows {
			open = open || !finished[b].ended
			for i, r := range running[b] {
				g.ids[b*k+i] = slices.Clone(r.ids)
				fresh[b*k+i] = r.ids[len(r.ids)-1:]
			}
		}
		if !open {
			break
		}
	}
	out := Generated{IDs: make([][]int32, rows), Scores: make([]float64, rows)}
	for b := range rows {
		h := &finished[b]
		if !h.ended {
			for _, r := range running[b] {
				h.add(r.ids, r.score/math.Pow(float64(len(r.ids)), penalty))
			}
		}
		out.IDs[b], out.Scores[b] = h.done[0].ids, h.done[0].score
	}
	return out, nil
}

// repeat makes k copies of each row.
func (g *generator) repeat(k int) {
	var rows []int
	var start []int32
	var seen [][]int32
	for b := range g.rows {
		for range k {
			rows = append(rows, b)
			start = append(start, g.start[b])
			seen = append(seen, g.seen[b])
		}
	}
	g.prefix = gatherRows(g.prefix, rows)
	g.start, g.seen, g.rows = start, seen, len(rows)
	g.ids = make([][]int32, g.rows)
}

// advance picks a row's next beams and says which beam each continues.
func (g *generator) advance(row int, running []beam, z [][]float32, h *hypotheses, step int, penalty float64) (next []beam, from []int) {
	type candidate struct {
		beam  int
		id    int32
		score float64
	}
	k := len(running)
	var all []candidate
	for i, r := range running {
		zi := make([]float64, len(z[i]))
		copy(zi, logSoftmax(z[i]))
		g.o.Sampling.penalise(zi, append(slices.Clone(g.seen[row*k+i]), r.ids...))
		for id, lp := range zi {
			all = append(all, candidate{i, int32(id), r.score + lp})
		}
	}
	slices.SortStableFunc(all, func(a, b candidate) int { return cmp.Compare(b.score, a.score) })
	length := math.Pow(float64(step), penalty)
	for rank, c := range all[:min(2*k, len(all))] {
		ids := append(slices.Clone(running[c.beam].ids), c.id)
		if slices.Contains(g.o.EOS, int(c.id)) {
			if rank < k && !h.ended {
				h.add(ids, c.score/length)
			}
			continue
		}
		if len(next) < k {
			next, from = append(next, beam{ids, c.score}), append(from, c.beam)
		}
	}
	for len(next) < k { // a tiny vocabulary may run out of candidates
		next, from = append(next, beam{append(slices.Clone(running[0].ids), int32(max(g.o.PAD, 0))), math.Inf(-1)}), append(from, 0)
	}
	if len(h.done) == k && h.done[k-1].score >= next[0].score/length {
		h.ended = true
	}
	return next, from
}
