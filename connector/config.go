package connector

import (
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"regexp"

	"github.com/gollava/gollava/data/imaging"
	"github.com/gollava/gollava/llm"
	"github.com/gollava/gollava/vit"
)

// Config describes a vision-language model. It reads config.json of transformers' LlavaForConditionalGeneration and
// LlavaNextForConditionalGeneration and of the original LLaVA, and writes either.
type Config struct {
	Text      llm.Config
	Vision    vit.VisionConfig
	Projector string     // linear, mlpNx_gelu, identity
	NoBias    bool       // Linears without bias (multimodal_projector_bias false)
	Select    vit.Select // which vision features
	Image     int        // id that stands for one feature in expanded ids (image_token_index)

	Canvases    []imaging.Size // LLaVA-NeXT's image_grid_pinpoints; nil: one view per picture
	MaxTiles    int            // anyres_max_N; 0: none
	Aspect      string         // image_aspect_ratio: square, pad, anyres
	MaxLength   int            // tokens kept after the splice (tokenizer_model_max_length); 0: all
	PaddingSide string         // right or left
	Tower       string         // mm_vision_tower of the original layout: where the tower's own folder is

	// Departures from LLaVA, for small models; zero values are LLaVA's own connector. They are kept in config.json under "gollava".
	Merge   int     // lay k×k neighbouring features side by side before projecting; 0 or 1: none
	Gain    float64 // the projector's last layer starts this many times larger; 0 or 1: as PyTorch
	SlotStd float64 // add a learnt vector to each of a picture's tokens, started with this deviation; 0: none

	original bool // read from the original layout
	tower    bool // vision described here rather than in the tower's folder
}

// Next reports whether pictures are shown as tiles, as LLaVA-NeXT does.
func (c *Config) Next() bool { return len(c.Canvases) > 0 }

// FeaturesPerView is the number of tokens that one view becomes.
func (c *Config) FeaturesPerView() int {
	g := c.Vision.ImageSize / c.Vision.PatchSize
	if k := max(c.Merge, 1); c.Select.Class != "cls_patch" {
		return g * g / (k * k)
	}
	return g*g + 1
}

// AnyRes is the tiling of [Config.Canvases].
func (c *Config) AnyRes() imaging.AnyRes {
	return imaging.AnyRes{Canvases: c.Canvases, Tile: c.Vision.ImageSize, Side: c.Vision.ImageSize / c.Vision.PatchSize, Max: c.MaxTiles, HF: !c.original}
}

// departures is what Config adds to the reference's fields.
type departures struct {
	Merge   int     `json:"merge,omitempty"`
	Gain    float64 `json:"gain,omitempty"`
	SlotStd float64 `json:"slot_std,omitempty"`
}

// hubFile is config.json of transformers.
type hubFile struct {
	Architectures  []string          `json:"architectures,omitempty"`
	ModelType      string            `json:"model_type"`
	Text           json.RawMessage   `json:"text_config"`
	Vision         json.RawMessage   `json:"vision_config"`
	ImageToken     *int              `json:"image_token_index,omitempty"`
	ImageTokenID   *int              `json:"image_token_id,omitempty"`
	Act            string            `json:"projector_hidden_act,omitempty"`
	Strategy       string            `json:"vision_feature_select_strategy,omitempty"`
	Layer          json.RawMessage   `json:"vision_feature_layer,omitempty"`
	Bias           *bool             `json:"multimodal_projector_bias,omitempty"`
	Pinpoints      [][2]int          `json:"image_grid_pinpoints,omitempty"` // (height, width)
	ImageSeqLength int               `json:"image_seq_length,omitempty"`
	TorchDType     string            `json:"torch_dtype,omitempty"`
	Tie            bool              `json:"tie_word_embeddings"`
	Departures     *departures       `json:"gollava,omitempty"`
	EOS            json.RawMessage   `json:"eos_token_id,omitempty"`
	PAD            *int              `json:"pad_token_id,omitempty"`
	Extra          map[string]string `json:"-"`
}

