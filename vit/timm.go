package vit

import (
	"encoding/json"
	"fmt"
	"regexp"
	"slices"
	"strconv"
	"strings"

	"github.com/gollava/gollava/nn"
)

// timmName is what timm calls the towers that are read here: vit_large_patch14_reg4_dinov2.lvd142m.
var timmName = regexp.MustCompile(
	`^vit_(small|base|large|so400m)_patch(\d{1,3})_(reg4_)?(dinov2|clip|siglip)(_quickgelu)?(?:_(\d{1,4}))?(?:\.\w+)?$`)

// timmSizes are width, layers, heads, and mlp_ratio: how many times wider the MLP is.
var timmSizes = map[string]struct {
	D, layers, heads int
	ratio            float64
}{"small": {384, 12, 6, 4}, "base": {768, 12, 12, 4}, "large": {1024, 24, 16, 4}, "so400m": {1152, 27, 16, 3.7362}}

// TimmConfig describes a tower by timm's name for it, with a tag or without: DINOv2 with registers or without, CLIP
// (vit_large_patch14_clip_336.openai computes the exact GELU, …_clip_quickgelu_336 as OpenAI trained it) and SigLIP,
// without its pooling head. On images of another size a DINOv2 with registers is as in timm, one without as in
// transformers, which resizes positions without smoothing. It reports false for other names. Source: timm's
// vision_transformer.py.
func TimmConfig(name string) (c VisionConfig, ok bool) {
	m := timmName.FindStringSubmatch(name)
	if m == nil {
		return c, false
	}
	family, sizes := m[4], timmSizes[m[1]]
	switch family {
	case "dinov2":
		c = dinoVisionDefaults("dinov2")
		if c.ImageSize = 518; m[3] != "" {
			c.ModelType, c.Registers = "dinov2_with_registers", 4
		}
		c.UseMaskToken = new(bool)
	case "clip":
		c = clipVisionDefaults()
		if c.HiddenAct, c.ProjectionDim = "gelu", 0; m[5] != "" {
			c.HiddenAct = "quick_gelu"
		}
	case "siglip":
		c = siglipVisionDefaults()
		c.HiddenAct, c.UseHead = "gelu", new(bool)
	}
	c.HiddenSize, c.NumHiddenLayers, c.NumAttentionHeads = sizes.D, sizes.layers, sizes.heads
	c.IntermediateSize = int(float64(sizes.D) * sizes.ratio)
	c.PatchSize, _ = strconv.Atoi(m[2]) // digits
	if m[6] != "" {
		c.ImageSize, _ = strconv.Atoi(m[6])
	}
	dino := family == "dinov2"
	return c, (m[3] == "" || dino) && (m[5] == "" || family == "clip") && (m[6] == "") == dino
}

// timmConfig reads config.json as timm writes it for the Hub.
func timmConfig(raw []byte) (VisionConfig, error) {
	var f struct {
		Architecture string                     `json:"architecture"`
		Args         map[string]json.RawMessage `json:"model_args"`
		Pretrained   struct {
			Size []int `json:"input_size"` // channels, height, width
		} `json:"pretrained_cfg"`
	}
	if err := json.Unmarshal(raw, &f); err != nil {
		return VisionConfig{}, err
	}
	c, ok := TimmConfig(f.Architecture)
	if !ok {
		return c, fmt.Errorf("architecture %q of timm is not supported (those of DINOv2, CLIP and SigLIP are, such as "+
			"vit_large_patch14_reg4_dinov2, vit_large_patch14_clip_336 and vit_so400m_patch14_siglip_384)",
			f.Architecture)
	}
	if s := f.Pretrained.Size; s != nil {
		if len(s) != 3 || s[1] != s[2] {
			return c, fmt.Errorf("pretrained_cfg.input_size %v is not supported: channels, and a height and a width that "+
				"are equal", s)
		}
		c.NumChannels, c.ImageSize = s[0], s[1]
	}
	ratio := timmSizes[timmName.FindStringSubmatch(f.Architecture)[1]].ratio
	args := map[string]any{"embed_dim": &c.HiddenSize, "depth": &c.NumHiddenLayers, "num_heads": &c.NumAttentionHeads,
		"img_size": &c.ImageSize, "patch_size": &c.PatchSize, "in_chans": &c.NumChannels, "mlp_ratio": &ratio,
		"reg_tokens": &c.Registers, "num_classes": new(int), "init_values": new(float64)} // the last two change no feature
	for key, v := range f.Args {
		if args[key] == nil {
			return c, fmt.Errorf("model_args: %s is not supported", key)
		}
		if err := json.Unmarshal(v, args[key]); err != nil {
			return c, fmt.Errorf("model_args: %s: %w", key, err)
		}
	}
	if !(ratio > 0 && ratio < 1<<10) || c.HiddenSize < 1 || c.HiddenSize > 1<<20 || c.Registers < 0 ||
		c.Registers > 1<<16 || (c.Registers > 0) != (c.ModelType == "dinov2_with_registers") {
		return c, fmt.Errorf("model_args: embed_dim %d, mlp_ratio %v or reg_tokens %d is out of range", c.HiddenSize,
			ratio, c.Registers)
	}
	c.IntermediateSize = int(float64(c.HiddenSize) * ratio)
	if c.dino() {
		c.MLPRatio = ratio
	}
	return c, c.Validate()
}

