package modelcase

import (
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"os"
	"path/filepath"
	"slices"

	"github.com/gollava/gollava/connector"
	"github.com/gollava/gollava/connector/llava"
	"github.com/gollava/gollava/internal/verify"
	"github.com/gollava/gollava/internal/verify/traincase"
	"github.com/gollava/gollava/llm"
	"github.com/gollava/gollava/lora"
	"github.com/gollava/gollava/nn"
	"github.com/gollava/gollava/tensor"
)

// peftCase is case.json of task peft.
type peftCase struct {
	Folders   []string `json:"checkpoints"`
	Adapter   string
	Trainable int
	Runs      map[string]traincase.Recorded
}

// subject is a base model, with or without eyes, that computes with the case's batch.
type subject interface {
	hidden() *tensor.Tensor // [B, T, C]
	loss() *tensor.Tensor
	head() llm.Model
	model() any                   // whose parameters have names
	namings() []lora.Naming       // of the programs that adapters come from
	parameter(file string) string // name in the model of a tensor in the base's file
}

// PEFT checks a base model with an adapter: without it, with it, merged, its gradients, and training it.
func PEFT(dir string) ([]verify.Row, error) {
	return verify.Check(dir, func(r *verify.Report, c peftCase) error {
		b, err := readBatch(r, "in.")
		if err == nil && b.labels == nil {
			err = fmt.Errorf("%s: there are no in.labels", r.Path())
		}
		if err != nil {
			return err
		}
		adapter, err := verify.Inside(dir, c.Adapter)
		if err != nil {
			return err
		}
		return r.Checkpoints(c.Folders, func(base string) error { return c.check(r, b, base, adapter) })
	})
}

// openSubject loads a plain language model or a vision-language model, as its config.json says.
func openSubject(e *verify.Report, b batch, dir string) (subject, error) {
	raw, err := os.ReadFile(filepath.Join(dir, "config.json"))
	if err != nil {
		return nil, err
	}
	var kind struct {
		Text json.RawMessage `json:"text_config"`
	}
	if err := json.Unmarshal(raw, &kind); err != nil {
		return nil, fmt.Errorf("%s: %w", filepath.Join(dir, "config.json"), err)
	}
	if kind.Text == nil {
		m, err := llm.Load(dir, nn.LoadOptions{DType: verify.InBlocks})
		if err != nil {
			return nil, err
		}
		start, end, positions, ok := llm.Extent(b.mask, b.ids.Dim(0))
		if !ok {
			return nil, fmt.Errorf("the attention mask has a hole")
		}
		if b.positions != nil {
			positions = b.positions
		}
		return &textSubject{m, b, llm.Input{Start: start, End: end, Positions: positions}}, nil
	}
	m, err := llava.Load(dir, llava.LoadOptions{DType: verify.InBlocks})
	if err != nil {
		return nil, err
	}
	s := &imageSubject{m, connector.Batch{IDs: b.ids, Mask: b.mask, Positions: b.positions, Labels: b.labels}}
	if e.Has("in.pixel_values") {
		s.b.Pixels = e.Tensor("in.pixel_values")
	}
	return s, e.Err
}

// textSubject is a plain language model.
type textSubject struct {
	m  llm.Model
	b  batch
	in llm.Input
}

func (s *textSubject) input() llm.Input {
	in := s.in
	in.Embeds = s.m.Embed(s.b.ids)
	return in
}

func (s *textSubject) hidden() *tensor.Tensor { return s.m.Hidden(s.input()) }
func (s *textSubject) loss() *tensor.Tensor   { return llm.Loss(s.m, s.input(), s.b.labels) }

func (s *textSubject) head() llm.Model              { return s.m }
func (s *textSubject) model() any                   { return s.m }
func (s *textSubject) namings() []lora.Naming       { return nil }
func (s *textSubject) parameter(file string) string { return file }

// imageSubject is a vision-language model.
type imageSubject struct {
	m *connector.VLM
	b connector.Batch
}

