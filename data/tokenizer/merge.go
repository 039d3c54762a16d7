package tokenizer

// pairs is a hash table from two neighbouring symbols to what they merge into.
type pairs struct {
	keys []uint64 // 0 is an empty slot; keys are shifted by one
	vals []merged
	n    int
	mask uint64
}

type merged struct{ rank, id int32 }

func newPairs(room int) *pairs {
	size := 16
	for size < room*2 {
		size *= 2
	}
	return &pairs{keys: make([]uint64, size), vals: make([]merged, size), mask: uint64(size - 1)}
}

func pairKey(a, b int32) uint64 { return (uint64(uint32(a))<<32 | uint64(uint32(b))) + 1 }

func (p *pairs) slot(key uint64) uint64 {
	h := key * 0x9E3779B97F4A7C15
	h ^= h >> 29
	for h &= p.mask; p.keys[h] != 0 && p.keys[h] != key; h = (h + 1) & p.mask {
	}
	return h
}

// set gives a pair its merge; a pair that has one keeps the better rank.
func (p *pairs) set(a, b int32, m merged) {
	if (p.n+1)*2 > len(p.keys) {
		old := *p
		*p = *newPairs(len(old.keys))
		p.n = old.n
		for i, k := range old.keys {
			if k != 0 {
				s := p.slot(k)
				p.keys[s], p.vals[s] = k, old.vals[i]
			}
		}
	}
	s := p.slot(pairKey(a, b))
	if p.keys[s] == 0 {
		p.keys[s], p.vals[s] = pairKey(a, b), m
		p.n++
	} else if m.rank < p.vals[s].rank {
		p.vals[s] = m
	}
}

const noRank = 1<<31 - 1

// get returns rank noRank for a pair that does not merge.
func (p *pairs) get(a, b int32) merged {
	if a < 0 || b < 0 {
		return merged{noRank, -1}
	}
	if s := p.slot(pairKey(a, b)); p.keys[s] != 0 {
		return p.vals[s]
	}
	return merged{noRank, -1}
}

// symbol is a part of a word while it is being merged.
type symbol struct {
	id         int32 // -1: unknown, merges with nothing
	n          int32 // bytes
	out        int32 // with id -1: the token, if it is known all the same (user-defined pieces); else -1
	prev, next int32 // used by the heap only
}

// mergeShort applies the merges to a short word by looking for the best pair again and again.
func (p *pairs) mergeShort(word []symbol, best []merged) []symbol {
	best = best[:0]
	for i := 0; i+1 < len(word); i++ {
		best = append(best, p.get(word[i].id, word[i+1].id))
	}
	for len(best) > 0 {
		at, rank := -1, int32(noRank)
		for i := range best {
			if best[i].rank < rank {
				at, rank = i, best[i].rank
			}
		}
		if at < 0 {
			break
		}
		word[at].id = best[at].id
		word[at].n += word[at+1].n
		word = append(word[:at+1], word[at+2:]...)
		best = append(best[:at], best[at+1:]...)
		if at > 0 {
			best[at-1] = p.get(word[at-1].id, word[at].id)
		}
		if at < len(best) {
			best[at] = p.get(word[at].id, word[at+1].id)
		}
	}
	return word
}

// candidate is a pair that was seen at a place; it is stale once the symbols there have changed.
type candidate struct{ rank, at, left, right, id int32 }

func (c candidate) before(d candidate) bool {
	return c.rank < d.rank || c.rank == d.rank && c.at < d.at
}

type agenda []candidate

func (h *agenda) push(c candidate) {
	*h = append(*h, c)
	s := *h
	i := len(s) - 1
	for i > 0 {
		up := (i - 1) / 2
		if !s[i].before(s[up]) {
			break
		}
		s[i], s[up] = s[up], s[i]
		i = up
	}
}

func (h *agenda) pop() candidate {
	s := *h
	top := s[0]
	last := len(s) - 1
	s[0] = s[last]
	s = s[:last]
	*h = s
	for i := 0; ; {
		l, m := 2*i+1, i
		if l < last && s[l].before(s[m]) {
			m = l
		}
		if l+1 < last && s[l+1].before(s[m]) {
			m = l + 1
		}
		if m == i {
			return top
		}
		s[i], s[m] = s[m], s[i]
		i = m
	}
}

// mergeLong applies the merges in O(n log n). seen, if not nil, is told every pair that is considered, in order.
func (p *pairs) mergeLong(word []symbol, seen func(left, right, id int32)) []symbol {
	var h agenda
	look := func(i, j int32) {
		if i < 0 || j < 0 {
			return
		}
		a, b := word[i].id, word[j].id
		m := p.get(a, b)
		if m.rank == noRank {
			return
		}
		h.push(candidate{m.rank, i, a, b, m.id})
		if seen != nil {
			seen(a, b, m.id)
		}
	}
	for i := range word {
		word[i].prev, word[i].next = int32(i)-1, int32(i)+1
	}
	word[len(word)-1].next = -1
	for i := range int32(len(word) - 1) {
		look(i, i+1)
	}
	for len(h) > 0 {
		c := h.pop()
		s := &word[c.at]
		if s.n == 0 || s.id != c.left || s.next < 0 || word[s.next].id != c.right {
			continue
		}
		r := &word[s.next]
		s.id, s.n, s.next = c.id, s.n+r.n, r.next
		r.n, r.id = 0, -1
		if s.next >= 0 {
			word[s.next].prev = c.at
		}
		look(s.prev, c.at)
		look(c.at, s.next)
	}
	kept := word[:0]
	for _, s := range word {
		if s.n > 0 {
			kept = append(kept, s)
		}
	}
	return kept
}
