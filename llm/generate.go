package llm

import (
	"context"
	"fmt"
	"math/rand/v2"
	"slices"
	"strings"

	"github.com/gollava/gollava/tensor"
)

// Prompts is a batch to continue. Either IDs or Embeds is given; rows are padded at the left, or all of one length.
type Prompts struct {
	IDs    [][]int32      // token ids of each row without padding
	Embeds *tensor.Tensor // [B, T, C], left-padded, such as text with image features
	Mask   []int32        // [B·T] with Embeds: 0 at padding; nil: none
	Seen   [][]int32      // ids that the repetition penalty knows of each row; nil: IDs
}

// Options say how to generate.
type Options struct {
	MaxNewTokens  int
	EOS           []int // a row ends with any of these; nil: the model's; empty but not nil: none
	PAD           int   // fills rows that ended; −1: the model's, else the first end token
	StopStrings   []string
	Decode        func(ids []int32) string // needed for StopStrings
	Sampling      Sampling
	Beams         int     // above 1: beam search, which is greedy
	LengthPenalty float64 // of beam search: Σ log p / n^penalty; 0: 1
	NoCache       bool    // recompute the whole sequence for every token

	// OnToken, if not nil, sees every token of every row as it is chosen; an error ends generation and is returned. Not with Beams.
	OnToken func(row int, id int32) error
}

// Generated is the result.
type Generated struct {
	IDs    [][]int32 // new tokens of each row, its end token included
	Scores []float64 // of beam search: Σ log p / n^penalty
}

// Generate continues prompts by up to MaxNewTokens tokens each. It returns early with ctx's error. Every token's memory is recycled. Source:
// transformers' generation/utils, whose ids it reproduces.
func Generate(ctx context.Context, m Model, p Prompts, o Options) (out Generated, err error) {
	c := m.Config()
	if o.EOS == nil {
		o.EOS = c.EOS
	}
	if o.PAD < 0 {
		if o.PAD = c.PAD; o.PAD < 0 && len(o.EOS) > 0 {
			o.PAD = o.EOS[0]
		}
	}
	if err := o.check(); err != nil {
		return out, err
	}
	if caught := tensor.Catch(func() {
		var g *generator
		if g, err = newGenerator(m, p, o); err != nil {
			return
		}
		if o.Beams > 1 {
			out, err = g.beams(ctx)
		} else {
			out, err = g.run(ctx)
		}
	}); caught != nil {
		return out, caught
	}
	return out, err
}

func (o *Options) check() error {
	switch {
	case o.MaxNewTokens <= 0:
		return fmt.Errorf("llm: generate %d new tokens: MaxNewTokens must be positive", o.MaxNewTokens)
	case len(o.StopStrings) > 0 && o.Decode == nil:
		return fmt.Errorf("llm: stop strings need Options.Decode")
	case o.Beams > 1 && o.Sampling.Temperature > 0:
		return fmt.Errorf("llm: beam search does not sample: set Temperature to 0 or Beams to 1")
	case o.Beams > 1 && (o.OnToken != nil || len(o.StopStrings) > 0):
		return fmt.Errorf("llm: beam search chooses its tokens at the end: no OnToken and no stop strings")
	case o.Sampling.Temperature < 0 || o.Sampling.TopP < 0 || o.Sampling.TopP > 1 || o.Sampling.TopK < 0 || o.Sampling.RepetitionPenalty < 0:
		return fmt.Errorf("llm: sampling %+v: temperature, top-k and penalty must not be negative, top-p lies in [0, 1]", o.Sampling)
	}
	return nil
}

// generator holds the sequences so far and steps the model.
type generator struct {
	m      Model
	o      Options
	rows   int
	prefix *tensor.Tensor // [B, T, C], the embedded prompts
	start  []int32        // first real position of each row
	seen   [][]int32
	ids    [][]int32 // new tokens
	cache  *Cache
	z      []float32 // the latest logits
	relong bool      // the rotary frequencies changed: the cache is stale
}

func newGenerator(m Model, p Prompts, o Options) (*generator, error) {
	g := &generator{m: m, o: o, prefix: p.Embeds, seen: p.Seen}
	switch {
	case p.Embeds == nil:
		g.rows = len(p.IDs)
		T := 0
		for _, row := range p.IDs {
			T = max(T, len(row))
		}
		if T == 0 {
			return nil, fmt.Errorf("llm: nothing to continue: every prompt is empty")
		}
		padded := make([]int32, 0, g.rows*T)
		for _, row := range p.IDs {
			if len(row) == 0 {
				return nil, fmt.Errorf("llm: prompt %d is empty", len(g.start))
			}
			for range T - len(row) {
				padded = append(padded, int32(max(o.PAD, 0)))
			}
			for _, id := range row {
				if id < 0 || int(id) >= m.Config().VocabSize {
					return nil, fmt.Errorf("llm: prompt %d: id %d is outside the vocabulary of %d", len(g.start), id, m.Config().VocabSize)
				}
			}
			padded = append(padded, row...)
			g.start = append(g.start, int32(T-len(row)))
		}
		tensor.Scope(func(s *tensor.Arena) {
			g.prefix = m.Embed(tensor.Ints(padded, g.rows, T).In(s)).Detach().Clone()
		})
		if g.seen == nil {
			for b := range g.rows {
				g.seen = append(g.seen, slices.Clone(p.IDs[b]))
			}
		}
	default:
		B, T, _ := p.Embeds.Dims3()
		g.rows, g.start = B, make([]int32, B)
		if p.Mask != nil {
			start, end, _, ok := Extent(p.Mask, B)
			for b := range B {
				if !ok || int(end[b]) != T {
					return nil, fmt.Errorf("llm: row %d: prompts are padded at the left to be continued", b)
				}
			}
			g.start = start
		}
		if g.seen == nil {
			g.seen = make([][]int32, B)
		}
	}
	g.ids = make([][]int32, g.rows)
	return g, nil
}

