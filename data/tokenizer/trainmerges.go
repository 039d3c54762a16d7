package tokenizer

import "container/heap"

// pairCount is a pair of neighbouring tokens and how often it occurred when it was put in.
type pairCount struct {
	a, b  int32
	count int
}

// pairHeap gives the most frequent pair first, of equals the one with the lowest ids.
type pairHeap []pairCount

func (h pairHeap) Len() int { return len(h) }
func (h pairHeap) Less(i, j int) bool {
	x, y := h[i], h[j]
	switch {
	case x.count != y.count:
		return x.count > y.count
	case x.a != y.a:
		return x.a < y.a
	}
	return x.b < y.b
}
func (h pairHeap) Swap(i, j int) { h[i], h[j] = h[j], h[i] }
func (h *pairHeap) Push(x any)   { *h = append(*h, x.(pairCount)) }
func (h *pairHeap) Pop() any {
	s := *h
	x := s[len(s)-1]
	*h = s[:len(s)-1]
	return x
}

type pair struct{ a, b int32 }

// learn merges pairs until the vocabulary is full or no pair occurs often enough. A merge recounts the words that hold
// its pair and no others.
func (l *learner) learn(words []counted) {
	counts := map[pair]int{}
	in := map[pair]map[int32]bool{} // the words that hold a pair
	touched := map[pair]bool{}
	tell := func(w int, sign int) {
		ids := words[w].ids
		for i := 0; i+1 < len(ids); i++ {
			p := pair{ids[i], ids[i+1]}
			if p.a < 0 || p.b < 0 {
				continue
			}
			counts[p] += sign * words[w].count
			touched[p] = true
			if sign > 0 {
				if in[p] == nil {
					in[p] = map[int32]bool{}
				}
				in[p][int32(w)] = true
			}
		}
	}
	for w := range words {
		for _, r := range words[w].word {
			id, ok := l.ids[string(r)]
			if !ok {
				id = -1 // is written in bytes
			}
			words[w].ids = append(words[w].ids, id)
		}
		tell(w, 1)
	}
	h := &pairHeap{}
	settle := func() {
		for p := range touched {
			if counts[p] >= l.config.MinCount {
				heap.Push(h, pairCount{p.a, p.b, counts[p]})
			}
		}
		clear(touched)
	}
	settle()
	for !l.full() && h.Len() > 0 {
		best := heap.Pop(h).(pairCount)
		p := pair{best.a, best.b}
		if counts[p] != best.count {
			continue // another entry has the present count
		}
		if id, ok := l.ids[l.tokens[p.a]+l.tokens[p.b]]; ok && int(id) < len(l.config.Specials) {
			continue // text must not become a special token
		}
		made := l.token(l.tokens[p.a] + l.tokens[p.b])
		l.merges = append(l.merges, [2]string{l.tokens[p.a], l.tokens[p.b]})
		for w := range in[p] {
			tell(int(w), -1)
			words[w].ids = merge(words[w].ids, p, made)
			tell(int(w), 1)
		}
		delete(in, p)
		settle()
	}
}

// merge writes made for every pair p in ids, from left to right.
func merge(ids []int32, p pair, made int32) []int32 {
	out := ids[:0]
	for i := 0; i < len(ids); i++ {
		if i+1 < len(ids) && ids[i] == p.a && ids[i+1] == p.b {
			out = append(out, made)
			i++
			continue
		}
		out = append(out, ids[i])
	}
	return out
}