var timmBlock = regexp.MustCompile(`^blocks\.(\d+)\.(.+)$`)

// timmLayers are timm's names within a block, for DINOv2 and for the others.
var timmLayers = map[bool]*strings.Replacer{
	true: strings.NewReplacer("attn.proj.", "attention.output.dense.", "ls1.gamma", "layer_scale1.lambda1", "ls2.gamma",
		"layer_scale2.lambda1"),
	false: strings.NewReplacer("attn.proj.", "self_attn.out_proj.", "norm1.", "layer_norm1.", "norm2.", "layer_norm2.")}

// timmNames are the other names.
var timmNames = map[bool]map[string]string{
	true: {"cls_token": "embeddings.cls_token", "reg_token": "embeddings.register_tokens",
		"pos_embed":               "embeddings.position_embeddings",
		"patch_embed.proj.weight": "embeddings.patch_embeddings.projection.weight",
		"patch_embed.proj.bias":   "embeddings.patch_embeddings.projection.bias",
		"norm.weight":             "layernorm.weight", "norm.bias": "layernorm.bias"},
	false: {"cls_token": "embeddings.class_embedding", "pos_embed": "embeddings.position_embedding.weight",
		"patch_embed.proj.weight": "embeddings.patch_embedding.weight",
		"patch_embed.proj.bias":   "embeddings.patch_embedding.bias",
		"norm_pre.weight":         "pre_layrnorm.weight", "norm_pre.bias": "pre_layrnorm.bias",
		"norm.weight": "post_layernorm.weight", "norm.bias": "post_layernorm.bias"}}

// fromTimm gives a tower's weights of timm the names and shapes of transformers. Others it leaves alone. What pools or
// classifies the features (attn_pool, head) is dropped.
func fromTimm(w *nn.Weights, c VisionConfig) error {
	if !w.Has("blocks.0.norm1.weight") || !w.Has("pos_embed") {
		return nil
	}
	dino := c.dino()
	for _, name := range w.Names() {
		var err error
		shape := w.Shape(name)
		switch stem, kind, qkv := strings.Cut(name, "attn.qkv."); {
		case qkv && dino:
			stem += "attention.attention."
			err = w.SplitRows(name, stem+"query."+kind, stem+"key."+kind, stem+"value."+kind)
		case qkv:
			stem += "self_attn."
			err = w.SplitRows(name, stem+"q_proj."+kind, stem+"k_proj."+kind, stem+"v_proj."+kind)
		case name == "pos_embed" && len(shape) == 3 && shape[0] == 1:
			if err = w.Reshape(name, shape[1:]...); err == nil && dino {
				if side := c.ImageSize / c.PatchSize; shape[1] == side*side { // the class token's is in the token
					err = w.ZeroRows(name, 1)
				}
				if err == nil {
					err = w.Reshape(name, append([]int{1}, w.Shape(name)...)...)
				}
			}
		case name == "cls_token" && !dino && len(shape) == 3:
			err = w.Reshape(name, slices.Max(shape))
		}
		if err != nil {
			return err
		}
	}
	return w.Rename(func(name string) string {
		if strings.HasPrefix(name, "attn_pool.") || strings.HasPrefix(name, "head.") {
			return ""
		}
		if to, ok := timmNames[dino][name]; ok {
			return "vision_model." + to
		}
		if m := timmBlock.FindStringSubmatch(name); m != nil {
			layers := map[bool]string{true: "layer.", false: "layers."}[dino]
			return "vision_model.encoder." + layers + m[1] + "." + timmLayers[dino].Replace(m[2])
		}
		return name
	})
}
