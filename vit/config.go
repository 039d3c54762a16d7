package vit

import (
	"encoding/json"
	"fmt"
	"strings"
)

// VisionConfig describes a vision tower by the fields of transformers' CLIPVisionConfig, SiglipVisionConfig,
// Blip2VisionConfig, Dinov2Config or Dinov2WithRegistersConfig.
type VisionConfig struct {
	ModelType         string  `json:"model_type"` // clip_vision_model, siglip_vision_model, blip_2_vision_model, …
	HiddenSize        int     `json:"hidden_size"`
	IntermediateSize  int     `json:"intermediate_size"`
	NumHiddenLayers   int     `json:"num_hidden_layers"`
	NumAttentionHeads int     `json:"num_attention_heads"`
	NumChannels       int     `json:"num_channels"`
	ImageSize         int     `json:"image_size"`
	PatchSize         int     `json:"patch_size"`
	ProjectionDim     int     `json:"projection_dim,omitempty"`
	HiddenAct         string  `json:"hidden_act"`
	LayerNormEps      float64 `json:"layer_norm_eps"`
	AttentionDropout  float64 `json:"attention_dropout"`         // of training, which is done without any here
	UseHead           *bool   `json:"vision_use_head,omitempty"` // SigLIP's pooling head; default true
	QKVBias           *bool   `json:"qkv_bias,omitempty"`        // of EVA and DINOv2; default true

	MLPRatio     float64 `json:"mlp_ratio,omitempty"`           // DINOv2: IntermediateSize is this times HiddenSize
	Registers    int     `json:"num_register_tokens,omitempty"` // DINOv2
	LayerScale   float64 `json:"layerscale_value,omitempty"`    // DINOv2: what channels start multiplied with
	SwiGLU       bool    `json:"use_swiglu_ffn,omitempty"`      // DINOv2
	UseMaskToken *bool   `json:"use_mask_token,omitempty"`      // DINOv2; default true

	// PositionStd is the standard deviation that the position table starts with; 0: HiddenSize^−½ as OpenAI. A
	// departure for small towers, whose features else hold little of where things are.
	PositionStd float64 `json:"gollava_position_std,omitempty"`
}

// TextConfig describes a text tower by the fields of transformers' CLIPTextConfig.
type TextConfig struct {
	ModelType             string  `json:"model_type,omitempty"`
	VocabSize             int     `json:"vocab_size"`
	HiddenSize            int     `json:"hidden_size"`
	IntermediateSize      int     `json:"intermediate_size"`
	NumHiddenLayers       int     `json:"num_hidden_layers"`
	NumAttentionHeads     int     `json:"num_attention_heads"`
	MaxPositionEmbeddings int     `json:"max_position_embeddings"`
	HiddenAct             string  `json:"hidden_act"`
	LayerNormEps          float64 `json:"layer_norm_eps"`
	AttentionDropout      float64 `json:"attention_dropout"` // of training, which is done without any here
	BOS                   int     `json:"bos_token_id"`
	EOS                   int     `json:"eos_token_id"` // 2 (a mistake that lives on in old files): the row of the largest id is pooled
	PAD                   int     `json:"pad_token_id"`
	ProjectionDim         int     `json:"projection_dim,omitempty"`

	// TokenStd is the standard deviation that token embeddings start with; 0: 0.02 as OpenAI. A departure for small
	// towers.
	TokenStd float64 `json:"gollava_token_std,omitempty"`
}

// CLIPConfig describes both towers by the fields of transformers' CLIPConfig.
type CLIPConfig struct {
	ModelType      string       `json:"model_type"`
	Text           TextConfig   `json:"text_config"`
	Vision         VisionConfig `json:"vision_config"`
	ProjectionDim  int          `json:"projection_dim"`
	LogitScaleInit float64      `json:"logit_scale_init_value"`
}

// clipVisionDefaults are those of transformers' CLIPVisionConfig: files leave out what equals them.
func clipVisionDefaults() VisionConfig {
	return VisionConfig{ModelType: "clip_vision_model", HiddenSize: 768, IntermediateSize: 3072, NumHiddenLayers: 12,
		NumAttentionHeads: 12, NumChannels: 3,
		ImageSize: 224, PatchSize: 32, ProjectionDim: 512, HiddenAct: "quick_gelu", LayerNormEps: 1e-5}
}

