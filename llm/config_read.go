package llm

import (
	"encoding/json"
	"fmt"

	"github.com/gollava/gollava/internal/jsonfile"
	"github.com/gollava/gollava/nn"
)

// file is config.json as transformers writes it.
type file struct {
	ModelType             string         `json:"model_type"`
	VocabSize             int            `json:"vocab_size"`
	HiddenSize            int            `json:"hidden_size"`
	IntermediateSize      int            `json:"intermediate_size"`
	NumHiddenLayers       int            `json:"num_hidden_layers"`
	NumAttentionHeads     int            `json:"num_attention_heads"`
	NumKeyValueHeads      *int           `json:"num_key_value_heads,omitempty"`
	HeadDim               *int           `json:"head_dim,omitempty"`
	MaxPositionEmbeddings int            `json:"max_position_embeddings"`
	RMSNormEps            *float64       `json:"rms_norm_eps,omitempty"`
	HiddenAct             string         `json:"hidden_act"`
	TieWordEmbeddings     *bool          `json:"tie_word_embeddings,omitempty"`
	AttentionBias         bool           `json:"attention_bias"`
	MLPBias               bool           `json:"mlp_bias"`
	SlidingWindow         *int           `json:"sliding_window,omitempty"`
	UseSlidingWindow      *bool          `json:"use_sliding_window,omitempty"`
	MaxWindowLayers       *int           `json:"max_window_layers,omitempty"`
	LayerTypes            []string       `json:"layer_types,omitempty"`
	RoPEParameters        *nn.RoPEConfig `json:"rope_parameters,omitempty"`
	RoPETheta             float64        `json:"rope_theta,omitempty"`
	RoPEScaling           *ropeScaling   `json:"rope_scaling,omitempty"`
	PartialRotaryFactor   float64        `json:"partial_rotary_factor,omitempty"`
	OriginalMaxPosition   int            `json:"original_max_position_embeddings,omitempty"`
	BOS                   *int           `json:"bos_token_id"`
	EOS                   EndTokens      `json:"eos_token_id"`
	PAD                   *int           `json:"pad_token_id"`
	DType                 string         `json:"dtype,omitempty"`
	TorchDType            string         `json:"torch_dtype,omitempty"`
	Architectures         []string       `json:"architectures,omitempty"`
	InitStd               float64        `json:"gollava_init_std,omitempty"`
	DampResidual          bool           `json:"gollava_damp_residual,omitempty"`
	EmbeddingStd          float64        `json:"gollava_embedding_std,omitempty"`

	AttentionDropout float64         `json:"attention_dropout"`
	ResidDropout     float64         `json:"resid_pdrop,omitempty"`
	EmbdDropout      float64         `json:"embd_pdrop,omitempty"`
	Quantization     json.RawMessage `json:"quantization_config,omitempty"`
}

// ropeScaling is transformers 4's spelling: the kind may be called type.
type ropeScaling struct {
	nn.RoPEConfig
	Kind string `json:"type,omitempty"`
}

// readLlama reads the fields that Llama and the families like it share. adjust, which may be nil, applies what a
// family does differently.
func readLlama(raw []byte, adjust func(c *Config, f *file)) (c Config, err error) {
	if field := jsonfile.Zero(raw, "num_key_value_heads", "head_dim", "rope_theta", "rope_parameters.rope_theta",
		"partial_rotary_factor", "rope_parameters.partial_rotary_factor"); field != "" {
		return c, fmt.Errorf("%s is 0", field)
	}
	f := file{TieWordEmbeddings: new(bool)}
	if err := json.Unmarshal(raw, &f); err != nil {
		return c, jsonfile.Explain(raw, err)
	}
	if f.TieWordEmbeddings == nil { // null
		f.TieWordEmbeddings = new(bool)
	}
	c = Config{ModelType: f.ModelType, VocabSize: f.VocabSize, HiddenSize: f.HiddenSize,
		IntermediateSize: f.IntermediateSize,
		NumHiddenLayers:  f.NumHiddenLayers, NumAttentionHeads: f.NumAttentionHeads,
		NumKeyValueHeads:      f.NumAttentionHeads,
		MaxPositionEmbeddings: f.MaxPositionEmbeddings, NormEps: 1e-6, HiddenAct: f.HiddenAct,
		TieWordEmbeddings: *f.TieWordEmbeddings,
		AttentionBias:     f.AttentionBias, MLPBias: f.MLPBias, BOS: -1, PAD: -1, EOS: f.EOS, DType: f.DType,
		InitStd: f.InitStd, DampResidual: f.DampResidual, EmbeddingStd: f.EmbeddingStd,
		Dropout: Dropout{Attention: f.AttentionDropout, Residual: f.ResidDropout, Embedding: f.EmbdDropout}}
	if f.NumKeyValueHeads != nil {
		c.NumKeyValueHeads = *f.NumKeyValueHeads
	}
	if f.HeadDim != nil {
		c.HeadDim = *f.HeadDim
	}
	if f.RMSNormEps != nil {
		c.NormEps = *f.RMSNormEps
	}
	if c.HiddenAct == "" {
		c.HiddenAct = "silu"
	}
	if c.DType == "" {
		c.DType = f.TorchDType
	}
	if f.BOS != nil {
		c.BOS = *f.BOS
	}
	if f.PAD != nil {
		c.PAD = *f.PAD
	}
	c.readRoPE(&f)
	if adjust != nil {
		adjust(&c, &f)
	}
	if err := nn.SupportedQuantization(f.Quantization); err != nil {
		return c, err
	}
	if err := c.Validate(); err != nil {
		return c, err
	}
	_, err = nn.NewRoPE(c.HeadDim, c.MaxPositionEmbeddings, c.RoPE)
	return c, err
}

func (c *Config) readRoPE(f *file) {
	c.RoPE = nn.RoPEConfig{Type: "default"}
	switch {
	case f.RoPEParameters != nil:
		c.RoPE = *f.RoPEParameters
	case f.RoPEScaling != nil:
		c.RoPE = f.RoPEScaling.RoPEConfig
		if c.RoPE.Type == "" {
			c.RoPE.Type = f.RoPEScaling.Kind
		}
		if c.RoPE.Type == "su" { // Phi-3's first name for it
			c.RoPE.Type = "longrope"
		}
	}
	if c.RoPE.Theta == 0 {
		c.RoPE.Theta = f.RoPETheta
	}
	if c.RoPE.Theta == 0 {
		c.RoPE.Theta = 10000
	}
	if c.RoPE.Partial == 0 {
		c.RoPE.Partial = f.PartialRotaryFactor
	}
	if c.RoPE.OriginalMaxPosition == 0 && c.RoPE.Type == "longrope" {
		c.RoPE.OriginalMaxPosition = f.OriginalMaxPosition
	}
}

// slide gives a sliding window to the layers of layer_types, or else to all.
func (c *Config) slide(f *file) {
	if f.SlidingWindow == nil || *f.SlidingWindow <= 0 {
		return
	}
	c.SlidingWindow = *f.SlidingWindow
	if len(f.LayerTypes) > 0 {
		c.WindowLayers = []int{}
		for i, t := range f.LayerTypes {
			if t == "sliding_attention" {
				c.WindowLayers = append(c.WindowLayers, i)
			}
		}
	}
}
