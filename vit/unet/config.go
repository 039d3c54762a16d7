package unet

import (
	"cmp"
	"encoding/json"
	"fmt"
	"path/filepath"
	"slices"

	"github.com/gollava/gollava/internal/jsonfile"
)

// Levels is a number for every level of resolution, or one for all: diffusers writes a list or a number.
type Levels []int

// At is the number of level i.
func (l Levels) At(i int) int {
	if len(l) == 1 {
		return l[0]
	}
	return l[i]
}

// UnmarshalJSON reads a number or a list.
func (l *Levels) UnmarshalJSON(raw []byte) error {
	var one int
	if json.Unmarshal(raw, &one) == nil {
		*l = Levels{one}
		return nil
	}
	return json.Unmarshal(raw, (*[]int)(l))
}

// MarshalJSON writes a number if there is one for all.
func (l Levels) MarshalJSON() ([]byte, error) {
	if len(l) == 1 {
		return json.Marshal(l[0])
	}
	return json.Marshal([]int(l))
}

// The kinds of level, and of attention to boxes, that diffusers names.
const (
	Down      = "DownBlock2D"
	CrossDown = "CrossAttnDownBlock2D"
	Up        = "UpBlock2D"
	CrossUp   = "CrossAttnUpBlock2D"

	Plain          = "default"          // no gated layers
	Gated          = "gated"            // GLIGEN's, of phrases with boxes
	GatedTextImage = "gated-text-image" // GLIGEN's, of phrases and images with boxes
)

// Config describes a UNet by the fields of diffusers' UNet2DConditionModel.
type Config struct {
	SampleSize        int      `json:"sample_size"` // side of the latents that it was trained on
	InChannels        int      `json:"in_channels"`
	OutChannels       int      `json:"out_channels"`
	DownBlockTypes    []string `json:"down_block_types"` // [Down] or [CrossDown], the highest resolution first
	UpBlockTypes      []string `json:"up_block_types"`   // [Up] or [CrossUp], the lowest resolution first
	BlockOutChannels  []int    `json:"block_out_channels"`
	LayersPerBlock    Levels   `json:"layers_per_block"`
	TransformerLayers Levels   `json:"transformer_layers_per_block"`
	Heads             Levels   `json:"attention_head_dim"` // the number of heads, whatever the name
	CrossAttentionDim int      `json:"cross_attention_dim"`
	AttentionType     string   `json:"attention_type"` // [Plain], [Gated] or [GatedTextImage]
	LinearProjection  bool     `json:"use_linear_projection"`
	NormNumGroups     int      `json:"norm_num_groups"`
	NormEps           float64  `json:"norm_eps"` // of resnets and of the last norm
	DownsamplePadding int      `json:"downsample_padding"`
	FlipSinToCos      bool     `json:"flip_sin_to_cos"`
	FreqShift         float64  `json:"freq_shift"`
}

// StableDiffusion is the UNet of Stable Diffusion 1, and with attention [Gated] GLIGEN's.
func StableDiffusion() Config {
	c := defaults()
	c.SampleSize, c.CrossAttentionDim = 64, 768
	return c
}

// defaults are those of diffusers' constructor: files leave out what equals them.
func defaults() Config {
	return Config{InChannels: 4, OutChannels: 4, DownBlockTypes: []string{CrossDown, CrossDown, CrossDown, Down},
		UpBlockTypes: []string{Up, CrossUp, CrossUp, CrossUp}, BlockOutChannels: []int{320, 640, 1280, 1280},
		LayersPerBlock: Levels{2}, TransformerLayers: Levels{1}, Heads: Levels{8}, CrossAttentionDim: 1280,
		AttentionType: Plain, NormNumGroups: 32, NormEps: 1e-5, DownsamplePadding: 1, FlipSinToCos: true}
}

// harmless are the values of other fields that change nothing.
var harmless = map[string][]string{
	"_class_name": {`"UNet2DConditionModel"`}, "center_input_sample": {"false"}, "only_cross_attention": {"false"},
	"mid_block_type": {`"UNetMidBlock2DCrossAttn"`}, "mid_block_scale_factor": {"1"}, "dropout": {"0"},
	"act_fn": {`"silu"`, `"swish"`}, "reverse_transformer_layers_per_block": nil, "encoder_hid_dim": nil,
	"encoder_hid_dim_type": nil, "num_attention_heads": nil, "dual_cross_attention": {"false"}, "class_embed_type": nil,
	"addition_embed_type": nil, "num_class_embeds": nil, "resnet_time_scale_shift": {`"default"`},
	"resnet_skip_time_act": {"false"}, "resnet_out_scale_factor": {"1"}, "time_embedding_type": {`"positional"`},
	"time_embedding_dim": nil, "time_embedding_act_fn": nil, "timestep_post_act": nil, "time_cond_proj_dim": nil,
	"conv_in_kernel": {"3"}, "conv_out_kernel": {"3"}, "projection_class_embeddings_input_dim": nil,
	"class_embeddings_concat": {"false"}, "mid_block_only_cross_attention": {"false"}, "cross_attention_norm": nil,
}

