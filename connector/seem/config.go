package seem

import (
	"encoding/json"
	"fmt"
	"reflect"

	"github.com/gollava/gollava/vit/focalnet"
	"github.com/gollava/gollava/vit/pixeldecoder"
)

// Config describes a model by the fields of the authors' configuration files, as JSON. Files may leave out what equals
// [FocalLarge].
type Config struct {
	ModelType string          `json:"model_type"` // seem_v1
	Focal     focalnet.Config `json:"FOCAL"`
	Encoder   EncoderConfig   `json:"ENCODER"`
	Decoder   DecoderConfig   `json:"DECODER"`
	Text      TextConfig      `json:"TEXT"`
	DimProj   int             `json:"DIM_PROJ"` // of the space that texts and queries share
	Input     InputConfig     `json:"INPUT"`

	// Architecture says which groups of tokens look at which; only that of SEEM v1 is supported.
	Architecture json.RawMessage `json:"ATTENTION_ARCH,omitempty"`
}

// EncoderConfig describes the pixel decoder.
type EncoderConfig struct {
	ConvDim int    `json:"CONVS_DIM"`
	MaskDim int    `json:"MASK_DIM"`
	Layers  int    `json:"TRANSFORMER_ENC_LAYERS"`
	Norm    string `json:"NORM"` // GN

	// Groups are those of each norm; 0: 32, as in all released models. A departure for few channels.
	Groups int `json:"gollava_groups,omitempty"`
}

// DecoderConfig describes the mask decoder.
type DecoderConfig struct {
	HiddenDim   int `json:"HIDDEN_DIM"`
	Heads       int `json:"NHEADS"`
	FeedForward int `json:"DIM_FEEDFORWARD"`
	// one more than there are layers: the queries themselves make the first masks
	Layers  int `json:"DEC_LAYERS"`
	Queries int `json:"NUM_OBJECT_QUERIES"`
	// most points of a picture's prompts, at each level and for their mean feature
	Points    [4]int `json:"MAX_SPATIAL_LEN"`
	Memories  int    `json:"SPATIAL_MEMORIES"` // tokens that look at the masks of the round before
	PerPrompt int    `json:"QUERY_NUMBER"`     // queries of each spatial prompt, drawn from the objects'
	PreNorm   bool   `json:"PRE_NORM,omitempty"`
}

// TextConfig describes the text tower.
type TextConfig struct {
	ContextLength int   `json:"CONTEXT_LENGTH"`
	VocabSize     int   `json:"VOCAB"`
	Width         int   `json:"WIDTH"`
	Layers        int   `json:"LAYERS"`
	Heads         int   `json:"HEADS"`
	Causal        *bool `json:"AUTOGRESSIVE,omitempty"` // their spelling; only true is supported
}

// InputConfig says how pixels 0 … 255 are normalised.
type InputConfig struct {
	Mean [3]float32 `json:"PIXEL_MEAN"`
	Std  [3]float32 `json:"PIXEL_STD"`

	// Size is the shorter side that [Segmenter] scales pictures to; 0: 512, as the authors' demonstration.
	Size int `json:"gollava_size,omitempty"`
}

func (c InputConfig) size() int {
	if c.Size == 0 {
		return 512
	}
	return c.Size
}

// FocalLarge is the released SEEM v1 with the backbone Focal-L.
func FocalLarge() Config {
	return Config{ModelType: "seem_v1", Focal: focalnet.Large(),
		Encoder: EncoderConfig{ConvDim: 512, MaskDim: 512, Layers: 6, Norm: "GN"},
		Decoder: DecoderConfig{HiddenDim: 512, Heads: 8, FeedForward: 2048, Layers: 10, Queries: 101,
			Points:   [4]int{512, 512, 512, 512},
			Memories: 32, PerPrompt: 3},
		Text: TextConfig{ContextLength: 77, VocabSize: 49408, Width: 512, Layers: 12, Heads: 8}, DimProj: 512,
		Input: InputConfig{Mean: [3]float32{123.675, 116.28, 103.53}, Std: [3]float32{58.395, 57.12, 57.375}}}
}

// architecture is the ATTENTION_ARCH of SEEM v1, which the code of [Decoder] is written to. The numbers that authors'
// files keep in it stand in [DecoderConfig].
const architecture = `{
"VARIABLE": {"queries": ["object", "grounding", "spatial"], "tokens": ["grounding", "spatial"],
	"memories": ["spatial"]},
"SELF_ATTENTION": {
  "queries": {"object": ["queries_object"], "grounding": ["queries_grounding", "tokens_grounding"],
    "spatial": ["queries_spatial", "tokens_spatial", "memories_spatial"]},
  "tokens": {"grounding": ["queries_grounding", "tokens_grounding"], "spatial": ["tokens_spatial"]},
  "memories": {"spatial": ["memories_spatial"]}},
"CROSS_ATTENTION": {"queries": {"object": true, "grounding": true, "spatial": true}, "memories": {"spatial": true},
  "tokens": {"grounding": false, "spatial": false}},
"MASKING": ["tokens_spatial", "tokens_grounding"],
"DUPLICATION": {"queries": {"grounding": "queries_object", "spatial": "queries_object"}}}`

// UnmarshalJSON reads a config with the values of [FocalLarge] for what is absent, and validates it.
func (c *Config) UnmarshalJSON(raw []byte) error {
	type plain Config
	p := plain(FocalLarge())
	if err := json.Unmarshal(raw, &p); err != nil {
		return err
	}
	if p.ModelType != "seem_v1" {
		return fmt.Errorf("model_type %q is not supported: seem_v1 is", p.ModelType)
	}
	*c = Config(p)
	return c.Validate()
}

