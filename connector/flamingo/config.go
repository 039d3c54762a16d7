package flamingo

import (
	"encoding/json"
	"fmt"
	"path/filepath"

	"github.com/gollava/gollava/internal/jsonfile"
	"github.com/gollava/gollava/llm"
	"github.com/gollava/gollava/vit"
)

// Variant is one of the systems that follow Flamingo.
type Variant int

const (
	OpenFlamingo Variant = iota // gated blocks with LayerNorm and GELU on any decoder; Awadalla et al. 2023
	IDEFICS                     // gated blocks like Llama's, in one checkpoint with the Llama; Laurençon et al. 2023
)

// Config describes a Flamingo. It reads and writes config.json of transformers' IdeficsForVisionText2Text; OpenFlamingo
// has none, and gets one whose fields are the arguments of its own constructors: see [ReadConfig].
type Config struct {
	Variant Variant
	Text    llm.Config       // of the decoder; with IDEFICS VocabSize does not count AddedWords
	Vision  vit.VisionConfig // of the tower
	Every   int              // one gated block for so many layers of the decoder

	Image int // id of <image>, an image's mark
	End   int // id of <|endofchunk|>, or with IDEFICS of the end of a text; negative: none

	// AllPrevious lets text see all images before it, not the last alone (OpenFlamingo's only_attend_immediate_media
	// false).
	AllPrevious bool

	Latents int // tokens of an image after the resampler; 0: no resampler, text sees the patches (IDEFICS)
	Depth   int // layers of the resampler
	Heads   int // of the resampler, with OpenFlamingo of the gated blocks too
	HeadDim int // of each
	Mult    int // width of a feed-forward over that of its input (OpenFlamingo)
	Frames  int // of a video: each image is so many views, with time embeddings (OpenFlamingo); 0: images

	AddedWords       int  // IDEFICS: words behind the vocabulary with parameters of their own
	VectorGates      bool // IDEFICS: a gate for each channel (alpha_type vector)
	QKNorms          bool // IDEFICS: RMSNorm of queries and keys of gated blocks
	ResamplerQKNorms bool // IDEFICS: LayerNorm of queries and keys of the resampler

	Language string // OpenFlamingo: folder of the decoder, seen from the checkpoint's
	Tower    string // OpenFlamingo: folder of the vision tower, seen from the checkpoint's; "": features are given

	raw map[string]json.RawMessage // config.json as it was read
}

// Validate returns an error that names the first field that is wrong.
func (c Config) Validate() error {
	if err := c.Text.Validate(); err != nil {
		return err
	}
	if err := c.Vision.Validate(); err != nil {
		return err
	}
	every, n, layers := "cross_attn_every_n_layers", "num_latents", c.Text.NumHiddenLayers
	if c.Variant == IDEFICS {
		every, n = "cross_layer_interval", "resampler_n_latents"
	}
	type size struct {
		name        string
		value, most int
	}
	sizes := []size{{every, c.Every, layers}}
	if c.Latents != 0 {
		sizes = append(sizes, size{n, c.Latents, 1 << 16}, size{"resampler_depth", c.Depth, 1 << 12},
			size{"the resampler's heads", c.Heads, 1 << 12}, size{"the resampler's head size", c.HeadDim, 1 << 12})
	}
	if c.Variant == OpenFlamingo {
		sizes = append(sizes, size{n, c.Latents, 1 << 16}, size{"ff_mult", c.Mult, 64})
	}
	for _, f := range sizes {
		if f.value < 1 || f.value > f.most {
			return fmt.Errorf("%s %d is out of range (1 to %d)", f.name, f.value, f.most)
		}
	}
	words := c.Text.VocabSize + c.AddedWords
	switch {
	case c.Variant != OpenFlamingo && c.Variant != IDEFICS:
		return fmt.Errorf("variant %d is unknown", c.Variant)
	case c.Variant == IDEFICS && c.Text.NumHiddenLayers%c.Every != 0:
		return fmt.Errorf("num_hidden_layers %d is no multiple of cross_layer_interval %d", layers, c.Every)
	case c.Variant == IDEFICS && (c.Frames != 0 || c.AllPrevious):
		return fmt.Errorf("videos (Frames %d) and AllPrevious are OpenFlamingo's, not IDEFICS'", c.Frames)
	case c.Variant == IDEFICS && c.Text.ModelType != "llama":
		return fmt.Errorf("the decoder of IDEFICS is a llama, not a %s", c.Text.ModelType)
	case c.Variant == IDEFICS && c.Text.NumKeyValueHeads != c.Text.NumAttentionHeads:
		return fmt.Errorf("num_key_value_heads %d: IDEFICS has as many as num_attention_heads, %d",
			c.Text.NumKeyValueHeads, c.Text.NumAttentionHeads)
	case c.Frames < 0 || c.Frames > 1<<12:
		return fmt.Errorf("max_num_frames %d is out of range", c.Frames)
	case c.AddedWords < 0 || c.AddedWords > 1<<20:
		return fmt.Errorf("additional_vocab_size %d is out of range", c.AddedWords)
	case c.Variant == OpenFlamingo && c.AddedWords > 0:
		return fmt.Errorf("added words are IDEFICS', not OpenFlamingo's")
	case c.Image < 0 || c.Image >= words:
		return fmt.Errorf("the id of <image>, %d, is outside the vocabulary of %d", c.Image, words)
	case c.End >= words:
		return fmt.Errorf("the id that ends a text, %d, is outside the vocabulary of %d", c.End, words)
	case c.Text.SoftmaxScale != 0:
		return fmt.Errorf("softmax_scale %v of the decoder is not supported: cross-attention has a scale of its own",
			c.Text.SoftmaxScale)
	}
	return nil
}

