package llm

import (
	"context"
	"fmt"
	"slices"

	"github.com/gollava/gollava/tensor"
)

// Session is one sequence that grows turn by turn and keeps its cache: what the model has read or written is not
// computed again. A session serves one goroutine at a time; sessions of one model do not disturb each other.
//
//	s := llm.NewSession(m)
//	first, err := s.Generate(ctx, llm.Prompts{IDs: [][]int32{question}}, o)
//	second, err := s.Generate(ctx, llm.Prompts{IDs: [][]int32{followUp}}, o)
type Session struct {
	m       Model
	cache   *Cache
	ids     []int32        // of all positions; negative where there is none. The last may be missing from the cache
	history *tensor.Tensor // [1, ·, C], if the cache may have to be computed again
	prefix  int32
	context *Context
	busy    bool
}

// NewSession returns an empty session.
func NewSession(m Model) *Session { return &Session{m: m, cache: NewCache()} }

// Len is the number of positions that the session holds: prompts, image features and answers.
func (s *Session) Len() int { return len(s.ids) }

// Cached is how many of them need no computation any more: all, but for the last token of an answer.
func (s *Session) Cached() int { return s.cache.Len(0) }

// IDs are the ids of all positions, what Prompts.Seen gave for embeddings included. The caller does not change them.
func (s *Session) IDs() []int32 { return s.ids }

// Bytes is the memory of the cache.
func (s *Session) Bytes() int { return s.cache.Bytes() }

// Common is the number of leading positions that the session shares with ids, at most len(ids)−1: the length to
// truncate it to before the rest of ids is generated from.
func (s *Session) Common(ids []int32) int {
	n := 0
	for n < min(len(ids)-1, len(s.ids)) && ids[n] == s.ids[n] {
		n++
	}
	return n
}

// Truncate forgets all but the first n positions. A model whose rotary frequencies depend on the length starts anew
// instead, as does one with a bidirectional prefix of which a part is forgotten.
func (s *Session) Truncate(n int) {
	if n = max(n, 0); n >= len(s.ids) {
		return
	}
	if rope(s.m) != nil || n < int(s.prefix) {
		*s = Session{m: s.m, cache: NewCache()}
		return
	}
	s.ids = s.ids[:n]
	s.cache.Truncate(n)
}

// Generate appends the one prompt of p to the session and continues it. Prompt and answer stay in the session, also
// if ctx or an error ends it early. p.Prefix and p.Context count in the first turn only. Beam search and NoCache do
// not go with a session. A first turn equals [Generate], bit for bit.
func (s *Session) Generate(ctx context.Context, p Prompts, o Options) (out Generated, err error) {
	if err := o.complete(s.m); err != nil {
		return out, err
	}
	if caught := tensor.Catch(func() {
		var r *row
		if r, err = s.begin(p, o); err == nil {
			defer s.end(r)
			err = run(ctx, s.m, []*row{r}, o)
			out = collect([]*row{r}, o)
		}
	}); caught != nil {
		return out, caught
	}
	return out, err
}

// begin makes a row of the prompt that continues the session.
func (s *Session) begin(p Prompts, o Options) (*row, error) {
	switch {
	case s.busy:
		return nil, fmt.Errorf("llm: the session is in use: it continues one prompt at a time")
	case o.Beams > 1 || o.NoCache:
		return nil, fmt.Errorf("llm: a session has neither beam search nor NoCache")
	}
	rows, err := newRows(s.m, p, o)
	if err != nil {
		return nil, err
	}
	if len(rows) != 1 {
		return nil, fmt.Errorf("llm: %d prompts for a session, which has one sequence", len(rows))
	}
	r, T := rows[0], rows[0].fresh.Dim(1)
	keys := slices.Repeat([]int32{-1}, T)
	switch {
	case p.Embeds == nil:
		copy(keys, p.IDs[0])
	case p.Seen != nil && len(p.Seen[0]) == T:
		copy(keys, p.Seen[0])
	case p.Seen != nil:
		return nil,
			fmt.Errorf("llm: Seen has %d ids for %d positions: a session wants one for each, negative where there is "+
				"none",
				len(p.Seen[0]), T)
	}
	if n := len(s.ids); n > 0 {
		r.prompt = nil
		for _, id := range append(s.ids[:n:n], keys...) {
			if id >= 0 {
				r.prompt = append(r.prompt, id)
			}
		}
		if s.cache.Len(0) < n { // the last token of the answer before
			tensor.Scope(func(a *tensor.Arena) {
				r.fresh = tensor.Concat(1, embed(a, s.m, [][]int32{s.ids[n-1:]}), r.fresh).Clone()
			})
		}
		r.choice.prompt = n + T
		r.cache, r.history, r.prefix, r.context = s.cache, s.history, s.prefix, s.context
		if v := rope(s.m); v != nil {
			r.long = v.Long(s.cache.Len(0) - 1)
		}
	}
	s.ids = append(s.ids, keys...)
	s.prefix, s.context, s.busy = r.prefix, r.context, true
	return r, nil
}

// end takes back what the row has become.
func (s *Session) end(r *row) {
	s.busy = false
	s.ids = append(s.ids, r.ids...)
	s.cache = r.cache
	cached := s.cache.Len(0)
	if cached < len(s.ids) && len(r.ids) == 0 || cached < len(s.ids)-1 { // it ended early
		s.ids = s.ids[:cached]
	}
	if rope(s.m) == nil {
		return
	}
	tensor.Scope(func(a *tensor.Arena) { // of what is in the cache
		x := r.fresh.In(a)
		if r.history != nil {
			x = tensor.Concat(1, r.history, x)
		}
		if len(r.ids) > 0 {
			x = tensor.Concat(1, x, embed(a, s.m, [][]int32{r.ids}))
		}
		s.history = x.Slice(1, 0, cached).Clone()
	})
}
