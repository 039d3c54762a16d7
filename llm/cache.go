package llm

import (
	"slices"

	"github.com/gollava/gollava/tensor"
)

// Cache keeps the keys and values of the tokens that a decoder has seen, so that the next ones attend to them without
// recomputing them. Every row of the batch is a sequence of its own length; [Cache.Row] and [JoinCaches] take batches
// apart and put them together without copying. A nil *Cache caches nothing. It is for inference: nothing that passes
// it is recorded. Its memory belongs to no scope. A sequence serves one goroutine at a time.
type Cache struct{ rows []*sequence }

// sequence is one row of a cache.
type sequence struct {
	layers  []cached
	n       int // tokens seen
	reserve int // tokens to make room for at first
}

// cached is what a layer keeps of a row. The context's keys and values are those of cross-attention.
type cached struct {
	k, v               *tensor.Tensor // [1, capacity, G, D], the first n of them filled
	contextK, contextV *tensor.Tensor // [1, S, G, D]
	shared             bool           // k and v belong to another sequence as well: they are not written to
}

// NewCache returns an empty cache, whose rows are those of the first batch that passes it.
func NewCache() *Cache { return &Cache{} }

// JoinCaches returns the rows of all caches, in order, as one batch. A pass through the result extends the parts.
func JoinCaches(parts ...*Cache) *Cache {
	c := &Cache{}
	for _, p := range parts {
		c.rows = append(c.rows, p.rows...)
	}
	return c
}

// Rows is the number of sequences, 0 before the first pass.
func (c *Cache) Rows() int {
	if c == nil {
		return 0
	}
	return len(c.rows)
}

// Row returns row b as a cache of its own that shares the memory.
func (c *Cache) Row(b int) *Cache { return &Cache{rows: c.rows[b : b+1 : b+1]} }

// Len is the number of tokens that row b has seen, 0 before the first pass.
func (c *Cache) Len(b int) int {
	if c == nil || b >= len(c.rows) {
		return 0
	}
	return c.rows[b].n
}

// Truncate makes every row that is longer forget all but its first n tokens.
func (c *Cache) Truncate(n int) {
	for _, s := range c.rows {
		s.n = min(s.n, max(n, 0))
	}
}

// Clone returns a copy with memory of its own, as for another continuation of the same prompt.
func (c *Cache) Clone() *Cache {
	all := make([]int, len(c.rows))
	for i := range all {
		all[i] = i
	}
	d := &Cache{rows: slices.Clone(c.rows)}
	d.Reorder(append(all, all...))
	d.rows = d.rows[len(all):]
	return d
}

// Bytes is the memory that the cache holds.
func (c *Cache) Bytes() int {
	n := 0
	for _, s := range c.rows {
		for _, l := range s.layers {
			for _, t := range []*tensor.Tensor{l.k, l.v, l.contextK, l.contextV} {
				if t != nil {
					n += t.DType().Bytes(t.Len())
				}
			}
		}
	}
	return n
}

// Reorder makes row i what row rows[i] was: beam search keeps the beams that it names. The batch may change its size.
// A row that is named more than once is copied.
func (c *Cache) Reorder(rows []int) {
	taken := map[*sequence]bool{}
	next := make([]*sequence, len(rows))
	for i, r := range rows {
		s := c.rows[r]
		if next[i] = s; taken[s] {
			next[i] = s.clone()
		}
		taken[s] = true
	}
	c.rows = next
}

// reserve makes room for n tokens of a cache of one sequence, so that it need not grow.
func (c *Cache) reserve(n int) {
	c.begin(1)
	c.rows[0].reserve = n
}

// begin gives an empty cache its rows, and checks those of another.
func (c *Cache) begin(rows int) {
	if c == nil {
		return
	}
	if len(c.rows) == 0 {
		for range rows {
			c.rows = append(c.rows, &sequence{})
		}
	}
	if len(c.rows) != rows {
		tensor.Fail("Hidden", "a cache of %d rows for a batch of %d", len(c.rows), rows)
	}
}

// empty reports whether no row has seen a token.
func (c *Cache) empty() bool {
	return !slices.ContainsFunc(c.rows, func(s *sequence) bool { return s.n > 0 })
}

func (s *sequence) clone() *sequence {
	// a context's keys and values never change: they are shared
	d := &sequence{n: s.n, reserve: s.reserve, layers: slices.Clone(s.layers)}
	for i := range d.layers {
		if l := &d.layers[i]; l.k != nil {
			l.k, l.v, l.shared = l.k.Clone(), l.v.Clone(), false
		}
	}
	return d
}

func (s *sequence) layer(i int) *cached {
	for len(s.layers) <= i {
		s.layers = append(s.layers, cached{})
	}
	return &s.layers[i]
}

// append adds positions from to to−1 of row b of k and v [B, T, G, D] to a layer, and returns all keys and values
// with how many of them exist.
func (s *sequence) append(layer int, k, v *tensor.Tensor, b, from, to int) (ks, vs *tensor.Tensor, keys int) {
	ks, vs, keys = s.room(layer, k, to-from)
	ks.OverwriteRow(s.n, k, b, from, to)
	vs.OverwriteRow(s.n, v, b, from, to)
	return ks, vs, keys
}

// room returns all keys and values of a layer, with room for T more like k [B, T, G, D], and how many exist with these.
func (s *sequence) room(layer int, k *tensor.Tensor, T int) (ks, vs *tensor.Tensor, keys int) {
	_, _, G, D := k.Dims4()
	l := s.layer(layer)
	keys = s.n + T
	if l.k == nil || l.k.Dim(1) < keys || l.shared {
		room := max(64, keys+keys/2)
		if keys <= s.reserve {
			room = s.reserve
		}
		at := k.Device()
		grownK, grownV := tensor.New(1, room, G, D).To(at), tensor.New(1, room, G, D).To(at)
		if l.k != nil && s.n > 0 {
			grownK.OverwriteRow(0, l.k, 0, 0, s.n)
			grownV.OverwriteRow(0, l.v, 0, 0, s.n)
		}
		l.k, l.v, l.shared = grownK.NoGrad(), grownV.NoGrad(), false
	}
	return l.k, l.v, keys
}