// Validate returns an error that names the first field with a value that no model can have, or that is not supported.
func (c *Config) Validate() error {
	d, t := c.Decoder, c.Text
	if err := c.Focal.Validate(); err != nil {
		return fmt.Errorf("FOCAL: %w", err)
	}
	if err := c.pixelDecoder().Validate(); err != nil {
		return fmt.Errorf("ENCODER, DECODER: %w", err)
	}
	switch {
	case c.Encoder.Norm != "GN":
		return fmt.Errorf("ENCODER.NORM %q is not supported: GN is", c.Encoder.Norm)
	case d.PreNorm:
		return fmt.Errorf("DECODER.PRE_NORM is not supported: SEEM normalises behind each part")
	case t.Causal != nil && !*t.Causal:
		return fmt.Errorf("TEXT.AUTOGRESSIVE false is not supported: the text tower is causal")
	case d.HiddenDim < 4 || d.HiddenDim%4 != 0 || d.HiddenDim%d.Heads != 0:
		return fmt.Errorf("DECODER.HIDDEN_DIM %d must be a multiple of 4 and of NHEADS %d", d.HiddenDim, d.Heads)
	case c.Encoder.MaskDim != d.HiddenDim:
		return fmt.Errorf("ENCODER.MASK_DIM %d is not DECODER.HIDDEN_DIM %d", c.Encoder.MaskDim, d.HiddenDim)
	case c.DimProj != d.HiddenDim:
		return fmt.Errorf("DIM_PROJ %d is not DECODER.HIDDEN_DIM %d: words could not stand among the queries",
			c.DimProj, d.HiddenDim)
	case d.Layers < 1 || d.Queries < 1 || d.PerPrompt < 1 || d.Memories < 0:
		return fmt.Errorf(
			"DECODER: DEC_LAYERS %d, NUM_OBJECT_QUERIES %d and QUERY_NUMBER %d must be at least 1, "+
				"SPATIAL_MEMORIES %d at least 0",
			d.Layers, d.Queries, d.PerPrompt, d.Memories)
	case t.ContextLength < 1 || t.VocabSize < 1 || t.Width < 1 || t.Layers < 1 || t.Heads < 1 || t.Width%t.Heads != 0:
		return fmt.Errorf(
			"TEXT: CONTEXT_LENGTH %d, VOCAB %d, WIDTH %d, LAYERS %d and HEADS %d must be at least 1, "+
				"the width a multiple of the heads",
			t.ContextLength, t.VocabSize, t.Width, t.Layers, t.Heads)
	}
	for _, f := range []struct {
		name     string
		is, most int // far above any real model: a hostile file must not exhaust the memory
	}{{"DECODER.DEC_LAYERS", d.Layers, 1 << 12}, {"DECODER.NUM_OBJECT_QUERIES", d.Queries, 1 << 16},
		{"DECODER.QUERY_NUMBER", d.PerPrompt, 1 << 12}, {"DECODER.SPATIAL_MEMORIES", d.Memories, 1 << 16},
		{"TEXT.CONTEXT_LENGTH", t.ContextLength, 1 << 16}, {"TEXT.VOCAB", t.VocabSize, 1 << 26},
		{"TEXT.WIDTH", t.Width, 1 << 16}, {"TEXT.LAYERS", t.Layers, 1 << 12}} {
		if f.is > f.most {
			return fmt.Errorf("%s is %d, and must be at most %d", f.name, f.is, f.most)
		}
	}
	for i, n := range d.Points {
		if n < 1 {
			return fmt.Errorf("DECODER.MAX_SPATIAL_LEN[%d] is %d, and must be at least 1", i, n)
		}
	}
	if s := c.Input.Size; s < 0 || s > maxSide {
		return fmt.Errorf("INPUT.gollava_size is %d, and must be in 0 to %d", s, maxSide)
	}
	for _, s := range c.Input.Std {
		if !(s > 0) {
			return fmt.Errorf("INPUT.PIXEL_STD is %v: all must be above 0", c.Input.Std)
		}
	}
	return c.checkArchitecture()
}

// checkArchitecture compares the groups of tokens with those of SEEM v1.
func (c *Config) checkArchitecture() error {
	if len(c.Architecture) == 0 {
		return nil
	}
	var got, want map[string]any
	if err := json.Unmarshal(c.Architecture, &got); err != nil {
		return fmt.Errorf("ATTENTION_ARCH: %w", err)
	}
	if err := json.Unmarshal([]byte(architecture), &want); err != nil {
		return err
	}
	for _, field := range []string{"VARIABLE", "SELF_ATTENTION", "CROSS_ATTENTION", "MASKING", "DUPLICATION"} {
		if v, ok := got[field]; ok && !reflect.DeepEqual(v, want[field]) {
			return fmt.Errorf("ATTENTION_ARCH.%s is not that of SEEM v1, which alone is supported", field)
		}
	}
	return nil
}

func (c *Config) pixelDecoder() pixeldecoder.Config {
	e, d := c.Encoder, c.Focal.EmbedDim
	return pixeldecoder.Config{Channels: [4]int{d, 2 * d, 4 * d, 8 * d}, Dim: e.ConvDim, MaskDim: e.MaskDim,
		Layers: e.Layers, Heads: c.Decoder.Heads, FeedForward: c.Decoder.FeedForward, Groups: e.Groups}
}