func (s *imageSubject) hidden() *tensor.Tensor { return s.m.Hidden(s.b) }
func (s *imageSubject) loss() *tensor.Tensor   { return s.m.Loss(s.b) }
func (s *imageSubject) head() llm.Model        { return s.m.Language }
func (s *imageSubject) model() any             { return s.m }

func (s *imageSubject) namings() []lora.Naming { return llava.Namings(s.m) }

func (s *imageSubject) parameter(file string) string {
	name, _ := llava.Canonical(file)
	return name
}

func (c *peftCase) check(r *verify.Report, b batch, base, adapter string) error {
	s, err := openSubject(r, b, base)
	if err != nil {
		return err
	}
	logits := func(name string) { r.Masked(name, llm.Logits(s.head(), s.hidden()), b.mask) }
	logits("logits_base")
	before := contents(s.model())

	a, err := lora.Load(s.model(), adapter, s.namings()...)
	if err != nil {
		return err
	}
	trainable := verify.Tally{What: "trainable"}
	trainable.Check(a.Trainable() == c.Trainable, "%d values instead of %d", a.Trainable(), c.Trainable)
	r.Add(trainable.Row())
	logits("logits")
	loss := s.loss()
	r.Loss("loss", loss)
	loss.Backward()
	r.GradientsOf(maps.Collect(a.Params()), nil)

	lora.SetMerged(s.model(), true)
	logits("logits_merged")
	weights := maps.Collect(nn.Params(s.model()))
	for _, name := range r.Under("out.merged.") {
		p := weights[s.parameter(name)]
		if p == nil {
			r.Add(verify.Failed("merged: "+name, errors.New("the model has no such parameter")))
			continue
		}
		r.Output("merged."+name, p)
	}
	lora.SetMerged(s.model(), false)
	logits("logits") // unmerged

	for _, name := range verify.Sorted(c.Runs) {
		if err := follow(r, name, c.Runs[name], base, adapter, b); err != nil {
			return fmt.Errorf("run %s: %w", name, err)
		}
	}
	a.Remove()
	restored := verify.Tally{What: "base restored"}
	for name, was := range contents(s.model()) {
		restored.Check(before[name] == was, "%s differs after the adapter was taken off", name)
	}
	r.Add(restored.Row())
	return nil
}

func contents(m any) map[string]string {
	bytes := map[string]string{}
	for name, p := range nn.Params(m) {
		bytes[name] = string(p.Bytes())
	}
	return bytes
}

// pupil is what trains: a subject, whose model's parameters it shows.
type pupil struct {
	Model any `param:",inline"`
	s     subject
}

// Loss is that of the case's only batch.
func (p *pupil) Loss(struct{}) *tensor.Tensor { return p.s.loss() }

// follow trains an adapter as a recorded run did.
func follow(r *verify.Report, name string, run traincase.Recorded, base, adapter string, b batch) error {
	if run.StartsFrom != "adapter" {
		return fmt.Errorf("it starts from %q, which is not supported: adapter is", run.StartsFrom)
	}
	s, err := openSubject(r, b, base)
	if err != nil {
		return err
	}
	a, err := lora.Load(s.model(), adapter, s.namings()...)
	if err != nil {
		return err
	}
	names := map[*tensor.Tensor]string{}
	for n, p := range nn.Params(s.model()) {
		names[p] = n
	}
	trains := map[string]string{} // names in the model, by those in the adapter's file
	for n, p := range a.Params() {
		trains[n] = names[p]
	}
	slices.Sort(run.Trainable)
	if list := verify.Sorted(trains); !slices.Equal(list, run.Trainable) {
		return fmt.Errorf("the adapter trains %v, recorded are %v", list, run.Trainable)
	}
	canonical := func(name string) string { return trains[name] }
	return traincase.Follow(r, name, run, &pupil{s.model(), s}, []struct{}{{}}, canonical)
}
