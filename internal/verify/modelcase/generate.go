package modelcase

import (
	"context"
	"fmt"

	"github.com/gollava/gollava/internal/verify"
	"github.com/gollava/gollava/llm"
)

// generation is an entry of case.json's generation: greedy or beam search.
type generation struct {
	MaxNew        int      `json:"max_new_tokens"`
	Beams         int      `json:"num_beams"`
	EOSID         *int     `json:"eos_token_id"`
	PAD           int      `json:"pad_token_id"`
	UseCache      *bool    `json:"use_cache"`
	LengthPenalty *float64 `json:"length_penalty"`
	EarlyStopping any      `json:"early_stopping"`
}

// sampling is an entry of case.json's sampling: how one token is drawn.
type sampling struct {
	Repetition  float64 `json:"repetition_penalty"`
	Temperature float64
	TopK        int     `json:"top_k"`
	TopP        float64 `json:"top_p"`
}

func (g generation) options() (llm.Options, error) {
	o := llm.Options{MaxNewTokens: g.MaxNew, Beams: g.Beams, EOS: []int{}, PAD: g.PAD}
	if g.EOSID != nil {
		o.EOS = []int{*g.EOSID}
	}
	if early, ok := g.EarlyStopping.(bool); g.EarlyStopping != nil && (!ok || early) {
		return o, fmt.Errorf("early_stopping %v is not supported: false is", g.EarlyStopping)
	}
	if g.LengthPenalty != nil {
		o.LengthPenalty = *g.LengthPenalty
	}
	o.NoCache = g.UseCache != nil && !*g.UseCache
	return o, nil
}

// padded fills rows to the length of the longest.
func padded(rows [][]int32, pad int32) [][]int32 {
	n := 0
	for _, r := range rows {
		n = max(n, len(r))
	}
	out := make([][]int32, len(rows))
	for i, r := range rows {
		out[i] = append(out[i], r...)
		for len(out[i]) < n {
			out[i] = append(out[i], pad)
		}
	}
	return out
}

// generate checks every recorded generation of m, the prompts being in.gen.*.
func (c *causalCase) generate(e *verify.Expected, m llm.Model) (rows []verify.Row, err error) {
	if len(c.Generation)+len(c.Sampling) == 0 {
		return nil, nil
	}
	prompt, err := readBatch(e, "in.gen.")
	if err != nil {
		return nil, err
	}
	B, T := prompt.ids.Dims2()
	var p llm.Prompts
	for b := range B {
		row := prompt.ids.IntData()[b*T : (b+1)*T]
		for len(row) > 0 && prompt.mask[(b+1)*T-len(row)] == 0 {
			row = row[1:]
		}
		p.IDs = append(p.IDs, row)
	}
	for _, name := range names(c.Generation) {
		more, err := generated(e, name, m, p, c.Generation[name], c.Tolerance)
		if err != nil {
			more = []verify.Row{verify.Failed(name, err)}
		}
		rows = append(rows, more...)
	}
	if len(c.Sampling) == 0 {
		return rows, nil
	}
	h, err := forward(m, prompt)
	if err != nil {
		return rows, err
	}
	z := llm.Logits(m, h.Slice(1, T-1, T).Reshape(B, h.Dim(2))) // [B, V]
	rows = append(rows, e.Logits("sample: logits", "out.sample.logits", z, nil, c.Tolerance.Out))
	V := z.Dim(1)
	for i, s := range c.Sampling {
		how := llm.Sampling{Temperature: s.Temperature, TopK: s.TopK, TopP: s.TopP, RepetitionPenalty: s.Repetition}
		var got []float64
		for b := range B {
			got = append(got, how.Probabilities(z.Data()[b*V:(b+1)*V], p.IDs[b], nil)...)
		}
		name := fmt.Sprintf("out.sample.%d.probs", i)
		rows = append(rows, verify.Absolute(fmt.Sprintf("sample: %d probabilities", i), got, e.Numbers(name), c.Tolerance.Out))
	}
	return rows, nil
}

// generated checks one recorded generation.
func generated(e *verify.Expected, name string, m llm.Model, p llm.Prompts, g generation, tol verify.Tolerance) ([]verify.Row, error) {
	o, err := g.options()
	if err != nil {
		return nil, err
	}
	got, err := llm.Generate(context.Background(), m, p, o)
	if err != nil {
		return nil, err
	}
	want := e.Rows("out.gen." + name)
	if e.Err != nil {
		return nil, e.Err
	}
	rows := []verify.Row{verify.IDs(name, padded(got.IDs, int32(g.PAD)), want)}
	if scores := "out.gen." + name + "_scores"; e.Has(scores) {
		rows = append(rows, verify.Absolute(name+": scores", got.Scores, e.Numbers(scores), tol.Out))
	}
	return rows, nil
}
