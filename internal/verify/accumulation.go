package verify

import (
	"context"
	"fmt"
	"maps"

	"github.com/gollava/gollava/llm"
	"github.com/gollava/gollava/nn"
	"github.com/gollava/gollava/tensor"
	"github.com/gollava/gollava/train"
)

// Supervised counts the labels that are scored.
func (b batch) Supervised() int {
	n := 0
	for _, l := range llm.Shift(b.labels).IntData() {
		if l != tensor.IgnoreIndex {
			n++
		}
	}
	return n
}

// reader is a language model that learns from text.
type reader struct {
	Language llm.Model `param:",inline"`
}

func (m *reader) Loss(b batch) *tensor.Tensor {
	return llm.Loss(m.Language, b.input(m.Language), b.labels)
}

// accumulation checks micro-batches of different lengths, with both ways of weighing them.
func accumulation(r *Report, c struct {
	Micro      int   `json:"micro_batches"`
	Supervised []int `json:"supervised_tokens"`
}) {
	var micro []batch
	for k := range c.Micro {
		b := r.batch(fmt.Sprintf("in.micro.%d.", k))
		if b.labels == nil || k >= len(c.Supervised) || b.Supervised() != c.Supervised[k] {
			failf("micro-batch %d does not supervise as many tokens as the case says: %v", k, c.Supervised)
		}
		micro = append(micro, b)
	}
	if len(micro) == 0 {
		failf("there are no micro-batches")
	}
	batches := func(_ context.Context, n int) (batch, error) { return micro[n%len(micro)], nil }
	for i, mode := range []string{"mean_of_means", "token_weighted"} {
		m := &reader{must(llm.Load(r.Dir, nn.LoadOptions{DType: nn.As(tensor.Float32)}))}
		grads := map[string][]float64{}
		s := train.Stage[batch]{Name: mode, Batches: batches, Steps: 1, Accumulate: len(micro), TokenWeighted: i == 1,
			Groups: []train.Group{{Params: "**", LR: 1e-3}}}
		s.After = func(int) {
			for name, p := range maps.Collect(nn.Params(m)) {
				grads[name] = widen(p.Grad().Data())
			}
		}
		rep := must(train.Run(context.Background(), m, train.Options{}, s))
		r.add(absolute(mode+": loss", rep.Stages[0].Loss, r.numbers("accum."+mode+".loss"), r.Tolerance.Loss))
		r.gradientsUnder(mode+": gradient of ", "accum."+mode+".grad.",
			func(name string) []float64 { return grads[name] })
	}
}
