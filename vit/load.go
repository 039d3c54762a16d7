package vit

import (
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
)

// ReadVisionConfig reads dir/config.json of a vision tower, or the vision part of a whole CLIP or SigLIP. Its errors name the file and the field.
func ReadVisionConfig(dir string) (VisionConfig, error) {
	path := filepath.Join(dir, "config.json")
	raw, err := os.ReadFile(path)
	if err != nil {
		return VisionConfig{}, err
	}
	var both struct {
		ModelType string          `json:"model_type"`
		Vision    json.RawMessage `json:"vision_config"`
	}
	if err := json.Unmarshal(raw, &both); err != nil {
		return VisionConfig{}, fmt.Errorf("%s: %w", path, err)
	}
	if both.Vision != nil {
		raw = both.Vision
	}
	var c VisionConfig
	if err := json.Unmarshal(raw, &c); err != nil {
		return VisionConfig{}, fmt.Errorf("%s: %w", path, err)
	}
	if both.ModelType == "siglip" && c.ModelType == "clip_vision_model" {
		return VisionConfig{}, fmt.Errorf("%s: vision_config: model_type is missing", path)
	}
	return c, nil
}
