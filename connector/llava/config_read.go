package llava

import (
	"cmp"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"

	"github.com/gollava/gollava/data/imaging"
	"github.com/gollava/gollava/internal/jsonfile"
	"github.com/gollava/gollava/llm"
	"github.com/gollava/gollava/nn"
	"github.com/gollava/gollava/vit"
)

// departures is what Config adds to the reference's fields.
type departures struct {
	Merge   int     `json:"merge,omitempty"`
	Gain    float64 `json:"gain,omitempty"`
	SlotStd float64 `json:"slot_std,omitempty"`

	// where the towers are, seen from the checkpoint's folder, should mm_vision_tower have moved
	Tower  string `json:"tower,omitempty"`
	Second string `json:"second_tower,omitempty"`

	Template string  `json:"template,omitempty"`
	System   *string `json:"system,omitempty"`
}

// hubFile is config.json of transformers.
type hubFile struct {
	Architectures  []string        `json:"architectures,omitempty"`
	ModelType      string          `json:"model_type"`
	Text           json.RawMessage `json:"text_config"`
	Vision         json.RawMessage `json:"vision_config"`
	ImageToken     *int            `json:"image_token_index,omitempty"`
	ImageTokenID   *int            `json:"image_token_id,omitempty"`
	Act            string          `json:"projector_hidden_act,omitempty"`
	Strategy       *string         `json:"vision_feature_select_strategy,omitempty"`
	Layer          json.RawMessage `json:"vision_feature_layer,omitempty"`
	Bias           *bool           `json:"multimodal_projector_bias,omitempty"`
	Pinpoints      [][2]int        `json:"image_grid_pinpoints,omitempty"` // (height, width)
	ImageSeqLength int             `json:"image_seq_length,omitempty"`
	TorchDType     string          `json:"torch_dtype,omitempty"`
	Tie            *bool           `json:"tie_word_embeddings,omitempty"`
	Departures     *departures     `json:"gollava,omitempty"`
	EOS            llm.EndTokens   `json:"eos_token_id,omitempty"`
	PAD            *int            `json:"pad_token_id,omitempty"`
	Quantization   json.RawMessage `json:"quantization_config,omitempty"`
	UseNewline     *bool           `json:"use_image_newline_parameter,omitempty"`

	VideoToken   *int            `json:"video_token_index,omitempty"`
	VideoTokenID *int            `json:"video_token_id,omitempty"`
	PoolMode     string          `json:"spatial_pool_mode,omitempty"`
	PoolStride   *int            `json:"spatial_pool_stride,omitempty"`
	PoolOut      *int            `json:"spatial_pool_out_channels,omitempty"`
	Layers       json.RawMessage `json:"vision_feature_layers,omitempty"` // ViP-LLaVA's before transformers 5
	NormEps      *float64        `json:"projector_layernorm_eps,omitempty"`
	AspectRatio  string          `json:"vision_aspect_ratio,omitempty"`
}

// originalFile holds the fields that LLaVA adds to its language model's config.json.
type originalFile struct {
	ModelType   string          `json:"model_type"`
	Tower       string          `json:"mm_vision_tower"`
	Towers      []string        `json:"mm_vision_tower_aux_list"` // Cambrian's name: all of them
	HiddenSize  int             `json:"mm_hidden_size"`
	Projector   string          `json:"mm_projector_type"`
	Layer       *int            `json:"mm_vision_select_layer"`
	Feature     string          `json:"mm_vision_select_feature"`
	Aspect      string          `json:"image_aspect_ratio"`
	MergeType   string          `json:"mm_patch_merge_type"`
	Pinpoints   json.RawMessage `json:"image_grid_pinpoints"`
	MaxLength   int             `json:"tokenizer_model_max_length"`
	PaddingSide string          `json:"tokenizer_padding_side"`
	Vision      json.RawMessage `json:"vision_config"`
	S2          bool            `json:"s2"`
	Scales      string          `json:"s2_scales"`
	Resampler   *string         `json:"mm_resampler_type"`
	StartEnd    bool            `json:"mm_use_im_start_end"`
	PoolMode    string          `json:"mm_spatial_pool_mode"`
	PoolStride  int             `json:"mm_spatial_pool_stride"`
	Newline     string          `json:"mm_newline_position"`
	Departures  *departures     `json:"gollava"`
}

