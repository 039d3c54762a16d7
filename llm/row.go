package llm

import (
	"context"
	"fmt"
	"math/rand/v2"
	"slices"
	"strings"

	"github.com/gollava/gollava/nn"
	"github.com/gollava/gollava/tensor"
)

// row is a sequence that is being continued.
type row struct {
	o      Options
	index  int // in its batch
	choice choice
	rng    *rand.Rand

	cache   *Cache         // of one row
	fresh   *tensor.Tensor // [1, T, C], the prompt
	at      int            // so much of fresh is in the cache
	logits  []float32      // after the prompt, if that is known already
	history *tensor.Tensor // [1, ·, C], what came before fresh, if the cache may have to be computed again
	lead    int            // so much longer is the longest sequence of the batch
	prefix  int32
	context *Context // of one row

	prompt []int32 // ids that penalties know
	ids    []int32 // new ones; all but the last are in the cache
	tokens []Token
	ended  bool
	long   bool // the cache holds keys of the long rotary frequencies
}

// newRows makes a row of each prompt. Its context and embeddings are parts of p's.
func newRows(m Model, p Prompts, o Options) ([]*row, error) {
	B, vocabulary := len(p.IDs), m.Config().VocabSize
	start := make([]int32, B)
	if p.Embeds != nil {
		T := 0
		B, T, _ = p.Embeds.Dims3()
		start = make([]int32, B)
		if p.Mask != nil {
			from, end, _, ok := Extent(p.Mask, B)
			for b := range B {
				if !ok || int(end[b]) != T {
					return nil, fmt.Errorf("llm: row %d: prompts are padded at the left to be continued", b)
				}
			}
			start = from
		}
	}
	if B == 0 {
		return nil, fmt.Errorf("llm: nothing to continue: there is no prompt")
	}
	if p.Seen != nil && len(p.Seen) != B || p.Prefix != nil && len(p.Prefix) != B {
		return nil, fmt.Errorf("llm: Seen of %d and Prefix of %d rows for %d prompts", len(p.Seen), len(p.Prefix), B)
	}
	rows := make([]*row, B)
	for b := range rows {
		r := &row{o: o, index: b, rng: rand.New(rand.NewPCG(o.Sampling.Seed, uint64(b))), cache: NewCache()}
		if p.Embeds != nil {
			tensor.Scope(func(s *tensor.Arena) {
				r.fresh = part(p.Embeds.Detach().In(s), b, int(start[b]), p.Embeds.Dim(1)).Clone()
			})
		} else {
			for _, id := range p.IDs[b] {
				if id < 0 || int(id) >= vocabulary {
					return nil, fmt.Errorf("llm: prompt %d: id %d is outside the vocabulary of %d", b, id, vocabulary)
				}
			}
			if len(p.IDs[b]) == 0 {
				return nil, fmt.Errorf("llm: prompt %d is empty", b)
			}
			r.prompt = p.IDs[b]
			r.fresh = tensor.New(1, len(p.IDs[b]), m.Config().HiddenSize)
			tensor.Scope(func(s *tensor.Arena) { r.fresh.Overwrite(1, 0, embed(s, m, p.IDs[b:b+1])) })
		}
		if r.fresh.Dim(1) == 0 {
			return nil, fmt.Errorf("llm: prompt %d is empty", b)
		}
		if p.Seen != nil {
			r.prompt = slices.DeleteFunc(slices.Clone(p.Seen[b]), func(id int32) bool { return id < 0 })
		}
		if p.Prefix != nil {
			r.prefix = p.Prefix[b]
		}
		r.context = p.Context.row(b, B, int(start[b]))
		r.choice = choice{Sampling: o.Sampling, eos: o.EOS, forcedBOS: o.ForcedBOS, forcedEOS: o.ForcedEOS,
			minLength: o.MinLength, minNew: o.MinNewTokens, maxNew: o.MaxNewTokens, prompt: r.fresh.Dim(1),
			allow: o.Allow}
		rows[b] = r
	}
	longest := 0
	for _, r := range rows {
		longest = max(longest, r.choice.prompt)
	}
	for _, r := range rows {
		r.lead = longest - r.choice.prompt
	}
	return rows, nil
}

// row is what row b of B attends to, from position start of the prompt on.
func (x *Context) row(b, B, start int) *Context {
	if x == nil {
		return nil
	}
	y := &Context{States: x.States.Slice(0, b, b+1).Detach().Clone()}
	if T := len(x.From) / B; T > 0 {
		y.From = x.From[b*T+start : (b+1)*T]
	}
	if T := len(x.To) / B; T > 0 {
		y.To = x.To[b*T+start : (b+1)*T]
	}
	return y
}

