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
func (c *causalCase) generate(r *verify.Report, m llm.Model) error {
	if len(c.Generation)+len(c.Sampling) == 0 {
		return nil
	}
	prompt, err := readBatch(r, "in.gen.")
	if err != nil {
		return err
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
	for _, name := range verify.Sorted(c.Generation) {
		r.Try(name, func() error { return generated(r, name, m, p, c.Generation[name]) })
	}
	if len(c.Sampling) == 0 {
		return nil
	}
	h, err := forward(m, prompt)
	if err != nil {
		return err
	}
	z := llm.Logits(m, h.Slice(1, T-1, T).Reshape(B, h.Dim(2))) // [B, V]
	r.Output("sample.logits", z)
	V := z.Dim(1)
	for i, s := range c.Sampling {
		how := llm.Sampling{Temperature: s.Temperature, TopK: s.TopK, TopP: s.TopP, RepetitionPenalty: s.Repetition}
		var got []float64
		for b := range B {
			got = append(got, how.Probabilities(z.Data()[b*V:(b+1)*V], p.IDs[b], nil)...)
		}
		name := fmt.Sprintf("sample.%d.probs", i)
		r.Add(verify.Absolute(name, got, r.Numbers("out."+name), r.Tolerance.Out))
	}
	return nil
}

// generated checks one recorded generation.
func generated(r *verify.Report, name string, m llm.Model, p llm.Prompts, g verify.Generation) error {
	o, err := g.Options()
	if err != nil {
		return err
	}
	got, err := llm.Generate(context.Background(), m, p, o)
	if err != nil {
		return err
	}
	r.Add(verify.IDs(name, verify.Padded(got.IDs, int32(g.PAD)), r.Expected.Rows("out.gen."+name)))
	if scores := "out.gen." + name + "_scores"; r.Has(scores) {
		r.Add(verify.Absolute(name+": scores", got.Scores, r.Numbers(scores), r.Tolerance.Out))
	}
	return nil
}