// ReadConfig reads dir/config.json, and for the original layout that of the vision tower beside it; where that is not
// there, the names of OpenAI's and Google's towers are known. Of a model in GGUF (see [Load]) it reads the metadata.
// Its errors name the file and the field.
func ReadConfig(dir string) (Config, error) { return readConfig(dir, "", "") }

// readConfig takes the towers from other folders than mm_vision_tower and mm_vision_tower_aux_list say, if those are
// given.
func readConfig(dir, tower, second string) (Config, error) {
	if pair, err := findGGUF(dir, tower); err != nil || pair.model != "" {
		if err != nil {
			return Config{}, err
		}
		return readGGUF(pair)
	}
	path := filepath.Join(dir, "config.json")
	var c Config
	err := jsonfile.Read(path, &c)
	if err != nil {
		return Config{}, err
	}
	if tower != "" {
		if c.Tower, err = filepath.Abs(tower); err != nil {
			return Config{}, err
		}
	}
	if tower == "" {
		for _, at := range []string{filepath.Join(dir, c.near), c.TowerDir(dir)} {
			if _, err := os.Stat(filepath.Join(at, "config.json")); err == nil &&
				(at != filepath.Join(dir, c.near) || c.near != "") && c.Tower != "" {
				if c.Tower, err = filepath.Abs(at); err != nil {
					return Config{}, err
				}
				break
			}
		}
	}
	if c.original && !c.tower {
		known, ok := knownTower(c.Tower)
		switch v, err := vit.ReadVisionConfig(c.TowerDir(dir)); {
		case err == nil:
			c.Vision = v
		case errors.Is(err, fs.ErrNotExist) && tower == "" && ok:
			c.Vision = known
		default:
			return Config{}, fmt.Errorf("%s: mm_vision_tower %q: %w", path, c.Tower, err)
		}
	}
	if err := c.readSecond(dir, second); err != nil {
		return Config{}, fmt.Errorf("%s: %w", path, err)
	}
	if c.pinpoints != "" {
		if c.Canvases, err = imaging.ParseCanvases(c.pinpoints, c.Vision.ImageSize); err != nil {
			return Config{}, fmt.Errorf("%s: image_grid_pinpoints: %w", path, err)
		}
		c.pinpoints = ""
	}
	if err := c.Validate(); err != nil {
		return Config{}, fmt.Errorf("%s: %w", path, err)
	}
	return c, nil
}

// Describes reports whether dir/config.json calls itself that of a vision-language model of LLaVA's kind, whatever
// else may be wrong with it, or whether dir is one in GGUF, with its vision part beside it.
func Describes(dir string) bool {
	if pair, err := findGGUF(dir, ""); err == nil && pair.mmproj != "" {
		return true
	}
	var f struct {
		ModelType string          `json:"model_type"`
		Text      json.RawMessage `json:"text_config"`
		Tower     string          `json:"mm_vision_tower"`
		Model     prismatic       `json:"model"`
	}
	err := jsonfile.Read(filepath.Join(dir, "config.json"), &f)
	return err == nil &&
		(strings.HasPrefix(f.ModelType, "llava") || f.Text != nil || f.Tower != "" || f.Model.Vision != "")
}

// prismatic is of a run of Prismatic's the part by which its config.json is known.
type prismatic struct {
	Vision string `json:"vision_backbone_id"`
}

// UnmarshalJSON leaves alone what other configs call "model".
func (p *prismatic) UnmarshalJSON(raw []byte) error {
	type fields prismatic
	if json.Unmarshal(raw, (*fields)(p)) != nil {
		*p = prismatic{}
	}
	return nil
}