func siglipVisionDefaults() VisionConfig {
	return VisionConfig{ModelType: "siglip_vision_model", HiddenSize: 768, IntermediateSize: 3072, NumHiddenLayers: 12,
		NumAttentionHeads: 12, NumChannels: 3,
		ImageSize: 224, PatchSize: 16, HiddenAct: "gelu_pytorch_tanh", LayerNormEps: 1e-6}
}

// evaVisionDefaults are those of transformers' Blip2VisionConfig: EVA-ViT-g without its last block.
func evaVisionDefaults(modelType string) VisionConfig {
	return VisionConfig{ModelType: modelType, HiddenSize: 1408, IntermediateSize: 6144, NumHiddenLayers: 39,
		NumAttentionHeads: 16, NumChannels: 3, ImageSize: 224, PatchSize: 14, HiddenAct: "gelu", LayerNormEps: 1e-6}
}

// dinoVisionDefaults are those of transformers' Dinov2Config and Dinov2WithRegistersConfig.
func dinoVisionDefaults(modelType string) VisionConfig {
	c := VisionConfig{ModelType: modelType, HiddenSize: 768, NumHiddenLayers: 12, NumAttentionHeads: 12, NumChannels: 3,
		ImageSize: 224, PatchSize: 14, HiddenAct: "gelu", LayerNormEps: 1e-6, MLPRatio: 4, LayerScale: 1}
	if modelType == "dinov2_with_registers" {
		c.PatchSize, c.Registers = 16, 4
	}
	return c
}

func clipTextDefaults() TextConfig {
	return TextConfig{ModelType: "clip_text_model", VocabSize: 49408, HiddenSize: 512, IntermediateSize: 2048,
		NumHiddenLayers: 12, NumAttentionHeads: 8,
		MaxPositionEmbeddings: 77, HiddenAct: "quick_gelu", LayerNormEps: 1e-5, BOS: 49406, EOS: 49407, PAD: 1,
		ProjectionDim: 512}
}

// UnmarshalJSON reads a vision config with the defaults of its family, and validates it.
func (c *VisionConfig) UnmarshalJSON(raw []byte) error {
	var head struct {
		ModelType string `json:"model_type"`
	}
	if err := json.Unmarshal(raw, &head); err != nil {
		return err
	}
	type plain VisionConfig
	var p plain
	switch head.ModelType {
	case "clip_vision_model", "":
		p = plain(clipVisionDefaults())
	case "siglip_vision_model":
		p = plain(siglipVisionDefaults())
	case "blip_2_vision_model", "instructblip_vision_model":
		p = plain(evaVisionDefaults(head.ModelType))
	case "dinov2", "dinov2_with_registers":
		p = plain(dinoVisionDefaults(head.ModelType))
	default:
		return fmt.Errorf("vision model_type %q is not supported (clip_vision_model, siglip_vision_model, "+
			"blip_2_vision_model, instructblip_vision_model, dinov2, dinov2_with_registers are)", head.ModelType)
	}
	if err := json.Unmarshal(raw, &p); err != nil {
		return err
	}
	if VisionConfig(p).dino() {
		if !(p.MLPRatio > 0 && p.MLPRatio < 1<<10) || p.HiddenSize < 0 || p.HiddenSize > 1<<20 || p.Registers < 0 ||
			p.Registers > 1<<16 {
			return fmt.Errorf("vision mlp_ratio %v and num_register_tokens %d are out of range", p.MLPRatio,
				p.Registers)
		}
		p.IntermediateSize = int(float64(p.HiddenSize) * p.MLPRatio)
	}
	*c = VisionConfig(p)
	return c.Validate()
}

// dino reports whether c is DINOv2's.
func (c VisionConfig) dino() bool { return strings.HasPrefix(c.ModelType, "dinov2") }

// UnmarshalJSON reads a text config with CLIP's defaults, and validates it.
func (c *TextConfig) UnmarshalJSON(raw []byte) error {
	type plain TextConfig
	p := plain(clipTextDefaults())
	if err := json.Unmarshal(raw, &p); err != nil {
		return err
	}
	*c = TextConfig(p)
	return c.Validate()
}