// openFile is config.json of OpenFlamingo's variant.
type openFile struct {
	Every     int    `json:"cross_attn_every_n_layers"`
	VisDim    int    `json:"vis_dim"`
	Latents   int    `json:"num_latents"`
	Depth     int    `json:"resampler_depth"`
	Heads     int    `json:"heads"`
	HeadDim   int    `json:"dim_head"`
	Mult      int    `json:"ff_mult"`
	Image     int    `json:"media_token_id"`
	End       int    `json:"eoc_token_id"`
	Language  string `json:"language_model"`
	Tower     string `json:"vision_tower,omitempty"`
	Frames    int    `json:"max_num_frames,omitempty"`
	Immediate bool   `json:"only_attend_immediate_media"`
}

// published are the values of OpenFlamingo's models; the ids have to be given.
func published() openFile {
	return openFile{Every: 4, VisDim: 1024, Latents: 64, Depth: 6, Heads: 8, HeadDim: 64, Mult: 4, Image: -1, End: -1,
		Immediate: true}
}

// ReadConfig reads dir/config.json. One with model_type "idefics" is transformers'. One without a model_type is
// OpenFlamingo's: cross_attn_every_n_layers, vis_dim, num_latents, resampler_depth, heads, dim_head, ff_mult,
// media_token_id, eoc_token_id, only_attend_immediate_media, max_num_frames, and language_model and vision_tower, the
// folders of the frozen parts. Its errors name the file and the field.
func ReadConfig(dir string) (Config, error) { return readConfig(dir, LoadOptions{}) }

func readConfig(dir string, o LoadOptions) (c Config, err error) {
	path := filepath.Join(dir, "config.json")
	raw, err := jsonfile.Bytes(path, jsonfile.Max)
	if err != nil {
		return c, err
	}
	var head struct {
		ModelType string `json:"model_type"`
	}
	if err = jsonfile.Unmarshal(raw, &head); err == nil {
		switch head.ModelType {
		case "idefics":
			c, err = readIdefics(raw, o)
		case "", "flamingo", "open_flamingo":
			c, err = readOpen(raw, dir, o)
		default:
			err = fmt.Errorf("model_type %q is not supported (idefics, and OpenFlamingo's, which has none, are)",
				head.ModelType)
		}
	}
	if err == nil {
		v := c
		if c.Variant == OpenFlamingo { // whose checkpoint may bring token embeddings for more words
			v.Text.VocabSize = max(v.Text.VocabSize, c.Image+1, c.End+1)
		}
		err = v.Validate()
	}
	if err != nil {
		return c, fmt.Errorf("%s: %w", path, err)
	}
	return c, nil
}

// readOpen reads OpenFlamingo's config.json and those of its frozen parts.
func readOpen(raw []byte, dir string, o LoadOptions) (c Config, err error) {
	f := published()
	if err := jsonfile.Unmarshal(raw, &f); err != nil {
		return c, err
	}
	c = Config{Every: f.Every, Image: f.Image, End: f.End, AllPrevious: !f.Immediate || o.AllPrevious,
		Latents: f.Latents, Depth: f.Depth, Heads: f.Heads, HeadDim: f.HeadDim, Mult: f.Mult, Frames: f.Frames,
		Language: f.Language, Tower: f.Tower}
	if err := json.Unmarshal(raw, &c.raw); err != nil {
		return c, err
	}
	if o.Image != 0 {
		c.Image = o.Image
	}
	if c.Language == "" && o.Language == "" {
		return c, fmt.Errorf("language_model is missing: the folder of the decoder (or LoadOptions.Language)")
	}
	if c.Text, err = llm.ReadConfig(place(dir, c.Language, o.Language)); err != nil {
		return c, fmt.Errorf("language_model: %w", err)
	}
	if c.Tower == "" && o.Tower == "" {
		c.Vision = vit.CLIPLarge()
		c.Vision.HiddenSize, c.Vision.NumAttentionHeads = f.VisDim, 1
		return c, nil
	}
	if c.Vision, err = vit.ReadVisionConfig(place(dir, c.Tower, o.Tower)); err != nil {
		return c, fmt.Errorf("vision_tower: %w", err)
	}
	if c.Vision.HiddenSize != f.VisDim {
		return c, fmt.Errorf("vis_dim %d, but the tower's hidden_size is %d", f.VisDim, c.Vision.HiddenSize)
	}
	return c, nil
}

// place is the folder of a part: as the options say, or else as the config does, seen from dir.
func place(dir, config, option string) string {
	switch {
	case option != "":
		return option
	case filepath.IsAbs(config):
		return config
	}
	return filepath.Join(dir, config)
}

// open is OpenFlamingo's config.json.
func (c Config) open() openFile {
	return openFile{Every: c.Every, VisDim: c.Vision.HiddenSize, Latents: c.Latents, Depth: c.Depth, Heads: c.Heads,
		HeadDim: c.HeadDim, Mult: c.Mult, Image: c.Image, End: c.End, Language: c.Language, Tower: c.Tower,
		Frames: c.Frames, Immediate: !c.AllPrevious}
}
