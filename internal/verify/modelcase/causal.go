package modelcase

import (
	"encoding/json"
	"fmt"
	"maps"
	"os"
	"path/filepath"
	"slices"

	"github.com/gollava/gollava/internal/verify"
	"github.com/gollava/gollava/llm"
	"github.com/gollava/gollava/nn"
	"github.com/gollava/gollava/tensor"
)

// causalCase is case.json of task causal_lm.
type causalCase struct {
	caseFile
	Generation map[string]verify.Generation
	Sampling   []sampling
}

// CausalLM checks a decoder, for each checkpoint folder and each spelling of its config.
func CausalLM(dir string) (rows []verify.Row, err error) {
	var c causalCase
	if err := read(dir, &c); err != nil {
		return nil, err
	}
	e, err := verify.Open(dir, "expected.safetensors")
	if err != nil {
		return nil, err
	}
	defer e.Close()
	for _, sub := range c.Checkpoints {
		folder, err := verify.Inside(dir, sub)
		if err != nil {
			return rows, err
		}
		for _, config := range append([]string{"config.json"}, c.AlsoConfig...) {
			label := ""
			if len(c.Checkpoints)+len(c.AlsoConfig) > 1 {
				label = ", " + filepath.Join(sub, config)
			}
			err := caught(func() error {
				more, err := c.check(e, folder, config)
				for i := range more {
					more[i].What += label
				}
				rows = append(rows, more...)
				return err
			})
			if err != nil {
				rows = append(rows, verify.Failed("model"+label, err))
			}
		}
	}
	return rows, e.Err
}

func loadLM(dir, config string) (llm.Model, error) {
	path, err := verify.Inside(dir, config)
	if err != nil {
		return nil, err
	}
	raw, err := os.ReadFile(path)
	if err != nil {
		return nil, err
	}
	var lc llm.Config
	if err := json.Unmarshal(raw, &lc); err != nil {
		return nil, fmt.Errorf("%s: %w", path, err)
	}
	return llm.LoadAs(lc, dir, nn.LoadOptions{DType: verify.InBlocks})
}

// input is what a decoder reads of a batch.
func input(m llm.Model, b batch) (in llm.Input, err error) {
	start, end, positions, ok := llm.Extent(b.mask, b.ids.Dim(0))
	if !ok {
		return in, fmt.Errorf("the attention mask has a hole")
	}
	if b.positions != nil {
		positions = b.positions
	}
	return llm.Input{Embeds: m.Embed(b.ids), Start: start, End: end, Positions: positions}, nil
}

// forward runs a decoder over a batch: hidden states [B, T, C].
func forward(m llm.Model, b batch) (*tensor.Tensor, error) {
	in, err := input(m, b)
	if err != nil {
		return nil, err
	}
	return m.Hidden(in), nil
}

func (c *causalCase) check(e *verify.Expected, dir, config string) (rows []verify.Row, err error) {
	m, err := loadLM(dir, config)
	if err != nil {
		return nil, err
	}
	for _, p := range nn.Params(m) {
		p.SetTrainable(!p.DType().Quantized())
	}
	main, err := readBatch(e, "in.")
	if err != nil {
		return nil, err
	}
	h, err := forward(m, main)
	if err != nil {
		return nil, err
	}
	rows = append(rows, e.Logits("logits", "out.logits", llm.Logits(m, h), main.mask, c.Tolerance.Out))

	scored, err := readBatch(e, "in.loss.")
	if err != nil {
		return rows, err
	}
	in, err := input(m, scored)
	if err != nil {
		return rows, err
	}
	rows = append(rows, e.Logits("loss_logits", "out.loss_logits", llm.Logits(m, m.Hidden(in)), scored.mask, c.Tolerance.Out))
	loss := llm.Loss(m, in, scored.labels)
	rows = append(rows, verify.Absolute("loss", []float64{float64(loss.Item())}, e.Numbers("out.loss"), c.Tolerance.Loss))
	loss.Backward()
	grads := map[string]*tensor.Tensor{}
	for name, p := range nn.Params(m) {
		grads[name] = p.Grad()
	}
	rows = append(rows, e.Gradients(c.Tolerance, func(name string) *tensor.Tensor { return grads[name] })...)

	more, err := c.generate(e, m)
	return append(rows, more...), err
}

// names lists the keys of a map, sorted.
func names[V any](m map[string]V) []string { return slices.Sorted(maps.Keys(m)) }
