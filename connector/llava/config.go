package llava

import (
	"fmt"
	"path/filepath"

	"github.com/gollava/gollava/data/imaging"
	"github.com/gollava/gollava/llm"
	"github.com/gollava/gollava/vit"
)

// Config describes a LLaVA. It reads config.json of transformers' LlavaForConditionalGeneration and
// LlavaNextForConditionalGeneration and of the original LLaVA, and writes either.
type Config struct {
	Text      llm.Config
	Vision    vit.VisionConfig
	Kind      string     // model_type of the Hub's layout: a constant here; "": LLaVA, or LLaVANext with Canvases
	Projector string     // linear, mlpNx_gelu, mlpNx_linear, fused-gelu-mlp, identity: see [Projector]
	NoBias    bool       // Linears without bias (multimodal_projector_bias false)
	NormEps   float64    // ViP-LLaVA: of the LayerNorm before the projector (projector_layernorm_eps); 0: there is none
	Select    vit.Select // which vision features
	Scales    []int      // S² (s2_scales): look at each image in these sizes, see [vit.S2Features]; nil: in the tower's
	// Second is a second tower, see [Connector].SecondTower; nil: there is none
	Second *vit.VisionConfig

	Image int    // id that stands for one feature in expanded ids (image_token_index)
	Video *Video // how frames become tokens; nil: the model takes no videos

	Canvases    []imaging.Size // LLaVA-NeXT's image_grid_pinpoints; nil: one view per picture
	MaxTiles    int            // anyres_max_N; 0: none
	Aspect      string         // image_aspect_ratio: square, pad, anyres
	MaxLength   int            // tokens kept after the splice (tokenizer_model_max_length); 0: all
	PaddingSide string         // right or left
	Marks       bool           // mm_use_im_start_end: <im_start> and <im_end> stand around pictures in the text
	Tower       string         // mm_vision_tower of the original layout: where the tower's own folder is
	SecondTower string         // the second of mm_vision_tower_aux_list: the same of the second tower

	// of conversations, a name of package chat; "": what the language model's family uses. Kept in config.json under
	// "gollava"
	Template string

	System *string // the template's system text; nil: as published. Kept beside Template

	// Departures from LLaVA, for small models; zero values are LLaVA's own connector. They are kept in config.json
	// under "gollava".
	Merge   int     // lay k×k neighbouring features side by side before projecting; 0 or 1: none
	Gain    float64 // the projector's last layer starts this many times larger; 0 or 1: as PyTorch
	SlotStd float64 // add a learnt vector to each of a picture's tokens, started with this deviation; 0: none

	original  bool   // read from the original layout
	tower     bool   // vision described here rather than in the tower's folder
	pinpoints string // grids of the original layout until the size of a view is known
	eos       []int  // of generation_config.json or the whole model's config.json; nil: Text's
	pad       *int   // the same
	near      string // the tower, seen from the checkpoint's folder
	nearby    string // the second tower, the same

	pixels     *imaging.Processor // of an mmproj in GGUF; nil: see processor
	generation llm.Generation     // what generation_config.json says
}

// Kinds of models, by model_type of the Hub's config.json.
const (
	LLaVA      = "llava"
	LLaVANext  = "llava_next"
	NextVideo  = "llava_next_video" // LLaVA-NeXT-Video: images as LLaVANext, pooled frames
	OneVision  = "llava_onevision"  // LLaVA-OneVision: SigLIP, tiles that are shrunk, several images, videos
	ViPLLaVA   = "vipllava"         // ViP-LLaVA: features of several layers
	VideoLLaVA = "video_llava"      // Video-LLaVA: a tower for images and one for videos
)

// kind is the model_type of the Hub's layout.
func (c *Config) kind() string {
	switch {
	case c.Kind != "":
		return c.Kind
	case c.original && c.alone():
		return OneVision
	case c.Next():
		return LLaVANext
	}
	return LLaVA
}

// alone reports whether only an image that is alone in its sample is shown as tiles.
func (c *Config) alone() bool {
	return c.Next() && (c.Kind == OneVision || c.original && c.MaxTiles > 0)
}

// Next reports whether pictures are shown as tiles, as LLaVA-NeXT does.
func (c Config) Next() bool { return len(c.Canvases) > 0 }

// FeaturesPerView is the number of tokens that one view becomes.
func (c Config) FeaturesPerView() int {
	g := c.grid()
	if k := max(c.Merge, 1); c.Select.Class != "cls_patch" || !c.hasClass() {
		return g * g / (k * k)
	}
	return g*g + 1
}

// patches is the number of patches of a view.
func (c Config) patches() int {
	g := c.grid()
	return g * g
}

// grid is the number of patches along a side of a view.
func (c Config) grid() int {
	v := c.lead()
	return v.ImageSize / v.PatchSize
}

// featureWidth is the width of the features that the projector takes, before it merges patches.
func (c Config) featureWidth() int {
	width := c.Vision.HiddenSize
	if c.Second != nil {
		width += c.Second.HiddenSize
	}
	return max(len(c.Scales), 1) * len(c.Select.Layers) * width
}

