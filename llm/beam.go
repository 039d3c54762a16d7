package llm

import (
	"cmp"
	"context"
	"fmt"
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

// beamSearch: each row keeps its num_beams best sequences; of 2·num_beams candidates a step, an end token finishes a
// sequence only among the first num_beams. A row stops when num_beams are finished and no running one, by its present
// length, can beat the worst.
func beamSearch(ctx context.Context, m Model, prompts []*row, o Options) (Generated, error) {
	k, penalty := o.Beams, o.LengthPenalty
	if penalty == 0 {
		penalty = 1
	}
	rows := len(prompts)
	running, finished := make([][]beam, rows), make([]hypotheses, rows)
	for b := range rows {
		finished[b].n = k
		running[b] = make([]beam, k)
		for i := 1; i < k; i++ {
			running[b][i].score = -1e9 // all beams start alike: only the first may be continued
		}
	}
	first, err := prefill(ctx, m, prompts)
	if err != nil {
		return Generated{}, err
	}
	var all []*row // rows·k
	var z [][]float32
	for b, r := range prompts {
		for range k {
			one := *r
			all, z = append(all, &one), append(z, first[b])
		}
	}
	for step := 1; step <= o.MaxNewTokens; step++ {
		if err := ctx.Err(); err != nil {
			return Generated{}, err
		}
		if step > 1 {
			decode(m, all, len(all), func(at []int, some [][]float32) {
				for i, row := range at {
					z[row] = slices.Clone(some[i])
				}
			})
		}
		for i, r := range all {
			if err := checkFinite(z[i], len(r.ids)); err != nil {
				return Generated{}, fmt.Errorf("%w (row %d)", err, r.index)
			}
		}
		open := false
		order, caches := make([]int, rows*k), make([]*Cache, rows*k)
		for i, r := range all {
			caches[i] = r.cache
		}
		for b := range rows {
			next, from := advance(all[b*k], running[b], z[b*k:(b+1)*k], &finished[b], step, penalty)
			running[b] = next
			open = open || !finished[b].ended
			for i, r := range next {
				order[b*k+i] = b*k + from[i]
				all[b*k+i].ids = r.ids
			}
		}
		if !o.NoCache {
			joined := JoinCaches(caches...)
			joined.Reorder(order)
			long := make([]bool, len(all))
			for i, r := range all {
				long[i] = r.long
			}
			for i, r := range all {
				r.cache, r.long = joined.Row(i), long[order[i]]
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

// advance picks a row's next beams and says which beam each continues.
func advance(r *row, running []beam, z [][]float32, h *hypotheses, step int, penalty float64) (next []beam,
	from []int) {
	type candidate struct {
		beam  int
		id    int32
		score float64
	}
	k := len(running)
	var all []candidate
	for i, hyp := range running {
		zi := make([]float32, len(z[i]))
		for j, v := range logSoftmax(z[i]) {
			zi[j] = float32(v)
		}
		for id, lp := range r.choice.scores(zi, r.prompt, hyp.ids, r.choice.allow != nil) {
			all = append(all, candidate{i, int32(id), hyp.score + float64(lp)})
		}
	}
	slices.SortStableFunc(all, func(a, b candidate) int { return cmp.Compare(b.score, a.score) })
	length := math.Pow(float64(step), penalty)
	for rank, c := range all[:min(2*k, len(all))] {
		ids := append(slices.Clone(running[c.beam].ids), c.id)
		if slices.Contains(r.o.EOS, int(c.id)) {
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
		next, from = append(next, beam{append(slices.Clone(running[0].ids), int32(max(r.o.PAD, 0))),
			math.Inf(-1)}), append(from, 0)
	}
	if len(h.done) == k && h.done[k-1].score >= next[0].score/length {
		h.ended = true
	}
	return next, from
}
