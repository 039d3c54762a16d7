package modelcase

import (
	"encoding/json"
	"fmt"
	"os"

	"github.com/gollava/gollava/internal/verify"
	"github.com/gollava/gollava/llm"
	"github.com/gollava/gollava/nn"
	"github.com/gollava/gollava/tensor"
)

// causalCase is case.json of task causal_lm.
type causalCase struct {
	Folders    []string `json:"checkpoints"` // that must load and give the recorded results
	AlsoConfig []string `json:"also_config"` // other spellings of config.json
	Generation map[string]verify.Generation
	Sampling   []sampling
}

// CausalLM checks a decoder, for each checkpoint folder and each spelling of its config.
func CausalLM(dir string) ([]verify.Row, error) {
	return verify.Check(dir, func(r *verify.Report, c causalCase) error {
		for _, config := range append([]string{"config.json"}, c.AlsoConfig...) {
			err := r.Checkpoints(c.Folders, func(dir string) error {
				if config != "config.json" {
					r.Prefix += config + ": "
				}
				return c.check(r, dir, config)
			})
			if err != nil {
				return err
			}
		}
		return nil
	})
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

func (c *causalCase) check(r *verify.Report, dir, config string) error {
	m, err := loadLM(dir, config)
	if err != nil {
		return err
	}
	for _, p := range nn.Params(m) {
		p.SetTrainable(!p.DType().Quantized())
	}
	main, err := readBatch(r, "in.")
	if err != nil {
		return err
	}
	h, err := forward(m, main)
	if err != nil {
		return err
	}
	r.Masked("logits", llm.Logits(m, h), main.mask)

	scored, err := readBatch(r, "in.loss.")
	if err != nil {
		return err
	}
	in, err := input(m, scored)
	if err != nil {
		return err
	}
	r.Masked("loss_logits", llm.Logits(m, m.Hidden(in)), scored.mask)
	loss := llm.Loss(m, in, scored.labels)
	r.Loss("loss", loss)
	loss.Backward()
	r.Gradients(m, nil)
	return c.generate(r, m)
}