// towers are those that original checkpoints name, by the last part of the name.
var towers = map[string]func() vit.VisionConfig{"clip-vit-large-patch14-336": vit.CLIPLarge336,
	"clip-vit-large-patch14": vit.CLIPLarge,
	"clip-vit-base-patch32":  vit.CLIPBase32, "clip-vit-base-patch16": vit.CLIPBase16,
	"siglip-so400m-patch14-384": vit.SigLIPSo400m384}

// knownTower describes a tower by its name alone: one of towers, or timm's name.
func knownTower(path string) (vit.VisionConfig, bool) {
	name := filepath.Base(path)
	if c := towers[name]; c != nil {
		return c(), true
	}
	return vit.TimmConfig(name)
}

// UnmarshalJSON reads either layout's config.json. Validate it when the vision tower is known.
func (c *Config) UnmarshalJSON(raw []byte) error {
	var head struct {
		ModelType string          `json:"model_type"`
		Text      json.RawMessage `json:"text_config"`
		Model     prismatic       `json:"model"`
	}
	if err := jsonfile.Unmarshal(raw, &head); err != nil {
		return err
	}
	if head.Model.Vision != "" {
		return fmt.Errorf("model.vision_backbone_id %q: this is a run of Prismatic's, whose checkpoints (.pt) are not "+
			"supported; LLaVA's original layout with the same two towers is (mm_vision_tower_aux_list)", head.Model.Vision)
	}
	if head.Text != nil && slices.Contains(hubKinds, head.ModelType) {
		return c.unmarshalHub(raw)
	}
	supported := slices.Clone(hubKinds)
	for _, f := range llm.Families() {
		if f.LLaVA != "" {
			supported = append(supported, f.LLaVA)
		}
	}
	if _, ok := llm.Lookup(head.ModelType); ok && slices.Contains(supported, head.ModelType) {
		return c.unmarshalOriginal(raw)
	}
	return fmt.Errorf("model_type %q is not a vision-language model that is supported (%s are)", head.ModelType,
		strings.Join(supported, ", "))
}

// hubKinds are the models of transformers.
var hubKinds = []string{LLaVA, LLaVANext, NextVideo, OneVision, ViPLLaVA, VideoLLaVA}