// side is the width and height of the views that the model looks at.
func (c Config) side() int {
	if n := len(c.Scales); n > 0 {
		return c.Scales[n-1]
	}
	return c.lead().ImageSize
}

// hasClass reports whether the tower has a class token.
func (c Config) hasClass() bool { return c.Vision.ModelType != "siglip_vision_model" }

// TowerDir is where the original layout keeps the vision tower of a model in dir.
func (c Config) TowerDir(dir string) string { return within(dir, c.Tower) }

// SecondTowerDir is where it keeps the second tower; "" if there is none.
func (c Config) SecondTowerDir(dir string) string {
	if c.SecondTower == "" {
		return ""
	}
	return within(dir, c.SecondTower)
}

// within is path seen from dir.
func within(dir, path string) string {
	if filepath.IsAbs(path) {
		return path
	}
	return filepath.Join(dir, path)
}

// AnyRes is the tiling of [Config.Canvases].
func (c Config) AnyRes() imaging.AnyRes {
	return imaging.AnyRes{Canvases: c.Canvases, Tile: c.Vision.ImageSize, Side: c.Vision.ImageSize / c.Vision.PatchSize,
		Max: c.MaxTiles, HF: !c.original}
}

// validateScales holds S² against what the tower can be shown and the other fields.
func (c Config) validateScales() error {
	if c.Scales == nil {
		return nil
	}
	if err := vit.CheckScales(c.Vision, c.Scales); err != nil {
		return err
	}
	if c.Next() || c.Video != nil || c.Kind != "" && c.Kind != LLaVA || c.hasClass() && c.Select.Class != "patch" {
		return fmt.Errorf("s2_scales %v: scales are for images of one view, without the class token and without tiles",
			c.Scales)
	}
	return nil
}

// Validate returns an error that names the first field that is wrong.
func (c Config) Validate() error {
	if err := c.Text.Validate(); err != nil {
		return err
	}
	if err := c.Vision.Validate(); err != nil {
		return err
	}
	if _, err := depth(c.Projector); err != nil {
		return err
	}
	if _, err := c.Select.Indices(c.Vision.NumHiddenLayers); err != nil {
		return err
	}
	if c.Select.Class != "patch" && c.Select.Class != "cls_patch" {
		return fmt.Errorf("mm_vision_select_feature %q is neither patch nor cls_patch", c.Select.Class)
	}
	if err := c.Video.validate(); err != nil {
		return err
	}
	if err := c.validateScales(); err != nil {
		return err
	}
	if err := c.validateSecond(); err != nil {
		return err
	}
	g := c.grid()
	switch v := c.Video; {
	case !(c.NormEps >= 0 && c.NormEps < 1):
		return fmt.Errorf("projector_layernorm_eps %v is out of range", c.NormEps)
	case v != nil && v.Pool != "" && v.side(g) < 1:
		return fmt.Errorf("spatial_pool_stride %d leaves nothing of %d×%d patches", v.Stride, g, g)
	case v != nil && (v.Pool != "" || v.Newline == "grid") &&
		(c.Merge > 1 || c.SlotStd > 0 || c.FeaturesPerView() != g*g):
		return fmt.Errorf("pooled frames need every patch and no class token: merge %d, slot_std %v, feature "+
			"selection %q", c.Merge, c.SlotStd, c.Select.Class)
	case v != nil && v.Pool == "conv" && len(c.Select.Layers) > 1:
		return fmt.Errorf("spatial_pool_mode conv needs one vision_feature_layer, not %v", c.Select.Layers)
	case v != nil && v.Newline != "no_token" && !c.Next():
		return fmt.Errorf("mm_newline_position %q needs tiles, which the newline belongs to", v.Newline)
	case c.Kind == VideoLLaVA && (c.Next() || !c.hasClass() || len(c.Select.Layers) > 1):
		return fmt.Errorf("model_type %s needs two CLIP towers and one vision_feature_layer", c.Kind)
	}
	if c.Merge < 0 || c.Gain < 0 || c.SlotStd < 0 {
		return fmt.Errorf("gollava: merge %d, gain %v and slot_std %v must not be negative", c.Merge, c.Gain, c.SlotStd)
	}
	if c.Merge > 1 && (g%c.Merge != 0 || c.FeaturesPerView()*c.Merge*c.Merge != g*g) {
		return fmt.Errorf("gollava: merge %d needs %d×%d patches in whole blocks, without the class token", c.Merge, g,
			g)
	}
	if c.Next() && (c.Merge > 1 || c.SlotStd > 0 || c.FeaturesPerView() != g*g) {
		return fmt.Errorf("pictures in tiles need every patch and no class token: merge %d, slot_std %v, feature "+
			"selection %q", c.Merge, c.SlotStd, c.Select.Class)
	}
	if c.PaddingSide != "" && c.PaddingSide != "left" && c.PaddingSide != "right" {
		return fmt.Errorf("tokenizer_padding_side %q is neither left nor right", c.PaddingSide)
	}
	if c.Next() {
		return c.AnyRes().Validate()
	}
	return nil
}
