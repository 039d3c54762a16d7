package llava

import (
	"errors"
	"io/fs"
	"slices"
	"strconv"
	"strings"

	"github.com/gollava/gollava/nn"
	"github.com/gollava/gollava/vit"
)

// cut fits c to a vision tower of which a checkpoint holds only the layers that are looked at, and no pooling head:
// blocks above the selected one are required nowhere. LLaVA-OneVision's original checkpoints are such. Their program
// drops the last layer of SigLIP when it builds the tower, whatever mm_vision_select_layer says, and takes what the
// last of the others returns.
func (o LoadOptions) cut(c *Config, dir string, w *nn.Weights) error {
	if c.Second != nil {
		return nil // layers count from the end of both towers, which have to be whole
	}
	inside := w != nil && has(w, "vision_tower.")
	if !inside {
		var err error
		if w, err = nn.OpenWeights(c.TowerDir(dir)); errors.Is(err, fs.ErrNotExist) {
			return nil // which loading it will say
		} else if err != nil {
			return err
		}
		defer w.Close()
	}
	layers, head := 0, false
	for _, name := range w.Names() {
		if inside {
			name, _ = Canonical(name)
			name = strings.TrimPrefix(name, "vision_tower.")
		} else {
			name, _ = vit.Canonical(name)
		}
		head = head || strings.HasPrefix(name, "vision_model.head.")
		if tail, ok := strings.CutPrefix(name, "vision_model.encoder.layers."); ok {
			index, _, _ := strings.Cut(tail, ".")
			if i, err := strconv.Atoi(index); err == nil {
				layers = max(layers, i+1)
			}
		}
	}
	v := &c.Vision
	needed, err := c.Select.Indices(v.NumHiddenLayers)
	if err != nil || layers == 0 {
		return err
	}
	sigLIP := v.ModelType == "siglip_vision_model"
	if sigLIP && !head {
		v.UseHead = new(bool)
	}
	last := sigLIP && !head && inside && c.original && layers <= v.NumHiddenLayers
	if last {
		needed = []int{layers}
	}
	if !last && (layers >= v.NumHiddenLayers || layers < slices.Max(needed)) {
		return nil // nothing was cut, or loading names the layers that are missing
	}
	v.NumHiddenLayers, c.Select.Layers = layers, nil
	for _, n := range needed {
		if n > 0 {
			n -= layers + 1
		}
		c.Select.Layers = append(c.Select.Layers, n)
	}
	return nil
}
