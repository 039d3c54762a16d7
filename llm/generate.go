package llm

import (
	"context"
	"fmt"
	"slices"

	"github.com/gollava/gollava/tensor"
)

// Prompts is a batch to continue. Either IDs or Embeds is given.
type Prompts struct {
	IDs    [][]int32      // token ids of each row without padding
	Embeds *tensor.Tensor // [B, T, C], such as text with image features
	Mask   []int32        // [B·T] with Embeds: 0 at padding, which lies at the left; nil: none

	// Seen are the ids that penalties and bans know of each row. nil: IDs. A [Session] keeps them; it wants one for
	// each position of Embeds, negative where there is none.
	Seen [][]int32

	Prefix  []int32  // [B], see [Input]; nil: none
	Context *Context // [B, ·], see [Input]; new tokens attend to what the last position of the prompt does; nil: none
}

// Options set how to generate.
type Options struct {
	MaxNewTokens  int
	EOS           []int // a row ends with any of these; nil: the model's; empty but not nil: none
	PAD           int   // fills up beam search's rows; −1: the model's, else the first end token
	StopStrings   []string
	Decode        func(ids []int32) string // needed for StopStrings
	Sampling      Sampling
	Beams         int     // above 1: beam search, which is greedy
	LengthPenalty float64 // of beam search: Σ log p / n^penalty; 0: 1, so 1e-300 for none
	NoCache       bool    // recompute the whole sequence for every token

	MinNewTokens int   // no end token before so many new ones
	MinLength    int   // min_length: the same of prompt and new tokens together
	ForcedBOS    []int // forced_bos_token_id: the second token of a sequence whose prompt has one position; nil: free
	ForcedEOS    []int // forced_eos_token_id: one of these is the last of MaxNewTokens tokens; nil: free

	// Allow, if not nil, reports whether a token may follow the new ones so far, as a grammar does. The choice is
	// made among all tokens first, and again among the allowed ones if that is not allowed. It is called by the
	// goroutine that computes, which for a request of an [Engine] is the engine's. No token left to choose is an
	// error.
	Allow func(generated []int32, id int32) bool

	LogProbs    bool // fill in the log-probability of each token. Not with Beams
	TopLogProbs int  // with so many most likely candidates each; above 0 implies LogProbs

	// OnToken, if not nil, sees every token of every row as it is chosen; an error ends generation and is returned.
	// Not with Beams.
	OnToken func(row int, id int32) error
}

// Generated is the result.
type Generated struct {
	IDs    [][]int32 // new tokens of each row, its end token included
	Tokens [][]Token // the same with log-probabilities, if Options.LogProbs
	Scores []float64 // of beam search: Σ log p / n^penalty
}

// Generate continues prompts by up to MaxNewTokens tokens each. It returns early with ctx's error. The memory of each
// token is recycled. One row gets the same tokens, bit for bit, as from an [Engine]; of several rows the prompts are
// computed together, which may round differently. Source: transformers' generation/utils, whose ids it reproduces. It
// is safe for concurrent use with one model.
func Generate(ctx context.Context, m Model, p Prompts, o Options) (out Generated, err error) {
	if err := o.complete(m); err != nil {
		return out, err
	}
	if caught := tensor.Catch(func() {
		var rows []*row
		if rows, err = newRows(m, p, o); err != nil {
			return
		}
		if o.Beams > 1 {
			out, err = beamSearch(ctx, m, rows, o)
			return
		}
		err = run(ctx, m, rows, o)
		out = collect(rows, o)
	}); caught != nil {
		return out, caught
	}
	return out, err
}

// complete checks o and fills in the model's end and padding tokens.
func (o *Options) complete(m Model) error {
	c := m.Config()
	if o.EOS == nil {
		o.EOS = c.EOS
	}
	if o.PAD < 0 {
		if o.PAD = c.PAD; o.PAD < 0 && len(o.EOS) > 0 {
			o.PAD = o.EOS[0]
		}
	}
	o.LogProbs = o.LogProbs || o.TopLogProbs > 0
	switch {
	case o.MaxNewTokens <= 0:
		return fmt.Errorf("llm: generate %d new tokens: MaxNewTokens must be positive", o.MaxNewTokens)
	case len(o.StopStrings) > 0 && o.Decode == nil:
		return fmt.Errorf("llm: stop strings need Options.Decode")
	case o.Beams > 1 && o.Sampling.Temperature > 0:
		return fmt.Errorf("llm: beam search does not sample: set Temperature to 0 or Beams to 1")
	case o.Beams > 1 && (o.OnToken != nil || len(o.StopStrings) > 0 || o.LogProbs):
		return fmt.Errorf("llm: beam search chooses its tokens at the end: no OnToken, no stop strings, no LogProbs")
	case o.MinNewTokens < 0 || o.MinLength < 0 || o.TopLogProbs < 0:
		return fmt.Errorf("llm: MinNewTokens %d, MinLength %d and TopLogProbs %d must not be negative",
			o.MinNewTokens, o.MinLength, o.TopLogProbs)
	}
	for _, id := range slices.Concat(o.ForcedBOS, o.ForcedEOS) {
		if id < 0 || id >= c.VocabSize {
			return fmt.Errorf("llm: forced id %d lies outside the vocabulary of %d", id, c.VocabSize)
		}
	}
	return o.Sampling.check(c.VocabSize)
}

// run is greedy decoding or sampling of all rows.
func run(ctx context.Context, m Model, rows []*row, o Options) error {
	emit := func(r *row, z []float32) error {
		id, err := r.choose(z)
		if err == nil && o.OnToken != nil {
			err = o.OnToken(r.index, id)
		}
		return err
	}
	if err := ctx.Err(); err != nil {
		return err
	}
	first, err := prefill(ctx, m, rows)
	for i, z := range first {
		if err == nil {
			err = emit(rows[i], z)
		}
	}
	for err == nil {
		live := slices.DeleteFunc(slices.Clone(rows), func(r *row) bool { return r.ended })
		if len(live) == 0 {
			return nil
		}
		if err := ctx.Err(); err != nil {
			return err
		}
		decode(m, live, len(live), func(at []int, z [][]float32) {
			for i, row := range at {
				if err == nil {
					err = emit(live[row], z[i])
				}
			}
		})
	}
	return err
}

func collect(rows []*row, o Options) Generated {
	out := Generated{IDs: make([][]int32, len(rows))}
	for i, r := range rows {
		for _, t := range r.tokens {
			out.IDs[i] = append(out.IDs[i], t.ID)
		}
		if o.LogProbs {
			out.Tokens = append(out.Tokens, r.tokens)
		}
	}
	return out
}
