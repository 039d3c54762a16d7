package modelcase

import (
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"slices"

	"github.com/gollava/gollava/connector"
	"github.com/gollava/gollava/connector/llava"
	"github.com/gollava/gollava/internal/verify"
	"github.com/gollava/gollava/llm"
	"github.com/gollava/gollava/lora"
	"github.com/gollava/gollava/nn"
	"github.com/gollava/gollava/tensor"
)

// peftCase is case.json of task peft.
type peftCase struct {
	caseFile
	Adapter   string
	Trainable int
	Runs      map[string]run
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
func PEFT(dir string) (rows []verify.Row, err error) {
	var c peftCase
	if err := read(dir, &c); err != nil {
		return nil, err
	}
	e, err := verify.Open(dir, "expected.safetensors")
	if err != nil {
		return nil, err
	}
	defer e.Close()
	b, err := readBatch(e, "in.")
	if err != nil {
		return nil, err
	}
	if b.labels == nil {
		return nil, fmt.Errorf("%s: there are no in.labels", e.Path())
	}
	adapter, err := verify.Inside(dir, c.Adapter)
	if err != nil {
		return nil, err
	}
	for _, sub := range c.Checkpoints {
		base, err := verify.Inside(dir, sub)
		if err != nil {
			return rows, err
		}
		err = caught(func() error {
			more, err := c.check(e, b, base, adapter)
			rows = append(rows, more...)
			return err
		})
		if err != nil {
			return rows, err
		}
	}
	return rows, e.Err
}

// openSubject loads a plain language model or a vision-language model, as its config.json says.
func openSubject(e *verify.Expected, b batch, dir string) (subject, error) {
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

func (c *peftCase) check(e *verify.Expected, b batch, base, adapter string) (rows []verify.Row, err error) {
	s, err := openSubject(e, b, base)
	if err != nil {
		return nil, err
	}
	logits := func(name string) {
		rows = append(rows, e.Logits(name, "out."+name, llm.Logits(s.head(), s.hidden()), b.mask, c.Tolerance.Out))
	}
	logits("logits_base")
	before := contents(s.model())

	a, err := lora.Load(s.model(), adapter, s.namings()...)
	if err != nil {
		return rows, err
	}
	rows = append(rows, count("trainable", a.Trainable(), c.Trainable))
	logits("logits")
	loss := s.loss()
	rows = append(rows, verify.Absolute("loss", []float64{float64(loss.Item())}, e.Numbers("out.loss"), c.Tolerance.Loss))
	loss.Backward()
	grads := map[string]*tensor.Tensor{}
	for name, p := range a.Params() {
		grads[name] = p.Grad()
	}
	rows = append(rows, e.Gradients(c.Tolerance, func(name string) *tensor.Tensor { return grads[name] })...)

	lora.SetMerged(s.model(), true)
	logits("logits_merged")
	weights := map[string]*tensor.Tensor{}
	for name, p := range nn.Params(s.model()) {
		weights[name] = p
	}
	for _, name := range e.Under("out.merged.") {
		p := weights[s.parameter(name)]
		if p == nil {
			rows = append(rows, verify.Failed("merged: "+name, fmt.Errorf("the model has no such parameter")))
			continue
		}
		rows = append(rows, verify.Absolute("merged: "+name, verify.Widen(p.Data()), e.Numbers("out.merged."+name), c.Tolerance.Out))
	}
	lora.SetMerged(s.model(), false)
	logits("logits") // unmerged
	rows[len(rows)-1].What = "logits: unmerged"

	for _, name := range names(c.Runs) {
		more, err := c.Runs[name].check(e, name, base, adapter, b, c.Tolerance)
		if err != nil {
			return rows, fmt.Errorf("run %s: %w", name, err)
		}
		rows = append(rows, more...)
	}
	a.Remove()
	row := verify.Row{What: "base restored", Pass: true, Detail: "every byte of the base model after the adapter was taken off"}
	for name, was := range contents(s.model()) {
		if before[name] != was {
			row.Pass, row.MaxAbs, row.Detail = false, 1, name+" differs after the adapter was taken off"
		}
	}
	return append(rows, row), nil
}

func contents(m any) map[string]string {
	bytes := map[string]string{}
	for name, p := range nn.Params(m) {
		bytes[name] = string(p.Bytes())
	}
	return bytes
}

func count(what string, got, want int) verify.Row {
	r := verify.Row{What: what, Pass: got == want, Detail: fmt.Sprintf("%d values", got)}
	if !r.Pass {
		r.MaxAbs, r.Detail = float64(max(got-want, want-got)), fmt.Sprintf("%d values instead of %d", got, want)
	}
	return r
}

// sorted is a sorted copy.
func sorted(list []string) []string {
	list = slices.Clone(list)
	slices.Sort(list)
	return list
}
