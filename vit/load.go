package vit

import (
	"encoding/json"
	"fmt"
	"path/filepath"
	"strings"

	"github.com/gollava/gollava/internal/jsonfile"
	"github.com/gollava/gollava/nn"
	"github.com/gollava/gollava/tensor"
)

// ReadVisionConfig reads dir/config.json of a vision tower, timm's included, or the vision part of a whole CLIP, SigLIP
// or BLIP-2. Its errors name the file and the field.
func ReadVisionConfig(dir string) (VisionConfig, error) {
	path := filepath.Join(dir, "config.json")
	raw, err := jsonfile.Bytes(path, jsonfile.Max)
	if err != nil {
		return VisionConfig{}, err
	}
	var both struct {
		ModelType    string          `json:"model_type"`
		Vision       json.RawMessage `json:"vision_config"`
		Architecture string          `json:"architecture"` // timm's
	}
	if err := jsonfile.Unmarshal(raw, &both); err != nil {
		return VisionConfig{}, fmt.Errorf("%s: %w", path, err)
	}
	if both.Architecture != "" && both.ModelType == "" {
		c, err := timmConfig(raw)
		if err != nil {
			err = fmt.Errorf("%s: %w", path, err)
		}
		return c, err
	}
	if !jsonfile.IsNull(both.Vision) {
		raw = both.Vision
	}
	var c VisionConfig
	if err := jsonfile.Unmarshal(raw, &c); err != nil {
		return VisionConfig{}, fmt.Errorf("%s: %w", path, err)
	}
	if both.ModelType == "siglip" && c.ModelType == "clip_vision_model" {
		return VisionConfig{}, fmt.Errorf("%s: vision_config: model_type is missing", path)
	}
	return c, nil
}

// ReadCLIPConfig reads dir/config.json of a whole CLIP. Its errors name the file and the field.
func ReadCLIPConfig(dir string) (CLIPConfig, error) {
	var c CLIPConfig
	if err := jsonfile.Read(filepath.Join(dir, "config.json"), &c); err != nil {
		return CLIPConfig{}, err
	}
	return c, nil
}

// Load reads the vision tower in dir: a tower of its own, as transformers 4 or 5 or timm writes it (see [TimmConfig]),
// or that of a whole CLIP, SigLIP or BLIP-2, OpenAI's names included. Of o, DType and Alias are used. Its errors name
// the file, and list all tensors that are missing, unexpected or misshapen.
func Load(dir string, o nn.LoadOptions) (Tower, error) {
	c, err := ReadVisionConfig(dir)
	if err != nil {
		return nil, err
	}
	return LoadAs(c, dir, o)
}

// LoadAs reads the weights in dir into the tower that c describes; see [Load].
func LoadAs(c VisionConfig, dir string, o nn.LoadOptions) (Tower, error) {
	t, err := New(nil, c)
	if err != nil {
		return nil, err
	}
	return t, fill(dir, t, c, o, func(name string) string {
		name, ok := Canonical(name)
		if !ok || !strings.HasPrefix(name, "vision_model.") && partOfWhole(name) {
			return ""
		}
		if _, bare := t.(*EVAVision); bare {
			name = strings.TrimPrefix(name, "vision_model.")
		}
		return name
	})
}

// LoadCLIP reads both towers of a CLIP in dir, as transformers or OpenAI names them; see [Load].
func LoadCLIP(dir string, o nn.LoadOptions) (*CLIP, error) {
	c, err := ReadCLIPConfig(dir)
	if err != nil {
		return nil, err
	}
	m, err := NewCLIP(nil, c)
	if err != nil {
		return nil, err
	}
	return m, fill(dir, m, c.Vision, o, func(name string) string {
		if name, ok := Canonical(name); ok {
			return name
		}
		return ""
	})
}

func fill(dir string, m any, c VisionConfig, o nn.LoadOptions, rename func(string) string) error {
	return nn.WithWeights(dir, o.Alias, func(w *nn.Weights) error {
		if err := fromOpenAI(w); err != nil {
			return err
		}
		if err := fromTimm(w, c); err != nil {
			return err
		}
		return nn.Load(m, w, nn.LoadOptions{Rename: rename, DType: Keep(o.DType), Alias: o.Alias, Device: o.Device})
	})
}

// Keep wraps a choice of dtypes ([nn.LoadOptions]) so that tables that are added, not multiplied, stay float32:
// positions and the pooling head's probe.
func Keep(choose func(string, tensor.DType) tensor.DType) func(string, tensor.DType) tensor.DType {
	return func(name string, stored tensor.DType) tensor.DType {
		switch {
		case strings.HasSuffix(name, "position_embedding.weight"),
			strings.HasSuffix(name, "embeddings.position_embeddings"), strings.HasSuffix(name, "head.probe"),
			strings.HasSuffix(name, "in_proj_weight"),
			strings.HasSuffix(name, "position_embedding"), strings.HasSuffix(name, "class_embedding"):
			return tensor.Float32
		case choose == nil:
			return stored
		}
		return choose(name, stored)
	}
}
