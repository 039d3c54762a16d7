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
	return t, fill(dir, t, o)
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
	return m, fill(dir, m, o)
}

// Fit tells what [Load], [LoadCLIP] or [LoadCLIPText] would do with the weights in dir for m, a [Tower], [*CLIP] or
// [*CLIPText], without reading a tensor: see [nn.Fit].
func Fit(m any, dir string) (dtypes map[string]string, err error) {
	err = translated(dir, m, false, func(w *nn.Weights, rename func(string) string) error {
		dtypes, err = nn.Fit(m, w, nn.LoadOptions{Rename: rename})
		return err
	})
	return dtypes, err
}

func fill(dir string, m any, o nn.LoadOptions) error {
	return translated(dir, m, o.Alias, func(w *nn.Weights, rename func(string) string) error {
		return nn.Load(m, w, nn.LoadOptions{Rename: rename, DType: Keep(o.DType), Alias: o.Alias, Device: o.Device})
	})
}

// translated opens the weights in dir, gives them the names and shapes of transformers, and says which are m's.
func translated(dir string, m any, alias bool, use func(w *nn.Weights, rename func(string) string) error) error {
	return nn.WithWeights(dir, alias, func(w *nn.Weights) error {
		if err := fromOpenAI(w); err != nil {
			return err
		}
		if t, ok := m.(Tower); ok {
			if err := fromTimm(w, t.Config()); err != nil {
				return err
			}
		}
		return use(w, func(name string) string { return parameter(m, name) })
	})
}

// parameter is what m, a [Tower], [*CLIP] or [*CLIPText], calls a tensor of transformers' files; "" for what is none of
// its parameters.
func parameter(m any, name string) string {
	if text, ok := m.(*CLIPText); ok {
		return text.parameter(name)
	}
	name, ok := Canonical(name)
	_, alone := m.(Tower)
	if !ok || alone && !strings.HasPrefix(name, "vision_model.") && partOfWhole(name) {
		return ""
	}
	if _, bare := m.(*EVAVision); bare {
		return strings.TrimPrefix(name, "vision_model.")
	}
	return name
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