func (c *Config) unmarshalHub(raw []byte) error {
	f := hubFile{Act: "gelu"}
	if err := json.Unmarshal(raw, &f); err != nil {
		return jsonfile.Explain(raw, err)
	}
	*c = Config{Projector: "mlp2x_gelu", Select: vit.Select{Layers: []int{-2}}, Image: 32000, Aspect: "square",
		PaddingSide: "right", tower: true}
	c.kindDefaults(&f)
	f.Strategy = cmp.Or(f.Strategy, new("default"))
	language := "llama"
	if f.ModelType == OneVision {
		language = "qwen2"
	}
	text, err := withTie(f.Text, f.Tie, language)
	if err == nil {
		err = json.Unmarshal(text, &c.Text)
	}
	if err != nil {
		return fmt.Errorf("text_config: %w", jsonfile.Explain(text, err))
	}
	c.eos = f.EOS // those of the whole model count more than the text's
	if c.pad = f.PAD; c.pad != nil && c.Text.PAD < 0 {
		c.Text.PAD = *c.pad
	}
	if jsonfile.IsNull(f.Vision) {
		if c.Vision = vit.CLIPLarge336(); f.ModelType == OneVision {
			c.Vision = vit.SigLIPSo400m384()
			c.Vision.NumHiddenLayers, c.Vision.UseHead = 26, new(bool)
		}
	} else if err := json.Unmarshal(f.Vision, &c.Vision); err != nil {
		return fmt.Errorf("vision_config: %w", jsonfile.Explain(f.Vision, err))
	}
	if err := nn.SupportedQuantization(f.Quantization); err != nil {
		return err
	}
	switch {
	case f.UseNewline != nil && !*f.UseNewline:
		return fmt.Errorf("use_image_newline_parameter false is not supported")
	}
	if f.Act != "gelu" && f.Act != "linear" {
		return fmt.Errorf("projector_hidden_act %q is not supported (gelu and linear are)", f.Act)
	}
	c.Projector = "mlp2x_" + f.Act
	if c.Vision.Registers > 0 {
		return fmt.Errorf("vision_config: num_register_tokens %d is not supported in this layout, in which they would "+
			"be taken for patches", c.Vision.Registers)
	}
	switch *f.Strategy {
	case "default":
		if c.Select.Class = "patch"; !c.hasClass() {
			return fmt.Errorf("vision_feature_select_strategy \"default\" leaves out the first patch of a SigLIP " +
				"tower, which is not supported (full is)")
		}
	case "full":
		c.Select.Class = "cls_patch"
	default:
		return fmt.Errorf("vision_feature_select_strategy %q is neither default nor full", *f.Strategy)
	}
	if jsonfile.IsNull(f.Layer) {
		f.Layer = f.Layers
	}
	if !jsonfile.IsNull(f.Layer) {
		one := -2
		if json.Unmarshal(f.Layer, &one) == nil {
			c.Select.Layers = []int{one}
		} else if err := json.Unmarshal(f.Layer, &c.Select.Layers); err != nil {
			return fmt.Errorf("vision_feature_layer %.80s is neither a number nor a list of numbers", f.Layer)
		}
	}
	if f.ImageToken != nil {
		c.Image = *f.ImageToken
	} else if f.ImageTokenID != nil {
		c.Image = *f.ImageTokenID
	}
	c.NoBias = f.Bias != nil && !*f.Bias
	if err := c.readKind(&f); err != nil {
		return err
	}
	if f.Departures != nil {
		c.depart(*f.Departures)
	}
	return nil
}

func (c *Config) depart(d departures) {
	c.Merge, c.Gain, c.SlotStd, c.near, c.Template, c.System = d.Merge, d.Gain, d.SlotStd, d.Tower, d.Template, d.System
	c.nearby = d.Second
}

// withTie adds to a text_config the model_type that it may leave out, and the outer config's tie_word_embeddings where
// it has none.
func withTie(raw json.RawMessage, tie *bool, modelType string) (json.RawMessage, error) {
	var given map[string]json.RawMessage
	if err := jsonfile.Unmarshal(raw, &given); err != nil {
		return raw, err
	}
	if jsonfile.IsNull(given["model_type"]) {
		given["model_type"] = json.RawMessage(strconv.Quote(modelType))
	}
	if jsonfile.IsNull(given["tie_word_embeddings"]) && tie != nil {
		given["tie_word_embeddings"] = json.RawMessage(strconv.FormatBool(*tie))
	}
	return json.Marshal(given)
}

var anyresMax = regexp.MustCompile(`^anyres(?:_max_(\d{1,4}))?$`)

