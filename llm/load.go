package llm

import (
	"encoding/json"
	"errors"
	"fmt"
	"path/filepath"

	"github.com/gollava/gollava/internal/atomicfile"
	"github.com/gollava/gollava/internal/gguf"
	"github.com/gollava/gollava/nn"
	"github.com/gollava/gollava/tensor"
)

// Load reads the checkpoint in dir as transformers writes it: config.json and the weights, in one file or in shards;
// or a GGUF file, whose weights stay in its blocks unless o says otherwise. o says what the weights are kept as. The
// model is of one of extra or of [Families]. Errors name the file and the field, or list every tensor that does not
// fit.
func Load(dir string, o nn.LoadOptions, extra ...Family) (Model, error) {
	c, err := ReadConfig(dir, extra...)
	if err != nil {
		return nil, err
	}
	return LoadAs(c, dir, o, extra...)
}

// LoadAs reads the weights in dir into the model that c describes.
func LoadAs(c Config, dir string, o nn.LoadOptions, extra ...Family) (Model, error) {
	m, err := New(nil, c, extra...)
	if err != nil {
		return nil, fmt.Errorf("%s: %w", filepath.Join(dir, "config.json"), err)
	}
	o.Ignore = append(o.Ignore, "**.rotary_emb.inv_freq") // buffers of old files
	err = nn.WithWeights(dir, o.Alias, func(w *nn.Weights) error {
		if gguf.IsFile(dir) {
			if err := c.ggufWeights(w); err != nil {
				return err
			}
		}
		err := nn.Load(m, w, o)
		if !errors.Is(err, nn.ErrTied) || !c.TieWordEmbeddings {
			return err
		}
		// a head of its own, as merged adapters leave one: transformers 5 takes it too
		c.TieWordEmbeddings = false
		if m, err = New(nil, c, extra...); err != nil {
			return err
		}
		return nn.Load(m, w, o)
	})
	return m, err
}

// Save writes m's config.json and weights to dir as transformers reads them. Weights that are kept in NF4, FP4 or INT8
// are written as bitsandbytes does, with the quantization_config that describes them.
func Save(m Model, dir string, o nn.SaveOptions) error {
	o, quantization, err := nn.Quantization(m, o)
	if err != nil {
		return fmt.Errorf("save %s: %w", dir, err)
	}
	if err := nn.Save(m, dir, o); err != nil {
		return err
	}
	c := m.Config()
	c.DType = stored(m, o)
	if quantization == nil {
		return atomicfile.WriteJSON(filepath.Join(dir, "config.json"), c)
	}
	raw, err := json.Marshal(c)
	if err != nil {
		return err
	}
	config := map[string]any{}
	if err := json.Unmarshal(raw, &config); err != nil {
		return err
	}
	config["quantization_config"] = quantization
	return atomicfile.WriteJSON(filepath.Join(dir, "config.json"), config)
}

// stored is the dtype of m's matrices in the files that o writes.
func stored(m Model, o nn.SaveOptions) string {
	for name, p := range nn.Params(m) {
		if p.Rank() < 2 {
			continue
		}
		dt := p.DType()
		if o.DType != nil {
			dt = o.DType(name, dt)
		}
		if dt == tensor.BFloat16 {
			return "bfloat16"
		}
		break
	}
	return "float32"
}
