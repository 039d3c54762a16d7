package verify

import (
	"fmt"
	"maps"

	"github.com/gollava/gollava/connector"
	"github.com/gollava/gollava/connector/llava"
	"github.com/gollava/gollava/nn"
	"github.com/gollava/gollava/tensor"
	"github.com/gollava/gollava/train"
)

// stages checks a small LLaVA through both stages.
func stages(r *Report, c struct{ Runs map[string]training }) {
	r.Runs = c.Runs
	var batches []connector.Batch
	for k := 0; r.has(fmt.Sprintf("in.batch.%d.input_ids", k)); k++ {
		in := fmt.Sprintf("in.batch.%d.", k)
		b := r.batch(in)
		batches = append(batches, connector.Batch{IDs: b.ids, Labels: b.labels, Mask: b.mask,
			Pixels: r.tensor(in + "pixel_values")})
	}
	follow(r, func(_ string, run training) train.Model[connector.Batch] {
		m := must(llava.Load(r.Dir, llava.LoadOptions{DType: nn.As(tensor.Float32)}))
		if run.StartsFrom != "model.safetensors" {
			overwrite(r, m, run.StartsFrom+".")
		}
		return m
	}, batches, named(llava.Canonical))
}

// overwrite puts the recorded result of an earlier run into the model.
func overwrite(r *Report, m *connector.VLM, prefix string) {
	params := maps.Collect(nn.Params(m))
	found := false
	for _, name := range r.under(prefix) {
		if p := params[named(llava.Canonical)(name)]; p != nil {
			p.CopyFrom(r.tensor(prefix + name))
			found = true
		}
	}
	if !found {
		failf("%s: there is no %s", r.Path(), prefix)
	}
}