// span is the context of positions from to to−1; past the prompt it is that of the last position.
func (x *Context) span(from, to int) *Context {
	if x == nil {
		return nil
	}
	cut := func(all []int32) (some []int32) {
		for t := from; t < to && all != nil; t++ {
			some = append(some, all[min(t, len(all)-1)])
		}
		return some
	}
	return &Context{States: x.States, From: cut(x.From), To: cut(x.To)}
}

// embed looks up ids [rows][n], all rows equally long, in scope s.
func embed(s *tensor.Arena, m Model, ids [][]int32) *tensor.Tensor {
	return m.Embed(tensor.Ints(slices.Concat(ids...), len(ids), len(ids[0])).In(s)).NoGrad()
}

// rope is the rotary embedding of a model whose frequencies depend on the length of the sequence, or nil.
func rope(m Model) *nn.RoPE {
	if r, ok := m.(interface{ RoPE() *nn.RoPE }); ok && r.RoPE() != nil && r.RoPE().Varies() {
		return r.RoPE()
	}
	return nil
}

// last is the hidden state of each row's last position as logits [V], which belong to the scope of in.Embeds.
func last(m Model, in Input) [][]float32 {
	B, T, _ := in.Embeds.Dims3()
	in.Embeds = in.Embeds.NoGrad()
	for b := range B {
		in.Rows = append(in.Rows, int32((b+1)*T-1))
	}
	z := Logits(m, m.Hidden(in)) // [B, V]
	V, all := z.Dim(1), z.Host().Data()
	out := make([][]float32, B)
	for b := range out {
		out[b] = all[b*V : (b+1)*V : (b+1)*V]
	}
	return out
}

// prefillChunk is the number of positions of a prompt that pass the model at once. A chunk ends at a multiple of it,
// counted from the beginning of the sequence.
const prefillChunk = 512

// prefill computes the prompts and returns the logits after each. A single one goes chunk by chunk. Where the length
// decides the frequencies of the rotary embeddings, each goes alone.
func prefill(ctx context.Context, m Model, rows []*row) (z [][]float32, err error) {
	if len(rows) > 1 && !rows[0].o.NoCache && rope(m) == nil {
		tensor.Scope(func(s *tensor.Arena) { z = prefillTogether(s, m, rows) })
		return z, nil
	}
	for _, r := range rows {
		var one []float32
		for one == nil {
			if err := ctx.Err(); err != nil {
				return z, err
			}
			one = r.prefill(m)
		}
		z = append(z, one)
	}
	return z, nil
}

// prefill computes the next chunk of the prompt. After the last it returns the logits, else nil.
func (r *row) prefill(m Model) (z []float32) {
	if r.logits != nil {
		return r.logits
	}
	tensor.Scope(func(s *tensor.Arena) {
		if r.o.NoCache {
			z = slices.Clone(r.anew(s, m))
			return
		}
		T, n := r.fresh.Dim(1), r.fresh.Dim(1)-r.at
		done := r.cache.Len(0)
		varies := rope(m)
		if varies == nil {
			n = min(n, max(prefillChunk-done%prefillChunk, int(r.prefix)-done))
		} else if r.long = varies.Long(done + n + r.lead - 1); r.long && done > 0 && r.at == 0 && r.history != nil {
			r.restart()
			T, n, done = r.fresh.Dim(1), r.fresh.Dim(1), 0
		}
		in := Input{Embeds: part(r.fresh.In(s), 0, r.at, r.at+n), Cache: r.cache, Longest: done + n + r.lead,
			Context: r.context.span(r.at, r.at+n)}
		if r.prefix > 0 {
			in.Prefix = []int32{r.prefix}
		}
		if r.at += n; r.at < T {
			in.Rows = []int32{}
			in.Embeds = in.Embeds.NoGrad()
			m.Hidden(in)
			return
		}
		z = slices.Clone(last(m, in)[0])
	})
	return z
}

// restart makes the whole sequence the prompt of an empty cache.
func (r *row) restart() {
	r.fresh = tensor.Concat(1, r.history, r.fresh).Clone()
	r.history, r.cache, r.at = nil, NewCache(), 0
}

// anew computes the whole sequence without a cache.
func (r *row) anew(s *tensor.Arena, m Model) []float32 {
	x := r.fresh.In(s)
	if r.history != nil {
		x = tensor.Concat(1, r.history, x)
	}
	if len(r.ids) > 0 {
		x = tensor.Concat(1, x, embed(s, m, [][]int32{r.ids}))
	}
	in := Input{Embeds: x, Longest: x.Dim(1) + r.lead, Context: r.context.span(0, x.Dim(1))}
	if r.prefix > 0 {
		in.Prefix = []int32{r.prefix}
	}
	return last(m, in)[0]
}

