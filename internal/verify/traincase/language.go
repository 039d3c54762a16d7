package traincase

import (
	"context"
	"fmt"

	"github.com/gollava/gollava/internal/verify"
	"github.com/gollava/gollava/llm"
	"github.com/gollava/gollava/nn"
	"github.com/gollava/gollava/tensor"
	"github.com/gollava/gollava/train"
)

// tokens is a batch of text.
type tokens struct {
	ids, labels *tensor.Tensor // [B, T]
	mask        []int32
}

// Supervised counts the labels that are scored.
func (b tokens) Supervised() int {
	n := 0
	for _, l := range llm.Shift(b.labels).IntData() {
		if l != tensor.IgnoreIndex {
			n++
		}
	}
	return n
}

// reader is a language model that learns from tokens.
type reader struct {
	Language llm.Model `param:",inline"`
}

func (m *reader) Loss(b tokens) *tensor.Tensor {
	start, end, positions, ok := llm.Extent(b.mask, b.ids.Dim(0))
	if !ok {
		tensor.Fail("Loss", "the attention mask has a hole")
	}
	return llm.Loss(m.Language, llm.Input{Embeds: m.Language.Embed(b.ids), Start: start, End: end, Positions: positions}, b.labels)
}

// weights fills every parameter of m from a file, whose names canonical translates.
func weights(m any, f *verify.Expected, canonical func(string) string) error {
	from := map[string]string{}
	for _, n := range f.Names() {
		from[canonical(n)] = n
	}
	for name, p := range nn.Params(m) {
		stored, ok := from[name]
		if !ok {
			return fmt.Errorf("%s: there is no %s", f.Path(), name)
		}
		t := f.Tensor(stored)
		if f.Err != nil {
			return f.Err
		}
		p.SetStorage(t)
	}
	return nil
}

func loadReader(dir string) (*reader, error) {
	c, err := llm.ReadConfig(dir)
	if err != nil {
		return nil, err
	}
	m, err := llm.New(nil, c)
	if err != nil {
		return nil, err
	}
	f, err := verify.Open(dir, "model.safetensors")
	if err != nil {
		return nil, err
	}
	defer f.Close()
	r := &reader{m}
	return r, weights(r, f, func(n string) string { return n })
}

// Accumulation checks the task accumulation: micro-batches of different lengths.
func Accumulation(dir string) ([]verify.Row, error) { return verify.Check(dir, accumulation) }

func accumulation(e *verify.Report, c caseFile) error {
	var micro []tokens
	for k := range c.Micro {
		in := fmt.Sprintf("in.micro.%d.", k)
		b := tokens{ids: e.Tensor(in + "input_ids"), labels: e.Tensor(in + "labels")}
		if mask := e.Tensor(in + "attention_mask"); e.Err == nil {
			b.mask = mask.IntData()
		}
		if e.Err != nil {
			return e.Err
		}
		if k >= len(c.Supervised) || b.Supervised() != c.Supervised[k] {
			return fmt.Errorf("micro-batch %d supervises %d tokens, the case says %v", k, b.Supervised(), c.Supervised)
		}
		micro = append(micro, b)
	}
	if len(micro) == 0 {
		return fmt.Errorf("there are no micro-batches")
	}
	batches := func(_ context.Context, n int) (tokens, error) { return micro[n%len(micro)], nil }
	for i, mode := range []string{"mean_of_means", "token_weighted"} {
		m, err := loadReader(e.Dir)
		if err != nil {
			return err
		}
		grads := map[string][]float64{}
		s := train.Stage[tokens]{Name: mode, Batches: batches, Steps: 1, Accumulate: len(micro), TokenWeighted: i == 1, Groups: []train.Group{{Params: "**", LR: 1e-3}}}
		s.After = func(int) {
			for name, p := range nn.Params(m) {
				grads[name] = verify.Widen(p.Grad().Data())
			}
		}
		rep, err := train.Run(context.Background(), m, train.Options{}, s)
		if err != nil {
			return err
		}
		e.Add(verify.Absolute(mode+": loss", rep.Stages[0].Loss, e.Numbers("accum."+mode+".loss"), e.Tolerance.Loss))
		e.GradientsUnder(mode+": gradient of ", "accum."+mode+".grad.",
			func(name string) []float64 { return grads[name] })
	}
	return nil
}
