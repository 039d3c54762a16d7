package seem

import (
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"strings"

	"github.com/gollava/gollava/internal/atomicfile"
	"github.com/gollava/gollava/internal/jsonfile"
	"github.com/gollava/gollava/nn"
	"github.com/gollava/gollava/tensor"
)

// unused are tensors that checkpoints may hold beside the model's.
var unused = []string{"criterion.**", "pixel_mean", "pixel_std", "**.num_batches_tracked"}

// Load reads a checkpoint: the authors' seem_focall_v1.pt, or a folder with weights under their names and, for other
// sizes than [FocalLarge], a config.json. Of o, DType, Alias and Device are used. Errors name the file, and list all
// tensors that are missing, unexpected or misshapen.
func Load(path string, o nn.LoadOptions) (*Model, error) {
	c, err := readConfig(path)
	if err != nil {
		return nil, err
	}
	m, err := New(nil, c)
	if err != nil {
		return nil, err
	}
	err = nn.WithWeights(path, o.Alias, func(w *nn.Weights) error {
		return nn.Load(m, w, nn.LoadOptions{Ignore: unused, DType: keep(o.DType), Alias: o.Alias, Device: o.Device})
	})
	if err != nil {
		return nil, err
	}
	return m, nil
}

// readConfig reads config.json in the folder at path, or beside the file.
func readConfig(path string) (Config, error) {
	dir := path
	if st, err := os.Stat(path); err == nil && !st.IsDir() {
		dir = filepath.Dir(path)
	}
	var c Config
	err := jsonfile.Read(filepath.Join(dir, "config.json"), &c)
	if errors.Is(err, fs.ErrNotExist) {
		return FocalLarge(), nil
	}
	return c, err
}

// keep is choose for what layers multiply by; all else stays float32.
func keep(choose func(string, tensor.DType) tensor.DType) func(string, tensor.DType) tensor.DType {
	return func(name string, dt tensor.DType) tensor.DType {
		switch {
		case !strings.HasSuffix(name, ".weight"), strings.Contains(name, "embed"),
			strings.HasSuffix(name, "featured.weight"), strings.HasSuffix(name, "feat.weight"),
			strings.HasSuffix(name, "indicator.weight"):
			return tensor.Float32
		case choose == nil:
			return dt
		}
		return choose(name, dt)
	}
}

// Save writes the model to dir: config.json and model.safetensors, or shards of it, under the authors' names. Of o,
// DType, MaxShard and Metadata are used.
func Save(dir string, m *Model, o nn.SaveOptions) error {
	o.Rename = nil
	if err := nn.Save(m, dir, o); err != nil {
		return err
	}
	return atomicfile.WriteJSON(filepath.Join(dir, "config.json"), m.config)
}