// UnmarshalJSON reads a CLIP config with its defaults, and validates it.
func (c *CLIPConfig) UnmarshalJSON(raw []byte) error {
	type plain CLIPConfig
	p := plain{ModelType: "clip", Text: clipTextDefaults(), Vision: clipVisionDefaults(), ProjectionDim: 512,
		LogitScaleInit: 2.6592}
	if err := json.Unmarshal(raw, &p); err != nil {
		return err
	}
	*c = CLIPConfig(p)
	if c.ModelType != "clip" {
		return fmt.Errorf("model_type %q is not clip", c.ModelType)
	}
	return c.Validate()
}

// Validate returns an error that names the first field that is wrong.
func (c *VisionConfig) Validate() error {
	if err := positive("vision", map[string]int{"hidden_size": c.HiddenSize, "intermediate_size": c.IntermediateSize,
		"num_hidden_layers":   c.NumHiddenLayers,
		"num_attention_heads": c.NumAttentionHeads, "num_channels": c.NumChannels, "image_size": c.ImageSize,
		"patch_size": c.PatchSize}); err != nil {
		return err
	}
	switch {
	case c.HiddenSize%c.NumAttentionHeads != 0:
		return fmt.Errorf("vision hidden_size %d is no multiple of num_attention_heads %d", c.HiddenSize,
			c.NumAttentionHeads)
	case c.ImageSize < c.PatchSize:
		return fmt.Errorf("image_size %d is below patch_size %d", c.ImageSize, c.PatchSize)
	case c.PositionStd < 0 || c.PositionStd > maxStd:
		return fmt.Errorf("gollava_position_std %v is out of range", c.PositionStd)
	case !(c.AttentionDropout >= 0 && c.AttentionDropout < 1):
		return fmt.Errorf("vision attention_dropout %v is outside [0, 1)", c.AttentionDropout)
	}
	_, err := activation(c.HiddenAct)
	return err
}

// Validate returns an error that names the first field that is wrong.
func (c *TextConfig) Validate() error {
	if err := positive("text", map[string]int{"hidden_size": c.HiddenSize, "intermediate_size": c.IntermediateSize,
		"num_hidden_layers":   c.NumHiddenLayers,
		"num_attention_heads": c.NumAttentionHeads, "vocab_size": c.VocabSize,
		"max_position_embeddings": c.MaxPositionEmbeddings}); err != nil {
		return err
	}
	switch {
	case c.HiddenSize%c.NumAttentionHeads != 0:
		return fmt.Errorf("text hidden_size %d is no multiple of num_attention_heads %d", c.HiddenSize,
			c.NumAttentionHeads)
	case c.TokenStd < 0 || c.TokenStd > maxStd:
		return fmt.Errorf("gollava_token_std %v is out of range", c.TokenStd)
	case !(c.AttentionDropout >= 0 && c.AttentionDropout < 1):
		return fmt.Errorf("text attention_dropout %v is outside [0, 1)", c.AttentionDropout)
	}
	_, err := activation(c.HiddenAct)
	return err
}

// Validate returns an error that names the first field that is wrong.
func (c *CLIPConfig) Validate() error {
	if err := positive("clip", map[string]int{"projection_dim": c.ProjectionDim}); err != nil {
		return err
	}
	if err := c.Vision.Validate(); err != nil {
		return err
	}
	return c.Text.Validate()
}

// limits of what configs may ask for, far above any real model: a hostile file must not exhaust the memory or overflow
// a size.
var limits = map[string]int{"num_hidden_layers": 1 << 12, "image_size": 1 << 14, "patch_size": 1 << 14,
	"num_channels": 1 << 10, "vocab_size": 1 << 26}

// maxStd is far above any sensible start of a table.
const maxStd = 1000

func positive(what string, fields map[string]int) error {
	var bad []string
	for name, v := range fields {
		limit, ok := limits[name]
		if !ok {
			limit = 1 << 20
		}
		if v <= 0 || v > limit {
			bad = append(bad, fmt.Sprintf("%s %d", name, v))
		}
	}
	if len(bad) > 0 {
		return fmt.Errorf("%s config: out of range: %s", what, strings.Join(sorted(bad), ", "))
	}
	return nil
}
