package traincase

import (
	"fmt"
	"strings"

	"github.com/gollava/gollava/connector"
	"github.com/gollava/gollava/connector/llava"
	"github.com/gollava/gollava/internal/verify"
	"github.com/gollava/gollava/nn"
	"github.com/gollava/gollava/tensor"
)

// canonical is llava.Canonical; buffers keep their names.
func canonical(name string) string {
	if c, ok := llava.Canonical(name); ok {
		return c
	}
	return name
}

// overwrite puts the recorded result of an earlier run into the model.
func overwrite(m any, e *verify.Report, prefix string) error {
	found := false
	for name, p := range nn.Params(m) {
		for _, n := range e.Names() {
			if tail, ok := strings.CutPrefix(n, prefix+"."); ok && canonical(tail) == name {
				t := e.Tensor(n)
				if e.Err != nil {
					return e.Err
				}
				p.CopyFrom(t)
				found = true
			}
		}
	}
	if !found {
		return fmt.Errorf("%s: there is no %s", e.Path(), prefix)
	}
	return nil
}

// LLaVAStages checks the task llava_stages: a small LLaVA through both stages.
func LLaVAStages(dir string) ([]verify.Row, error) { return verify.Check(dir, stages) }

func stages(e *verify.Report, c caseFile) error {
	var batches []connector.Batch
	for k := 0; ; k++ {
		in := fmt.Sprintf("in.batch.%d.", k)
		if _, ok := e.Info(in + "input_ids"); !ok {
			break
		}
		b := connector.Batch{IDs: e.Tensor(in + "input_ids"), Labels: e.Tensor(in + "labels"), Pixels: e.Tensor(in + "pixel_values")}
		if mask := e.Tensor(in + "attention_mask"); e.Err == nil {
			b.Mask = mask.IntData()
		}
		if e.Err != nil {
			return e.Err
		}
		batches = append(batches, b)
	}
	for _, name := range verify.Sorted(c.Runs) {
		run := c.Runs[name]
		m, err := llava.Load(e.Dir, llava.LoadOptions{DType: nn.As(tensor.Float32)})
		if err != nil {
			return err
		}
		if run.StartsFrom != "model.safetensors" {
			if err := overwrite(m, e, run.StartsFrom); err != nil {
				return err
			}
		}
		if err := Follow(e, name, run, m, batches, canonical); err != nil {
			return err
		}
	}
	return nil
}