// originalFile holds the fields that LLaVA adds to its language model's config.json.
type originalFile struct {
	ModelType     string          `json:"model_type"`
	Tower         string          `json:"mm_vision_tower"`
	HiddenSize    int             `json:"mm_hidden_size"`
	Projector     string          `json:"mm_projector_type"`
	Layer         *int            `json:"mm_vision_select_layer"`
	Feature       string          `json:"mm_vision_select_feature"`
	Aspect        string          `json:"image_aspect_ratio"`
	MergeType     string          `json:"mm_patch_merge_type"`
	Pinpoints     json.RawMessage `json:"image_grid_pinpoints"`
	MaxLength     int             `json:"tokenizer_model_max_length"`
	PaddingSide   string          `json:"tokenizer_padding_side"`
	Vision        json.RawMessage `json:"vision_config"`
	S2            bool            `json:"s2"`
	StartEnd      bool            `json:"mm_use_im_start_end"`
	UsePatchToken bool            `json:"mm_use_im_patch_token"`
}

// ReadConfig reads dir/config.json, and for the original layout that of the vision tower beside it. Its errors name the file and the field.
func ReadConfig(dir string) (Config, error) {
	path := filepath.Join(dir, "config.json")
	raw, err := os.ReadFile(path)
	if err != nil {
		return Config{}, err
	}
	var c Config
	if err := json.Unmarshal(raw, &c); err != nil {
		return Config{}, fmt.Errorf("%s: %w", path, err)
	}
	if c.original && !c.tower {
		v, err := vit.ReadVisionConfig(c.TowerDir(dir))
		if err != nil {
			return Config{}, fmt.Errorf("%s: mm_vision_tower %q: %w", path, c.Tower, err)
		}
		c.Vision = v
	}
	if err := c.Validate(); err != nil {
		return Config{}, fmt.Errorf("%s: %w", path, err)
	}
	return c, nil
}

// TowerDir is where the original layout keeps the vision tower of a model in dir.
func (c *Config) TowerDir(dir string) string {
	if filepath.IsAbs(c.Tower) {
		return c.Tower
	}
	return filepath.Join(dir, c.Tower)
}

// UnmarshalJSON reads either layout's config.json. Validate it when the vision tower is known.
func (c *Config) UnmarshalJSON(raw []byte) error {
	var head struct {
		ModelType string          `json:"model_type"`
		Text      json.RawMessage `json:"text_config"`
	}
	if err := json.Unmarshal(raw, &head); err != nil {
		return err
	}
	if head.Text != nil && (head.ModelType == "llava" || head.ModelType == "llava_next") {
		return c.unmarshalHub(raw)
	}
	switch head.ModelType {
	case "llava", "llava_llama", "llava_mistral", "llava_qwen", "llava_mpt", "llava_phi":
		return c.unmarshalOriginal(raw)
	}
	return fmt.Errorf("model_type %q is not a vision-language model that is supported (llava, llava_next, llava_llama, llava_mistral, llava_qwen, llava_mpt, llava_phi are)", head.ModelType)
}

func (c *Config) unmarshalHub(raw []byte) error {
	f := hubFile{Act: "gelu", Strategy: "default"}
	if err := json.Unmarshal(raw, &f); err != nil {
		return err
	}
	*c = Config{Projector: "mlp2x_gelu", Select: vit.Select{Layer: -2}, Image: 32000, Aspect: "square", PaddingSide: "right", tower: true}
	if err := json.Unmarshal(f.Text, &c.Text); err != nil {
		return fmt.Errorf("text_config: %w", err)
	}
	if f.Vision == nil {
		c.Vision = vit.CLIPLarge336()
	} else if err := json.Unmarshal(f.Vision, &c.Vision); err != nil {
		return fmt.Errorf("vision_config: %w", err)
	}
	if f.Act != "gelu" {
		return fmt.Errorf("projector_hidden_act %q is not supported (gelu is)", f.Act)
	}
	switch f.Strategy {
	case "default":
		c.Select.Class = "patch"
	case "full":
		c.Select.Class = "cls_patch"
	default:
		return fmt.Errorf("vision_feature_select_strategy %q is neither default nor full", f.Strategy)
	}
	if f.Layer != nil {
		if err := json.Unmarshal(f.Layer, &c.Select.Layer); err != nil {
			return fmt.Errorf("vision_feature_layer %s is not supported: one layer is", f.Layer)
		}
	}
	if f.ImageToken != nil {
		c.Image = *f.ImageToken
	} else if f.ImageTokenID != nil {
		c.Image = *f.ImageTokenID
	}
	c.NoBias = f.Bias != nil && !*f.Bias
	if f.ModelType == "llava_next" {
		c.Aspect = "anyres"
		if f.Pinpoints == nil {
			f.Pinpoints = [][2]int{{336, 672}, {672, 336}, {672, 672}, {1008, 336}, {336, 1008}}
		}
		for _, p := range f.Pinpoints {
			c.Canvases = append(c.Canvases, imaging.Size{W: p[1], H: p[0]})
		}
	}
	if f.Departures != nil {
		c.Merge, c.SlotStd = f.Departures.Merge, f.Departures.SlotStd
	}
	return nil
}

