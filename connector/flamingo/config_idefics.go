package flamingo

import (
	"encoding/json"
	"fmt"

	"github.com/gollava/gollava/internal/jsonfile"
	"github.com/gollava/gollava/vit"
)

// ideficsFile holds the fields of IDEFICS' config.json beside those of its Llama.
type ideficsFile struct {
	Vocab     int          `json:"vocab_size"`
	Added     int          `json:"additional_vocab_size"`
	Every     int          `json:"cross_layer_interval"`
	Alpha     string       `json:"alpha_type"`
	QKNorms   bool         `json:"qk_layer_norms"`
	Resampler bool         `json:"use_resampler"`
	Perceiver perceiver    `json:"perceiver_config"`
	Vision    ideficsTower `json:"vision_config"`
	Image     *int         `json:"image_token_id,omitempty"` // ours: transformers asks its tokenizer
	Dropout   float64      `json:"dropout"`
}

type perceiver struct {
	Latents int  `json:"resampler_n_latents"`
	Depth   int  `json:"resampler_depth"`
	Heads   int  `json:"resampler_n_heads"`
	HeadDim int  `json:"resampler_head_dim"`
	QKNorms bool `json:"qk_layer_norms_perceiver"`
}

type ideficsTower struct {
	Width    int     `json:"embed_dim"`
	Hidden   *int    `json:"hidden_size,omitempty"`
	MLP      int     `json:"intermediate_size"`
	Layers   int     `json:"num_hidden_layers"`
	Heads    int     `json:"num_attention_heads"`
	Channels int     `json:"num_channels"`
	Image    int     `json:"image_size"`
	Patch    int     `json:"patch_size"`
	Act      string  `json:"hidden_act"`
	Eps      float64 `json:"layer_norm_eps"`
	Dropout  float64 `json:"attention_dropout"`
}

// readIdefics reads transformers' config.json, whose absent fields have the defaults of its classes.
func readIdefics(raw []byte, o LoadOptions) (c Config, err error) {
	f := ideficsFile{Every: 1, Alpha: "float", Vocab: 32000,
		Perceiver: perceiver{Latents: 64, Depth: 6, Heads: 16, HeadDim: 96},
		Vision: ideficsTower{Width: 768, MLP: 5120, Layers: 32, Heads: 16, Channels: 3, Image: 224, Patch: 14,
			Act: "gelu", Eps: 1e-5}}
	if err := jsonfile.Unmarshal(raw, &f); err != nil {
		return c, err
	}
	c = Config{Variant: IDEFICS, Every: f.Every, AddedWords: f.Added, VectorGates: f.Alpha == "vector",
		QKNorms: f.QKNorms, Heads: f.Perceiver.Heads, HeadDim: f.Perceiver.HeadDim, Depth: f.Perceiver.Depth,
		ResamplerQKNorms: f.Perceiver.QKNorms, End: -1}
	if f.Resampler {
		c.Latents = f.Perceiver.Latents
	}
	if f.Alpha != "vector" && f.Alpha != "float" {
		return c, fmt.Errorf("alpha_type %q is not supported (float, vector are)", f.Alpha)
	}
	if f.Vision.Hidden != nil {
		f.Vision.Width = *f.Vision.Hidden
	}
	v := f.Vision
	c.Vision = vit.VisionConfig{ModelType: "clip_vision_model", HiddenSize: v.Width, IntermediateSize: v.MLP,
		NumHiddenLayers: v.Layers, NumAttentionHeads: v.Heads, NumChannels: v.Channels, ImageSize: v.Image,
		PatchSize: v.Patch, HiddenAct: v.Act, LayerNormEps: v.Eps, AttentionDropout: v.Dropout}
	if err := c.Vision.Validate(); err != nil {
		return c, fmt.Errorf("vision_config: %w", err)
	}
	if err := json.Unmarshal(raw, &c.raw); err != nil {
		return c, err
	}
	text := map[string]json.RawMessage{"pad_token_id": json.RawMessage("0")}
	for k, v := range c.raw {
		text[k] = v
	}
	text["model_type"] = json.RawMessage(`"llama"`)
	if raw, err = json.Marshal(text); err != nil {
		return c, err
	}
	if err := json.Unmarshal(raw, &c.Text); err != nil {
		return c, err
	}
	c.Text.Dropout.Residual = f.Dropout
	if len(c.Text.EOS) > 0 {
		c.End = c.Text.EOS[0]
	}
	switch { // <fake_token_around_image> and <image> are the added words of the published models
	case o.Image != 0:
		c.Image = o.Image
	case f.Image != nil:
		c.Image = *f.Image
	case f.Added > 1:
		c.Image = c.Text.VocabSize + 1
	default:
		return c, fmt.Errorf("additional_vocab_size %d: <image> is none of the added words: give its id "+
			"(image_token_id, or LoadOptions.Image)", f.Added)
	}
	return c, nil
}

// idefics is transformers' config.json.
func (c Config) idefics() (map[string]any, error) {
	alpha := "float"
	if c.VectorGates {
		alpha = "vector"
	}
	out := map[string]any{"alpha_initializer": "zeros", "dropout": c.Text.Dropout.Residual}
	raw, err := json.Marshal(c.Text)
	if err != nil {
		return nil, err
	}
	if err := json.Unmarshal(raw, &out); err != nil {
		return nil, err
	}
	for _, llama := range []string{"num_key_value_heads", "head_dim", "attention_bias", "mlp_bias", "attention_dropout",
		"resid_pdrop"} {
		delete(out, llama)
	}
	for k, v := range c.raw { // what the checkpoint says beyond the fields that are known here
		out[k] = v
	}
	p := map[string]any{"model_type": "idefics_perciever", "use_resampler": c.Latents > 0,
		"qk_layer_norms_perceiver": c.ResamplerQKNorms}
	for k, n := range map[string]int{"resampler_n_latents": c.Latents, "resampler_depth": c.Depth,
		"resampler_n_heads": c.Heads, "resampler_head_dim": c.HeadDim} {
		if p[k] = n; c.Latents == 0 {
			delete(p, k)
		}
	}
	v := c.Vision
	for k, x := range map[string]any{"model_type": "idefics", "architectures": []string{"IdeficsForVisionText2Text"},
		"additional_vocab_size": c.AddedWords, "cross_layer_interval": c.Every, "alpha_type": alpha,
		"qk_layer_norms": c.QKNorms, "use_resampler": c.Latents > 0, "perceiver_config": p, "image_token_id": c.Image,
		"torch_dtype": c.Text.DType,
		"vision_config": map[string]any{"model_type": "idefics_vision", "embed_dim": v.HiddenSize,
			"intermediate_size": v.IntermediateSize, "num_hidden_layers": v.NumHiddenLayers,
			"num_attention_heads": v.NumAttentionHeads, "num_channels": v.NumChannels, "image_size": v.ImageSize,
			"patch_size": v.PatchSize, "hidden_act": v.HiddenAct, "layer_norm_eps": v.LayerNormEps,
			"attention_dropout": v.AttentionDropout}} {
		out[k] = x
	}
	delete(out, "dtype")
	return out, nil
}
