package llava

import (
	"encoding/json"
	"fmt"
	"strings"

	"github.com/gollava/gollava/llm"
)

// MarshalJSON writes config.json of transformers' LlavaForConditionalGeneration, or of
// LlavaNextForConditionalGeneration where pictures are shown as tiles, in the spelling that versions 4 and 5 read. It
// returns an error for what that layout cannot express.
func (c Config) MarshalJSON() ([]byte, error) {
	f, err := c.hub()
	if err != nil {
		return nil, err
	}
	return json.Marshal(f)
}

// hub is the Hub's config.json.
func (c *Config) hub() (map[string]any, error) {
	act, ok := strings.CutPrefix(c.Projector, "mlp2x_")
	switch {
	case c.Second != nil:
		return nil, fmt.Errorf("config: the Hub's layout does not know two vision towers: save in the original layout")
	case !ok:
		return nil, fmt.Errorf("config: the Hub's layout has no name for mm_projector_type %q: it knows mlp2x_gelu "+
			"and mlp2x_linear; save in the original layout", c.Projector)
	case c.Marks:
		return nil,
			fmt.Errorf("config: the Hub's layout does not know mm_use_im_start_end: save in the original layout")
	}
	if c.Vision.Registers > 0 {
		return nil, fmt.Errorf("config: in the Hub's layout the %d registers of a %s would be taken for patches: save "+
			"in the original layout", c.Vision.Registers, c.Vision.ModelType)
	}
	if c.Scales != nil {
		return nil, fmt.Errorf("config: the Hub's layout does not know s2_scales: save in the original layout")
	}
	text, err := fields(c.Text)
	if err != nil {
		return nil, err
	}
	vision, err := fields(c.Vision)
	if err != nil {
		return nil, err
	}
	f := map[string]any{"text_config": text, "vision_config": vision,
		"image_token_index": c.Image, "projector_hidden_act": act, "multimodal_projector_bias": !c.NoBias,
		"vision_feature_layer":           c.Select.Layers,
		"vision_feature_select_strategy": "default", "image_seq_length": c.FeaturesPerView(),
		"tie_word_embeddings": c.Text.TieWordEmbeddings,
		"torch_dtype":         text["torch_dtype"]}
	if len(c.Select.Layers) == 1 {
		f["vision_feature_layer"] = c.Select.Layers[0]
	}
	if c.Select.Class == "cls_patch" || !c.hasClass() {
		f["vision_feature_select_strategy"] = "full"
	}
	if err := c.putKind(f); err != nil {
		return nil, err
	}
	for _, k := range []string{"bos_token_id", "eos_token_id", "pad_token_id"} {
		f[k] = text[k]
	}
	if c.eos != nil {
		if f["eos_token_id"] = any(c.eos); len(c.eos) == 1 {
			f["eos_token_id"] = c.eos[0]
		}
	}
	if c.pad != nil {
		f["pad_token_id"] = *c.pad
	}
	c.putDepartures(f)
	return f, nil
}

// originalConfig is the original repository's config.json: that of the language model, and fields of LLaVA's. Where
// these say what LLaVA's own code does not know, as mm_projector_type mlp2x_linear, it refuses the folder by name, and
// this package reads it.
func (c *Config) originalConfig() (map[string]any, error) {
	f, err := fields(c.Text)
	if err != nil {
		return nil, err
	}
	family, ok := llm.Lookup(c.Text.ModelType)
	if !ok || family.LLaVA == "" {
		return nil, fmt.Errorf("config: the original layout has no name for model_type %q", c.Text.ModelType)
	}
	f["model_type"], f["architectures"] = family.LLaVA, []string{family.LLaVAArchitecture}
	class, aspect, side := c.Select.Class, c.Aspect, c.PaddingSide
	if !c.hasClass() {
		class = "patch"
	}
	if aspect == "" {
		aspect = "square"
	}
	if side == "" {
		side = "right"
	}
	for k, v := range map[string]any{"mm_vision_tower": c.Tower,
		"mm_hidden_size":    c.featureWidth() * max(c.Merge, 1) * max(c.Merge, 1),
		"mm_projector_type": c.Projector, "mm_vision_select_layer": c.Select.Layers[0],
		"mm_vision_select_feature": class, "mm_use_im_start_end": c.Marks,
		"mm_use_im_patch_token": false, "image_aspect_ratio": aspect, "tokenizer_padding_side": side,
		"use_mm_proj":         true,
		"tune_mm_mlp_adapter": false, "freeze_mm_mlp_adapter": false} {
		f[k] = v
	}
	switch {
	case c.NoBias:
		return nil, fmt.Errorf("config: the original layout has no projector without bias")
	case c.Kind == ViPLLaVA || c.Kind == VideoLLaVA:
		return nil, fmt.Errorf("config: the original layout has no name for a model of type %s: save in the Hub's "+
			"layout", c.Kind)
	case len(c.Select.Layers) > 1:
		return nil,
			fmt.Errorf("config: the original layout has one mm_vision_select_layer, not %v: save in the Hub's layout",
				c.Select.Layers)
	}
	if c.MaxLength > 0 {
		f["tokenizer_model_max_length"] = c.MaxLength
	}
	if c.Next() {
		pairs := [][2]int{}
		for _, s := range c.Canvases {
			pairs = append(pairs, [2]int{s.W, s.H})
		}
		f["mm_patch_merge_type"], f["image_grid_pinpoints"], f["image_aspect_ratio"] = "spatial_unpad", pairs, "anyres"
		if c.MaxTiles > 0 {
			f["image_aspect_ratio"] = fmt.Sprintf("anyres_max_%d", c.MaxTiles)
		}
	}
	if c.Scales != nil {
		f["s2"], f["s2_scales"] = true, strings.Trim(strings.ReplaceAll(fmt.Sprint(c.Scales), " ", ","), "[]")
	}
	if c.Second != nil {
		f["mm_vision_tower_aux_list"] = []string{c.Tower, c.SecondTower}
	}
	if v := c.Video; v != nil {
		f["mm_spatial_pool_mode"], f["mm_spatial_pool_stride"], f["mm_newline_position"] = v.Pool, v.Stride, v.Newline
		if v.Early {
			f["mm_resampler_type"] = spatialPool
		}
	}
	c.putDepartures(f)
	return f, nil
}

func (c *Config) putDepartures(f map[string]any) {
	d := departures{c.Merge, c.Gain, c.SlotStd, c.near, c.nearby, c.Template, c.System}
	if d.Merge <= 1 {
		d.Merge = 0
	}
	if d != (departures{}) {
		f["gollava"] = d
	}
}

// fields are v's as JSON has them.
func fields(v any) (map[string]any, error) {
	raw, err := json.Marshal(v)
	if err != nil {
		return nil, err
	}
	var f map[string]any
	return f, json.Unmarshal(raw, &f)
}
