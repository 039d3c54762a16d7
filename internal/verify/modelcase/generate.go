package modelcase

import (
	"context"
	"fmt"

	"github.com/gollava/gollava/internal/verify"
	"github.com/gollava/gollava/llm"
)

// sampling is an entry of case.json's sampling: how one token is drawn.
type sampling struct {
	Repetition  float64 `json:"repetition_penalty"`
	Temperature float64
	TopK        int     `json:"top_k"`
	TopP        float64 `json:"top_p"`
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
func generated(e *verify.Expected, name string, m llm.Model, p llm.Prompts, g verify.Generation, tol verify.Tolerance) ([]verify.Row, error) {
	o, err := g.Options()
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
	rows := []verify.Row{verify.IDs(name, verify.Padded(got.IDs, int32(g.PAD)), want)}
	if scores := "out.gen." + name + "_scores"; e.Has(scores) {
		rows = append(rows, verify.Absolute(name+": scores", got.Scores, e.Numbers(scores), tol.Out))
	}
	return rows, nil
}