// UnmarshalJSON reads a configuration with diffusers' defaults, and validates it. Fields that ask for what is not
// supported are errors.
func (c *Config) UnmarshalJSON(raw []byte) error {
	if err := jsonfile.Only(raw, harmless); err != nil {
		return err
	}
	type plain Config
	p := plain(defaults())
	if err := json.Unmarshal(raw, &p); err != nil {
		return err
	}
	*c = Config(p)
	return c.Validate()
}

// ReadConfig reads dir/config.json of a UNet. Its errors name the file and the field.
func ReadConfig(dir string) (c Config, err error) {
	err = jsonfile.Read(filepath.Join(dir, "config.json"), &c)
	return c, err
}

// What configs may ask for, far above any real model: a hostile file must not exhaust the memory.
const (
	maxWidth  = 1 << 16
	maxLevels = 16 // the sides of images are multiples of 2^(levels−1)
	maxLayers = 256
)

func inRange(field string, least int, values ...int) error {
	return within(field, least, maxWidth, values...)
}

func within(field string, least, most int, values ...int) error {
	for _, v := range values {
		if v < least || v > most {
			return fmt.Errorf("%s %d is outside [%d, %d]", field, v, least, most)
		}
	}
	return nil
}

// Validate returns an error that names the first field that is wrong.
func (c *Config) Validate() error {
	n := len(c.BlockOutChannels)
	err := cmp.Or(inRange("sample_size", 0, c.SampleSize), inRange("in_channels", 1, c.InChannels),
		inRange("out_channels", 1, c.OutChannels),
		within("block_out_channels: number of levels", 1, maxLevels, n),
		inRange("block_out_channels", 1, c.BlockOutChannels...),
		within("layers_per_block", 1, maxLayers, c.LayersPerBlock...),
		within("transformer_layers_per_block", 1, maxLayers, c.TransformerLayers...),
		inRange("attention_head_dim", 1, c.Heads...), inRange("cross_attention_dim", 1, c.CrossAttentionDim),
		inRange("norm_num_groups", 1, c.NormNumGroups), inRange("downsample_padding", 0, c.DownsamplePadding))
	switch {
	case err != nil:
		return err
	case len(c.DownBlockTypes) != n || len(c.UpBlockTypes) != n:
		return fmt.Errorf("down_block_types and up_block_types must have %d names, as many as block_out_channels", n)
	case !(c.NormEps > 0 && c.NormEps < 1):
		return fmt.Errorf("norm_eps %v is outside (0, 1)", c.NormEps)
	case !slices.Contains([]string{Plain, Gated, GatedTextImage}, c.AttentionType):
		return fmt.Errorf("attention_type %q is not supported (%s, %s and %s are)", c.AttentionType, Plain, Gated,
			GatedTextImage)
	case c.DownsamplePadding > 1:
		return fmt.Errorf("downsample_padding %d is not supported: 0 and 1 are", c.DownsamplePadding)
	case 2*c.FreqShift >= float64(c.BlockOutChannels[0]) || c.FreqShift < 0:
		return fmt.Errorf("freq_shift %v must be at least 0 and below half of block_out_channels", c.FreqShift)
	case c.BlockOutChannels[0] < 2:
		return fmt.Errorf("block_out_channels %v must begin with at least 2", c.BlockOutChannels)
	}
	for _, l := range []struct {
		field string
		of    Levels
	}{
		{"layers_per_block", c.LayersPerBlock}, {"transformer_layers_per_block", c.TransformerLayers},
		{"attention_head_dim", c.Heads},
	} {
		if len(l.of) != 1 && len(l.of) != n {
			return fmt.Errorf("%s has %d numbers for %d levels", l.field, len(l.of), n)
		}
	}
	for i, w := range c.BlockOutChannels {
		switch {
		case w%c.NormNumGroups != 0:
			return fmt.Errorf("block_out_channels %d is no multiple of norm_num_groups %d", w, c.NormNumGroups)
		case w%c.Heads.At(i) != 0:
			return fmt.Errorf("block_out_channels %d is no multiple of %d heads (attention_head_dim)", w, c.Heads.At(i))
		case c.DownBlockTypes[i] != Down && c.DownBlockTypes[i] != CrossDown:
			return fmt.Errorf("down_block_types: %q is not supported (%s and %s are)", c.DownBlockTypes[i], Down,
				CrossDown)
		case c.UpBlockTypes[i] != Up && c.UpBlockTypes[i] != CrossUp:
			return fmt.Errorf("up_block_types: %q is not supported (%s and %s are)", c.UpBlockTypes[i], Up, CrossUp)
		}
	}
	return nil
}