// prefillTogether computes whole prompts as one batch, padded at the left.
func prefillTogether(s *tensor.Arena, m Model, rows []*row) [][]float32 {
	T := 0
	for _, r := range rows {
		T = max(T, r.fresh.Dim(1))
	}
	in := Input{Cache: NewCache()}
	var parts, states []*tensor.Tensor
	var from, to []int32
	for _, r := range rows {
		pad := T - r.fresh.Dim(1)
		if pad > 0 {
			parts = append(parts, tensor.New(1, pad, r.fresh.Dim(2)))
		}
		parts = append(parts, r.fresh.In(s))
		in.Start = append(in.Start, int32(pad))
		in.Prefix = append(in.Prefix, r.prefix)
		if x := r.context; x != nil {
			states = append(states, x.States)
			for t := range T {
				if x.From != nil {
					from = append(from, x.From[max(t-pad, 0)])
				}
				if x.To != nil {
					to = append(to, x.To[max(t-pad, 0)])
				}
			}
		}
	}
	in.Embeds = tensor.Concat(1, parts...).Reshape(len(rows), T, -1)
	if slices.Max(in.Prefix) == 0 {
		in.Prefix = nil
	}
	if states != nil {
		in.Context = &Context{States: tensor.Concat(0, states...), From: from, To: to}
	}
	z := last(m, in)
	for b, r := range rows {
		z[b] = slices.Clone(z[b])
		r.cache, r.at = in.Cache.Row(b), r.fresh.Dim(1)
	}
	return z
}

// decode passes each row's last token, at most so many rows at a time: with tensor.DecodeRows the tokens of a row do
// not depend on the others, not to the last bit. use gets the logits of the rows at some indices, which it may not
// keep.
func decode(m Model, rows []*row, most int, use func(at []int, z [][]float32)) {
	varies := rope(m)
	var together []int
	pass := func(at []int) {
		tensor.Scope(func(s *tensor.Arena) {
			ids := make([][]int32, len(at))
			caches := make([]*Cache, len(at))
			for i, j := range at {
				ids[i], caches[i] = rows[j].ids[len(rows[j].ids)-1:], rows[j].cache
			}
			in := Input{Embeds: embed(s, m, ids), Cache: JoinCaches(caches...)}
			if len(at) == 1 {
				n := caches[0].Len(0)
				in.Longest = n + 1 + rows[at[0]].lead
				in.Context = rows[at[0]].context.span(n, n+1)
			}
			use(at, last(m, in))
		})
	}
	for i, r := range rows {
		switch {
		case r.o.NoCache:
			tensor.Scope(func(s *tensor.Arena) { use([]int{i}, [][]float32{r.anew(s, m)}) })
		// the cached keys have the frequencies of shorter sequences
		case varies != nil && varies.Long(r.cache.Len(0)+r.lead) != r.long:
			r.long = true
			tensor.Scope(func(s *tensor.Arena) {
				in := Input{Cache: NewCache()}
				in.Embeds = tensor.Concat(1, r.fresh, embed(s, m, [][]int32{r.ids}))
				if r.history != nil {
					in.Embeds = tensor.Concat(1, r.history, in.Embeds)
				}
				in.Longest, in.Context = in.Embeds.Dim(1)+r.lead, r.context.span(0, in.Embeds.Dim(1))
				r.cache = in.Cache
				use([]int{i}, last(m, in))
			})
		case varies != nil || r.context != nil:
			pass([]int{i})
		default:
			if together = append(together, i); len(together) == most {
				pass(together)
				together = nil
			}
		}
	}
	if len(together) > 0 {
		pass(together)
	}
}

// choose picks the next token from its logits.
func (r *row) choose(z []float32) (int32, error) {
	id, err := r.choice.next(z, r.prompt, r.ids, r.rng)
	if err != nil {
		return 0, fmt.Errorf("%w (row %d)", err, r.index)
	}
	t := Token{ID: id}
	if r.o.LogProbs {
		t = scoredToken(id, z, r.o.TopLogProbs)
	}
	r.ids, r.tokens = append(r.ids, id), append(r.tokens, t)
	r.ended = len(r.ids) >= r.o.MaxNewTokens || slices.Contains(r.o.EOS, int(id)) || r.stops()
	return id, nil
}

func (r *row) stops() bool {
	if len(r.o.StopStrings) == 0 {
		return false
	}
	text := r.o.Decode(r.ids)
	return slices.ContainsFunc(r.o.StopStrings, func(s string) bool { return s != "" && strings.Contains(text, s) })
}
