package vit

import (
	"encoding/json"
	"io"
	"path/filepath"
	"strings"

	"github.com/gollava/gollava/internal/atomicfile"
	"github.com/gollava/gollava/nn"
	"github.com/gollava/gollava/tensor"
)

// Save writes a tower to dir as transformers 4 and 5 load it: config.json and model.safetensors, or shards of it. Of o,
// DType, MaxShard and Metadata are used.
func Save(dir string, t Tower, o nn.SaveOptions) error {
	arch := "CLIPVisionModel"
	switch t.(type) {
	case *SigLIPVision:
		arch = "SiglipVisionModel"
	case *EVAVision:
		arch = "Blip2VisionModel"
	case *DINOv2:
		if arch = "Dinov2Model"; t.Config().Registers > 0 {
			arch = "Dinov2WithRegistersModel"
		}
	}
	return save(dir, t, t.Config(), arch, o)
}

// SaveCLIP writes both towers of a CLIP to dir as transformers loads them; see [Save].
func SaveCLIP(dir string, m *CLIP, o nn.SaveOptions) error {
	return save(dir, m, m.config, "CLIPModel", o)
}

func save(dir string, m, c any, arch string, o nn.SaveOptions) error {
	o.Rename = nil
	if _, ok := m.(*DINOv2); ok { // transformers names them so in the program and in its files
		o.Rename = func(name string) string { return strings.TrimPrefix(name, "vision_model.") }
	}
	if err := nn.Save(m, dir, o); err != nil {
		return err
	}
	raw, err := json.Marshal(c)
	if err != nil {
		return err
	}
	var fields map[string]any
	if err := json.Unmarshal(raw, &fields); err != nil {
		return err
	}
	fields["architectures"], fields["torch_dtype"] = []string{arch}, storedType(m, o)
	raw, err = json.MarshalIndent(fields, "", "  ")
	if err != nil {
		return err
	}
	return atomicfile.Write(filepath.Join(dir, "config.json"), func(w io.Writer) error {
		_, err := w.Write(append(raw, '\n'))
		return err
	})
}

// storedType is torch_dtype of what o writes: bfloat16 where any parameter is.
func storedType(m any, o nn.SaveOptions) string {
	for name, p := range nn.Params(m) {
		dt := p.DType()
		if o.DType != nil {
			dt = o.DType(name, dt)
		}
		if dt == tensor.BFloat16 {
			return "bfloat16"
		}
	}
	return "float32"
}