func (c *Config) unmarshalOriginal(raw []byte) error {
	f := originalFile{Projector: "linear", Feature: "patch", Aspect: "square", PaddingSide: "right", MergeType: "flat"}
	if err := json.Unmarshal(raw, &f); err != nil {
		return jsonfile.Explain(raw, err)
	}
	*c = Config{Projector: f.Projector, Select: vit.Select{Layers: []int{-2}, Class: f.Feature}, Image: -200,
		Aspect: f.Aspect, MaxLength: f.MaxLength,
		PaddingSide: f.PaddingSide, Tower: f.Tower, Marks: f.StartEnd, original: true}
	if err := json.Unmarshal(raw, &c.Text); err != nil {
		return err
	}
	if f.Layer != nil {
		c.Select.Layers = []int{*f.Layer}
	}
	if f.S2 {
		var err error
		if c.Scales, err = ParseScales(cmp.Or(f.Scales, "336,672,1008")); err != nil {
			return err
		}
	}
	switch n := len(f.Towers); {
	case n > 2:
		return fmt.Errorf("mm_vision_tower_aux_list has %d towers: up to two are supported", n)
	case n > 0 && f.Tower != "" && f.Towers[0] != f.Tower:
		return fmt.Errorf("mm_vision_tower %q is not the first of mm_vision_tower_aux_list %q", f.Tower, f.Towers)
	case n > 0:
		f.Tower = f.Towers[0]
		if c.Tower = f.Tower; n == 2 {
			c.SecondTower = f.Towers[1]
		}
	}
	resampler := ""
	if f.Resampler != nil {
		resampler = *f.Resampler
	}
	if !slices.Contains([]string{"", "identity", spatialPool}, resampler) {
		return fmt.Errorf("mm_resampler_type %q is not supported", resampler)
	}
	if f.Departures != nil {
		c.depart(*f.Departures)
	}
	if !jsonfile.IsNull(f.Vision) {
		c.tower = true
		if err := json.Unmarshal(f.Vision, &c.Vision); err != nil {
			return fmt.Errorf("vision_config: %w", jsonfile.Explain(f.Vision, err))
		}
	} else if f.Tower == "" {
		return fmt.Errorf("mm_vision_tower is missing: which vision tower does the model look with?")
	}
	if resampler == spatialPool { // LLaVA-NeXT-Video
		c.Kind = NextVideo
		c.Video = &Video{Pool: cmp.Or(f.PoolMode, "average"), Stride: cmp.Or(f.PoolStride, 2), Early: true,
			Newline: cmp.Or(f.Newline, "no_token"), Token: -200}
	} else if strings.HasPrefix(f.Aspect, "anyres_max") || f.PoolMode != "" || f.Newline != "" {
		// LLaVA-NeXT's repository
		c.Video = &Video{Pool: cmp.Or(f.PoolMode, "bilinear"), Stride: cmp.Or(f.PoolStride, 2),
			Newline: cmp.Or(f.Newline, "one_token"), Token: -200}
	}
	if m := anyresMax.FindStringSubmatch(f.Aspect); m != nil {
		if f.MergeType != "spatial_unpad" {
			return fmt.Errorf("mm_patch_merge_type %q is not supported with image_aspect_ratio %q (spatial_unpad is)",
				f.MergeType, f.Aspect)
		}
		fmt.Sscan(m[1], &c.MaxTiles)
		return c.readPinpoints(f.Pinpoints)
	}
	return nil
}

// ParseScales reads sizes as s2_scales has them: "336,672,1008".
func ParseScales(s string) (scales []int, err error) {
	for part := range strings.SplitSeq(s, ",") {
		n, err := strconv.Atoi(strings.TrimSpace(part))
		if err != nil {
			return nil, fmt.Errorf("s2_scales %q: sizes such as 336,672,1008 are needed", s)
		}
		scales = append(scales, n)
	}
	return scales, nil
}

// readPinpoints reads lists of width and height, as JSON or as the text of a Python list, or grids such as
// "(1x1),...,(6x6)".
func (c *Config) readPinpoints(raw json.RawMessage) error {
	var s string
	if json.Unmarshal(raw, &s) == nil {
		if strings.Contains(s, "x") {
			c.pinpoints = s
			return nil
		}
		raw = json.RawMessage(strings.NewReplacer("(", "[", ")", "]").Replace(s))
	}
	var list [][2]int
	if err := json.Unmarshal(raw, &list); err != nil || len(list) == 0 {
		return fmt.Errorf("image_grid_pinpoints %.80s is neither a list of pairs nor of the form (1x1),...,(6x6)", raw)
	}
	for _, p := range list {
		c.Canvases = append(c.Canvases, imaging.Size{W: p[0], H: p[1]})
	}
	return nil
}
