package verify

import (
	"encoding/json"
	"errors"
	"maps"
	"os"
	"path/filepath"
	"slices"

	"github.com/gollava/gollava/connector"
	"github.com/gollava/gollava/connector/llava"
	"github.com/gollava/gollava/llm"
	"github.com/gollava/gollava/lora"
	"github.com/gollava/gollava/nn"
	"github.com/gollava/gollava/tensor"
	"github.com/gollava/gollava/train"
)

// subject is a base model, with or without a vision tower, that computes with the case's batch.
type subject struct {
	Model any `param:",inline"`

	language  llm.Model
	hidden    func() *tensor.Tensor // [B, T, C]
	loss      func() *tensor.Tensor
	namings   []lora.Naming       // of the programs that adapters come from
	canonical func(string) string // names in the base's file
}

// Loss is that of the case's only batch.
func (s *subject) Loss(struct{}) *tensor.Tensor { return s.loss() }

// logits are [B, T, V].
func (s *subject) logits() *tensor.Tensor { return llm.Logits(s.language, s.hidden()) }

// openSubject loads a plain language model or a vision-language model, as its config.json says.
func openSubject(r *Report) *subject {
	path, b := filepath.Join(r.Checkpoint, "config.json"), r.batch("in.")
	var kind struct {
		Text json.RawMessage `json:"text_config"`
	}
	if err := json.Unmarshal(must(os.ReadFile(path)), &kind); err != nil {
		failf("%s: %w", path, err)
	}
	if b.labels == nil {
		failf("%s: there are no in.labels", r.Path())
	}
	if kind.Text == nil {
		m := must(llm.Load(r.Checkpoint, nn.LoadOptions{DType: inBlocks}))
		return &subject{m, m, func() *tensor.Tensor { return m.Hidden(b.input(m)) },
			func() *tensor.Tensor { return llm.Loss(m, b.input(m), b.labels) }, nil, func(n string) string { return n }}
	}
	m := must(llava.Load(r.Checkpoint, llava.LoadOptions{DType: inBlocks}))
	in := connector.Batch{IDs: b.ids, Mask: b.mask, Positions: b.positions, Labels: b.labels,
		Pixels: r.maybe("in.pixel_values")}
	return &subject{m, m.Language, func() *tensor.Tensor { return m.Hidden(in) },
		func() *tensor.Tensor { return m.Loss(in) }, llava.Namings(m), named(llava.Canonical)}
}

// adapted checks a base model with an adapter: without it, with it, merged, its gradients, and training it.
func adapted(r *Report, s *subject) {
	adapter, mask := inside(r.Dir, r.Adapter), r.ints("in.attention_mask")
	r.masked("logits_base", s.logits(), mask)
	before := contents(s.Model)

	a := must(lora.Load(s.Model, adapter, s.namings...))
	r.add(count("trainable", a.Trainable(), r.Trainable))
	r.masked("logits", s.logits(), mask)
	loss := s.loss()
	r.loss("loss", loss)
	loss.Backward()
	r.gradientsOf(maps.Collect(a.Params()), nil)

	lora.SetMerged(s.Model, true)
	r.masked("logits_merged", s.logits(), mask)
	weights := maps.Collect(nn.Params(s.Model))
	for _, name := range r.under("out.merged.") {
		if p := weights[s.canonical(name)]; p != nil {
			r.output("merged."+name, p)
		} else {
			r.add(failed("merged: "+name, errors.New("the model has no such parameter")))
		}
	}
	lora.SetMerged(s.Model, false)
	r.masked("logits", s.logits(), mask) // unmerged

	for _, name := range sorted(r.Runs) {
		relearn(r, name, r.Runs[name], adapter)
	}
	a.Remove()
	r.tally("base restored", func(t *tally) {
		for name, is := range contents(s.Model) {
			t.check(before[name] == is, "%s differs after the adapter was taken off", name)
		}
	})
}

// relearn trains an adapter as a recorded run did.
func relearn(r *Report, name string, run training, adapter string) {
	if run.StartsFrom != "adapter" {
		failf("run %s starts from %q, which is not supported: adapter is", name, run.StartsFrom)
	}
	s := openSubject(r)
	a := must(lora.Load(s.Model, adapter, s.namings...))
	names := map[*tensor.Tensor]string{}
	for n, p := range nn.Params(s.Model) {
		names[p] = n
	}
	trains := map[string]string{} // names in the model, by those in the adapter's file
	for n, p := range a.Params() {
		trains[n] = names[p]
	}
	slices.Sort(run.Trainable)
	if list := sorted(trains); !slices.Equal(list, run.Trainable) {
		failf("run %s: the adapter trains %v, recorded are %v", name, list, run.Trainable)
	}
	followed(r, name, run, train.Model[struct{}](s), []struct{}{{}}, func(name string) string { return trains[name] })
}
