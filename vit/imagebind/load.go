package imagebind

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"github.com/gollava/gollava/internal/atomicfile"
	"github.com/gollava/gollava/internal/jsonfile"
	"github.com/gollava/gollava/nn"
	"github.com/gollava/gollava/tensor"
)

// mask is a buffer that checkpoints hold: −∞ above the diagonal.
const mask = "modality_preprocessors.text.mask"

// Load reads a checkpoint: the authors' imagebind_huge.pth, or a folder with weights under their names and, for other
// sizes than [Huge], a config.json. A checkpoint may lack whole modalities. Of o, DType, Alias and Device are used.
// Errors name the file, and list all tensors that are missing, unexpected or misshapen.
func Load(path string, o nn.LoadOptions) (*Model, error) {
	c, err := readConfig(path)
	if err != nil {
		return nil, err
	}
	var m *Model
	err = nn.WithWeights(path, o.Alias, func(w *nn.Weights) error {
		if c.Modalities == nil {
			if c.Modalities = stored(w); len(c.Modalities) == 0 {
				return fmt.Errorf("%s: holds no tower of an ImageBind: no tensor is below modality_trunks", path)
			}
		}
		if m, err = New(nil, c); err != nil {
			return err
		}
		return nn.Load(m, w, nn.LoadOptions{Ignore: []string{mask}, DType: keep(o.DType), Alias: o.Alias,
			Device: o.Device})
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
		return Huge(), nil
	}
	return c, err
}

// stored are the modalities whose trunks a checkpoint holds.
func stored(w *nn.Weights) []Modality {
	names := w.Names()
	return slices.DeleteFunc(slices.Clone(Modalities), func(m Modality) bool {
		return !slices.ContainsFunc(names, func(n string) bool {
			return strings.HasPrefix(n, "modality_trunks."+string(m)+".")
		})
	})
}

// keep is choose, but what is added or cut apart, not multiplied, stays float32.
func keep(choose func(string, tensor.DType) tensor.DType) func(string, tensor.DType) tensor.DType {
	return func(name string, dt tensor.DType) tensor.DType {
		switch last := name[strings.LastIndexByte(name, '.')+1:]; last {
		case "pos_embed", "cls_token", "in_proj_weight", "bias_k", "bias_v":
			return tensor.Float32
		}
		if choose == nil {
			return dt
		}
		return choose(name, dt)
	}
}

// Save writes the model to dir: config.json and model.safetensors, or shards of it, under the authors' names, without
// the buffer of the text's mask. Of o, DType, MaxShard and Metadata are used.
func Save(dir string, m *Model, o nn.SaveOptions) error {
	o.Rename = nil
	if err := nn.Save(m, dir, o); err != nil {
		return err
	}
	return atomicfile.WriteJSON(filepath.Join(dir, "config.json"), m.config)
}