// logits returns the logits [rows][V] of the next token, which hold until the next call, given that ids[b][done:] of each row are not
// in the cache yet.
func (g *generator) logits(fresh [][]int32) [][]float32 {
	V := 0
	tensor.Scope(func(s *tensor.Arena) {
		T := g.prefix.Dim(1)
		n := len(g.ids[0])
		in := Input{Start: g.start}
		long := g.crosses(T + n)
		switch {
		case g.cache != nil && g.cache.Len() > 0 && !g.o.NoCache && !long:
			k := len(fresh[0])
			in.Embeds, in.Cache = g.embed(s, fresh), g.cache
			in.Positions = g.positions(g.cache.Len(), k)
		default:
			in.Embeds = g.prefix.In(s)
			if n > 0 {
				in.Embeds = tensor.Concat(1, g.prefix, g.embed(s, g.ids))
			}
			in.Positions = g.positions(0, T+n)
			if !g.o.NoCache {
				g.cache = NewCache()
				in.Cache = g.cache
			}
		}
		in.Embeds = in.Embeds.NoGrad()
		B, k, _ := in.Embeds.Dims3()
		for b := range B {
			in.Rows = append(in.Rows, int32((b+1)*k-1)) // the last of each
		}
		z := Logits(g.m, g.m.Hidden(in)) // [B, V]
		V = z.Dim(1)
		g.z = append(g.z[:0], z.Data()...)
	})
	out := make([][]float32, g.rows)
	for b := range out {
		out[b] = g.z[b*V : (b+1)*V]
	}
	return out
}

// crosses reports, once, that a sequence of n tokens needs other rotary frequencies than the cached ones.
func (g *generator) crosses(n int) bool {
	m, ok := g.m.(interface{ Long(last int) bool })
	if !ok || g.relong {
		return false
	}
	longest := 0
	for _, s := range g.start {
		longest = max(longest, n-int(s))
	}
	g.relong = m.Long(longest - 1)
	return g.relong
}

// Long reports whether positions up to last need other rotary frequencies than shorter sequences.
func (m *Llama) Long(last int) bool { return m.rope.Long(last) }

func (g *generator) embed(s *tensor.Arena, ids [][]int32) *tensor.Tensor {
	var flat []int32
	for _, row := range ids {
		flat = append(flat, row...)
	}
	return g.m.Embed(tensor.Ints(flat, len(ids), len(ids[0])).In(s))
}

func (g *generator) positions(from, n int) []int32 {
	pos := make([]int32, 0, g.rows*n)
	for b := range g.rows {
		for t := from; t < from+n; t++ {
			pos = append(pos, max(int32(t)-g.start[b], 0))
		}
	}
	return pos
}

// run is greedy decoding or sampling.
func (g *generator) run(ctx context.Context) (Generated, error) {
	rngs := make([]*rand.Rand, g.rows)
	for b := range rngs {
		rngs[b] = rand.New(rand.NewPCG(g.o.Sampling.Seed, uint64(b)))
	}
	ended := make([]bool, g.rows)
	out := Generated{IDs: make([][]int32, g.rows)}
	fresh := make([][]int32, g.rows)
	for range g.o.MaxNewTokens {
		if err := ctx.Err(); err != nil {
			return out, err
		}
		z := g.logits(fresh)
		live := false
		for b := range g.rows {
			id := int32(g.o.PAD)
			if !ended[b] {
				id = g.o.Sampling.next(z[b], append(slices.Clone(g.seen[b]), g.ids[b]...), rngs[b])
				out.IDs[b] = append(out.IDs[b], id)
				if g.o.OnToken != nil {
					if err := g.o.OnToken(b, id); err != nil {
						return out, err
					}
				}
				ended[b] = slices.Contains(g.o.EOS, int(id)) || g.stops(out.IDs[b])
			}
			live = live || !ended[b]
			g.ids[b] = append(g.ids[b], max(id, 0))
			fresh[b] = []int32{max(id, 0)}
		}
		if !live {
			break
		}
	}
	return out, nil
}

func (g *generator) stops(ids []int32) bool {
	if len(g.o.StopStrings) == 0 {
		return false
	}
	text := g.o.Decode(ids)
	for _, s := range g.o.StopStrings {
		if s != "" && strings.Contains(text, s) {
			return true
		}
	}
	return false
}