var anyresMax = regexp.MustCompile(`^anyres(?:_max_(\d{1,4}))?$`)

func (c *Config) unmarshalOriginal(raw []byte) error {
	f := originalFile{Projector: "linear", Feature: "patch", Aspect: "square", PaddingSide: "right", MergeType: "flat"}
	if err := json.Unmarshal(raw, &f); err != nil {
		return err
	}
	*c = Config{Projector: f.Projector, Select: vit.Select{Layer: -2, Class: f.Feature}, Image: -200, Aspect: f.Aspect, MaxLength: f.MaxLength,
		PaddingSide: f.PaddingSide, Tower: f.Tower, original: true}
	if err := json.Unmarshal(raw, &c.Text); err != nil {
		return err
	}
	if f.Layer != nil {
		c.Select.Layer = *f.Layer
	}
	if f.S2 {
		return fmt.Errorf("s2 true is not supported")
	}
	if f.Vision != nil {
		c.tower = true
		if err := json.Unmarshal(f.Vision, &c.Vision); err != nil {
			return fmt.Errorf("vision_config: %w", err)
		}
	} else if f.Tower == "" {
		return fmt.Errorf("mm_vision_tower is missing: which vision tower does the model look with?")
	}
	if m := anyresMax.FindStringSubmatch(f.Aspect); m != nil {
		if f.MergeType != "spatial_unpad" {
			return fmt.Errorf("mm_patch_merge_type %q is not supported with image_aspect_ratio %q (spatial_unpad is)", f.MergeType, f.Aspect)
		}
		fmt.Sscan(m[1], &c.MaxTiles)
		return c.readPinpoints(f.Pinpoints)
	}
	return nil
}

func (c *Config) readPinpoints(raw json.RawMessage) error {
	var list [][2]int // (width, height) in the original
	if err := json.Unmarshal(raw, &list); err != nil {
		var s string
		if json.Unmarshal(raw, &s) != nil {
			return fmt.Errorf("image_grid_pinpoints %s is neither a list of pairs nor a string", raw)
		}
		sizes, err := imaging.ParseCanvases(s, c.Vision.ImageSize)
		c.Canvases = sizes
		return err
	}
	for _, p := range list {
		c.Canvases = append(c.Canvases, imaging.Size{W: p[0], H: p[1]})
	}
	return nil
}

// Validate returns an error that names the first field that is wrong.
func (c *Config) Validate() error {
	if err := c.Text.Validate(); err != nil {
		return err
	}
	if err := c.Vision.Validate(); err != nil {
		return err
	}
	if _, err := depth(c.Projector); err != nil {
		return err
	}
	if _, err := c.Select.Depth(c.Vision.NumHiddenLayers); err != nil {
		return err
	}
	if c.Select.Class != "patch" && c.Select.Class != "cls_patch" {
		return fmt.Errorf("mm_vision_select_feature %q is neither patch nor cls_patch", c.Select.Class)
	}
	g := c.Vision.ImageSize / c.Vision.PatchSize
	if c.Merge > 1 && (g%c.Merge != 0 || c.Select.Class == "cls_patch") {
		return fmt.Errorf("merge %d does not divide the %d×%d patches", c.Merge, g, g)
	}
	if c.PaddingSide != "" && c.PaddingSide != "left" && c.PaddingSide != "right" {
		return fmt.Errorf("tokenizer_padding_side %q is neither left nor right", c.PaddingSide)
	}
	if c.Next() {
		return c.AnyRes().Validate()
	}
	return nil
}
