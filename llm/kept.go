package llm

import (
	"slices"
	"sync"

	"github.com/gollava/gollava/tensor"
)

// kept holds prompts, the latest used first. Others may share whole chunks, whose keys and values do not depend on what
// follows, or all of a prompt with the logits after it.
type kept struct {
	mu  sync.Mutex
	all []beginning
}

// beginning is a prompt, or what one begins with: n positions.
type beginning struct {
	embeds []float32 // [n, C]
	cache  *sequence
	n      int
	logits []float32 // [V] after the prompt; nil: it goes on
	cost   int       // positions that need as much memory as all of this
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

// begin gives a row all of its prompt if that is here, with the logits after it, or else the longest beginning that it
// shares but for its last position.
func (k *kept) begin(r *row) {
	if !r.plain() || r.at > 0 {
		return
	}
	k.mu.Lock()
	defer k.mu.Unlock()
	best, most := -1, 0
	for i, b := range k.all {
		if b.is(r) {
			best, most, r.logits = i, b.n, b.logits
			break
		}
		if n := b.common(r, r.fresh.Dim(1)-1); n > most {
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

// is reports whether b is the row's prompt, all of it.
func (b *beginning) is(r *row) bool {
	return b.logits != nil && b.n == r.fresh.Dim(1) && slices.Equal(b.embeds, r.fresh.Host().Data())
}

// chunks is the number of positions of whole chunks among n.
func chunks(n int) int { return n / prefillChunk * prefillChunk }

// common is the number of positions, whole chunks of at most most, in which the row begins alike.
func (b *beginning) common(r *row, most int) int {
	C, n, fresh := r.fresh.Dim(2), 0, r.fresh.Host().Data()
	for n+prefillChunk <= min(most, b.n) && slices.Equal(b.embeds[n*C:(n+prefillChunk)*C],
		fresh[n*C:(n+prefillChunk)*C]) {
		n += prefillChunk
	}
	return n
}

// add keeps the prompt of a row, which is in its cache and has these logits after it, or the whole chunks of a longer
// one than the given number of positions. It forgets those used longest ago beyond this number, and long ones of whose
// chunks the row has all: a conversation that goes on is kept once.
func (k *kept) add(r *row, logits []float32, positions int) {
	n := r.fresh.Dim(1)
	if n > positions {
		n, logits = chunks(positions), nil
	}
	if n == 0 || !r.plain() {
		return
	}
	k.mu.Lock()
	defer k.mu.Unlock()
	for i, b := range k.all {
		if logits == nil && b.common(r, n) == n || b.is(r) { // it holds all of this one
			k.all = slices.Insert(slices.Delete(k.all, i, i+1), 0, b)
			return
		}
	}
	k.all = slices.DeleteFunc(k.all, func(b beginning) bool {
		return b.n >= prefillChunk && b.common(r, n) == chunks(b.n)
	})
	s := &sequence{n: n}
	tensor.Scope(func(a *tensor.Arena) {
		for _, l := range r.cache.rows[0].layers {
			s.layers = append(s.layers, cached{k: l.k.In(a).Slice(1, 0, n).Clone(),
				v: l.v.In(a).Slice(1, 0, n).Clone()})
		}
	})
	b := beginning{embeds: slices.Clone(r.fresh.Host().Data()[:n*r.fresh.Dim(2)]), cache: s, n: n, logits: logits}
	each := (&Cache{rows: []*sequence{s}}).Bytes()/n + 4*r.fresh.Dim(2)
	b.cost = n + (4*len(logits)+each-1)/each
	k.all = slices.Insert(k.all, 0, b)
	sum := 0
	for i, b := range k.all {
		if sum += b.cost; sum > positions && i > 0 {
			k.all = slices.Delete(k.all, i, len(k.all))
			break
		}
	}
}
