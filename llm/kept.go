package llm

import (
	"slices"
	"sync"

	"github.com/gollava/gollava/tensor"
)

// kept holds beginnings of prompts, the latest used first. They are whole chunks, whose keys and values do not depend
// on what follows.
type kept struct {
	mu  sync.Mutex
	all []beginning
}

// beginning is what a prompt begins with: n positions.
type beginning struct {
	embeds []float32 // [n, C]
	cache  *sequence
	n      int
}

func (k *kept) size() (n int) {
	k.mu.Lock()
	defer k.mu.Unlock()
	for _, b := range k.all {
		n += b.n
	}
	return n
}

// plain reports whether the keys and values of a row depend on its embeddings alone.
func (r *row) plain() bool { return r.prefix == 0 && r.context == nil }

// begin gives a row the longest beginning that it shares, but for its last position.
func (k *kept) begin(r *row) {
	if !r.plain() || r.at > 0 {
		return
	}
	k.mu.Lock()
	defer k.mu.Unlock()
	best, most := -1, 0
	for i, b := range k.all {
		if n := b.common(r, (r.fresh.Dim(1)-1)/prefillChunk*prefillChunk); n > most {
			best, most = i, n
		}
	}
	if best < 0 {
		return
	}
	b := k.all[best]
	k.all = slices.Insert(slices.Delete(k.all, best, best+1), 0, b)
	s := r.cache.rows[0]
	s.n, s.layers = most, slices.Clone(b.cache.layers)
	for i := range s.layers {
		s.layers[i].shared = true
	}
	r.at = most
}

// common is the number of positions, whole chunks of at most most, in which the row begins alike.
func (b *beginning) common(r *row, most int) int {
	C, n, fresh := r.fresh.Dim(2), 0, r.fresh.Host().Data()
	for n+prefillChunk <= min(most, b.n) && slices.Equal(b.embeds[n*C:(n+prefillChunk)*C],
		fresh[n*C:(n+prefillChunk)*C]) {
		n += prefillChunk
	}
	return n
}

// add keeps the beginning of a row whose prompt is in its cache, and forgets those used longest ago beyond the given
// number of positions.
func (k *kept) add(r *row, positions int) {
	n := min(r.fresh.Dim(1), positions) / prefillChunk * prefillChunk
	if n == 0 || !r.plain() {
		return
	}
	k.mu.Lock()
	defer k.mu.Unlock()
	for i, b := range k.all {
		if at := b.common(r, n); at == n {
			k.all = slices.Insert(slices.Delete(k.all, i, i+1), 0, b) // it holds all of this one
			return
		}
	}
	k.all = slices.DeleteFunc(k.all, func(b beginning) bool { return b.common(r, n) == b.n }) // this one holds all of b
	s := &sequence{n: n}
	tensor.Scope(func(a *tensor.Arena) {
		for _, l := range r.cache.rows[0].layers {
			s.layers = append(s.layers, cached{k: l.k.In(a).Slice(1, 0, n).Clone(),
				v: l.v.In(a).Slice(1, 0, n).Clone()})
		}
	})
	C := r.fresh.Dim(2)
	k.all = slices.Insert(k.all, 0, beginning{embeds: slices.Clone(r.fresh.Host().Data()[:n*C]), cache: s, n: n})
	sum := 0
	for i, b := range k.all {
		if sum += b.n; sum > positions {
			k.all = slices.Delete(k.all, i, len(k.all))
			break
		}
	}
}
