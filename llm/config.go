package llm

import (
	"encoding/json"
	"fmt"
	"math"
	"path/filepath"

	"github.com/gollava/gollava/internal/gguf"
	"github.com/gollava/gollava/internal/jsonfile"
	"github.com/gollava/gollava/nn"
	"github.com/gollava/gollava/tensor"
)

// Config describes a decoder by the fields of its config.json. Both spellings are read: rope_parameters and dtype of transformers 5,
// rope_theta, rope_scaling and torch_dtype of transformers 4; the latter, which both load, are written.
type Config struct {
	ModelType             string // llama, mistral, qwen2, qwen3, phi3, mpt
	VocabSize             int
	HiddenSize            int
	IntermediateSize      int
	NumHiddenLayers       int
	NumAttentionHeads     int
	NumKeyValueHeads      int
	HeadDim               int
	MaxPositionEmbeddings int
	NormEps               float64 // rms_norm_eps, or MPT's layer_norm_epsilon
	HiddenAct             string
	TieWordEmbeddings     bool
	AttentionBias         bool // on q, k, v; and on o for llama
	MLPBias               bool
	SlidingWindow         int   // 0: none
	WindowLayers          []int // layers that slide; nil with SlidingWindow set: all
	RoPE                  nn.RoPEConfig
	BOS, PAD              int // −1: none
	EOS                   []int
	DType                 string // of the stored weights: float32, bfloat16, float16
	Dropout               Dropout

	AlibiBiasMax float64 // MPT
	SoftmaxScale float64 // MPT; 0: 1/√d

	// Departures for small models trained from nothing, all about how weights start; zero values are transformers'. They are kept in
	// config.json under names that begin with gollava.
	InitStd      float64 // of all weights; 0: 0.02
	DampResidual bool    // projections that end a residual branch start √(2·layers) times smaller, as in GPT-2
	EmbeddingStd float64 // of token embeddings; 0: InitStd. The final norm starts at InitStd/EmbeddingStd, so that tied logits start as before
}

// Dropout holds the rates that a config asks for in training. Models here train without any, which leaves answers as they are: whoever trains
// should say so.
type Dropout struct {
	Attention float64 // attention_dropout, or MPT's attn_pdrop
	Residual  float64 // resid_pdrop
	Embedding float64 // embd_pdrop, or MPT's emb_pdrop
}

func (d Dropout) validate() error {
	for _, p := range []float64{d.Attention, d.Residual, d.Embedding} {
		if !(p >= 0 && p < 1) {
			return fmt.Errorf("a dropout of %v is outside [0, 1)", p)
		}
	}
	return nil
}

// file is config.json as transformers writes it.
type file struct {
	ModelType             string          `json:"model_type"`
	VocabSize             int             `json:"vocab_size"`
	HiddenSize            int             `json:"hidden_size"`
	IntermediateSize      int             `json:"intermediate_size"`
	NumHiddenLayers       int             `json:"num_hidden_layers"`
	NumAttentionHeads     int             `json:"num_attention_heads"`
	NumKeyValueHeads      *int            `json:"num_key_value_heads,omitempty"`
	HeadDim               *int            `json:"head_dim,omitempty"`
	MaxPositionEmbeddings int             `json:"max_position_embeddings"`
	RMSNormEps            *float64        `json:"rms_norm_eps,omitempty"`
	HiddenAct             string          `json:"hidden_act"`
	TieWordEmbeddings     *bool           `json:"tie_word_embeddings,omitempty"`
	AttentionBias         bool            `json:"attention_bias"`
	MLPBias               bool            `json:"mlp_bias"`
	SlidingWindow         *int            `json:"sliding_window,omitempty"`
	UseSlidingWindow      *bool           `json:"use_sliding_window,omitempty"`
	MaxWindowLayers       *int            `json:"max_window_layers,omitempty"`
	LayerTypes            []string        `json:"layer_types,omitempty"`
	RoPEParameters        *nn.RoPEConfig  `json:"rope_parameters,omitempty"`
	RoPETheta             float64         `json:"rope_theta,omitempty"`
	RoPEScaling           *ropeScaling    `json:"rope_scaling,omitempty"`
	PartialRotaryFactor   float64         `json:"partial_rotary_factor,omitempty"`
	OriginalMaxPosition   int             `json:"original_max_position_embeddings,omitempty"`
	BOS                   *int            `json:"bos_token_id"`
	EOS                   json.RawMessage `json:"eos_token_id,omitempty"`
	PAD                   *int            `json:"pad_token_id"`
	DType                 string          `json:"dtype,omitempty"`
	TorchDType            string          `json:"torch_dtype,omitempty"`
	Architectures         []string        `json:"architectures,omitempty"`
	InitStd               float64         `json:"gollava_init_std,omitempty"`
	DampResidual          bool            `json:"gollava_damp_residual,omitempty"`
	EmbeddingStd          float64         `json:"gollava_embedding_std,omitempty"`

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

var architectures = map[string]string{"llama": "LlamaForCausalLM", "mistral": "MistralForCausalLM", "qwen2": "Qwen2ForCausalLM",
	"qwen3": "Qwen3ForCausalLM", "phi3": "Phi3ForCausalLM", "mpt": "MptForCausalLM"}

// families maps the model types of multimodal checkpoints to that of their decoder.
var families = map[string]string{"llava_llama": "llama", "llava": "llama", "llava_mistral": "mistral", "llava_mpt": "mpt", "llava_qwen": "qwen2", "llava_qwen3": "qwen3", "llava_phi": "phi3"}

// ReadConfig reads dir/config.json. Its errors name the file and the field.
func ReadConfig(dir string) (Config, error) {
	if gguf.IsFile(dir) {
		return readGGUFConfig(dir)
	}
	var c Config
	if err := jsonfile.Read(filepath.Join(dir, "config.json"), &c); err != nil {
		return Config{}, err
	}
	return c, nil
}

// UnmarshalJSON reads config.json of any supported family and validates it.
func (c *Config) UnmarshalJSON(raw []byte) error {
	raw, err := withDefaults(raw)
	if err != nil {
		return err
	}
	f := file{TieWordEmbeddings: new(bool)}
	if err := json.Unmarshal(raw, &f); err != nil {
		return jsonfile.Explain(raw, err)
	}
	if f.TieWordEmbeddings == nil { // null
		f.TieWordEmbeddings = new(bool)
	}
	if as, ok := families[f.ModelType]; ok {
		f.ModelType = as
	}
	if f.ModelType == "mpt" {
		return c.unmarshalMPT(raw)
	}
	if _, ok := architectures[f.ModelType]; !ok {
		return fmt.Errorf("model_type %q is not supported (llama, mistral, qwen2, qwen3, phi3, mpt are)", f.ModelType)
	}
	*c = Config{ModelType: f.ModelType, VocabSize: f.VocabSize, HiddenSize: f.HiddenSize, IntermediateSize: f.IntermediateSize,
		NumHiddenLayers: f.NumHiddenLayers, NumAttentionHeads: f.NumAttentionHeads, NumKeyValueHeads: f.NumAttentionHeads,
		MaxPositionEmbeddings: f.MaxPositionEmbeddings, NormEps: 1e-6, HiddenAct: f.HiddenAct, TieWordEmbeddings: *f.TieWordEmbeddings,
		AttentionBias: f.AttentionBias, MLPBias: f.MLPBias, BOS: -1, PAD: -1, DType: f.DType,
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
	if f.ModelType == "qwen2" {
		c.AttentionBias = true
	}
	c.readRoPE(&f)
	c.readWindow(&f)
	if err := c.readIDs(f.BOS, f.PAD, f.EOS); err != nil {
		return err
	}
	if !jsonfile.IsNull(f.Quantization) {
		return fmt.Errorf("quantization_config is not supported: load an unquantised checkpoint")
	}
	return c.Validate()
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

// readWindow finds out which layers see a sliding window: those of layer_types; else all (Mistral, Phi-3), or from max_window_layers on if
// use_sliding_window (Qwen).
func (c *Config) readWindow(f *file) {
	if f.SlidingWindow == nil || *f.SlidingWindow <= 0 || f.ModelType == "llama" {
		return
	}
	qwen := f.ModelType == "qwen2" || f.ModelType == "qwen3"
	if qwen && (f.UseSlidingWindow == nil || !*f.UseSlidingWindow) {
		return
	}
	c.SlidingWindow = *f.SlidingWindow
	switch {
	case len(f.LayerTypes) > 0:
		c.WindowLayers = []int{}
		for i, t := range f.LayerTypes {
			if t == "sliding_attention" {
				c.WindowLayers = append(c.WindowLayers, i)
			}
		}
	case qwen && f.MaxWindowLayers != nil:
		c.WindowLayers = []int{}
		for i := *f.MaxWindowLayers; i < c.NumHiddenLayers; i++ {
			c.WindowLayers = append(c.WindowLayers, i)
		}
	}
}

func (c *Config) readIDs(bos, pad *int, eos json.RawMessage) error {
	if bos != nil {
		c.BOS = *bos
	}
	if pad != nil {
		c.PAD = *pad
	}
	var err error
	c.EOS, err = tokenIDs("eos_token_id", eos)
	return err
}

// MPT's names for the same things.
type mptFile struct {
	VocabSize      int             `json:"vocab_size"`
	DModel         int             `json:"d_model"`
	NHeads         int             `json:"n_heads"`
	NLayers        int             `json:"n_layers"`
	ExpansionRatio float64         `json:"expansion_ratio"`
	MaxSeqLen      int             `json:"max_seq_len"`
	Eps            *float64        `json:"layer_norm_epsilon"`
	NoBias         *bool           `json:"no_bias"`
	Tie            *bool           `json:"tie_word_embeddings"`
	LogitScale     any             `json:"logit_scale"`
	EmbDropout     float64         `json:"emb_pdrop"`
	ResidDropout   float64         `json:"resid_pdrop"`
	NormType       string          `json:"norm_type"`
	BOS            *int            `json:"bos_token_id"`
	EOS            json.RawMessage `json:"eos_token_id"`
	PAD            *int            `json:"pad_token_id"`
	DType          string          `json:"dtype"`
	TorchDType     string          `json:"torch_dtype"`
	Attn           mptAttn         `json:"attn_config"`
}

type mptAttn struct {
	Alibi        *bool    `json:"alibi"`
	AlibiBiasMax *float64 `json:"alibi_bias_max"`
	AttnPdrop    float64  `json:"attn_pdrop"`
	AttnType     string   `json:"attn_type"`
	ClipQKV      *float64 `json:"clip_qkv"`
	PrefixLM     bool     `json:"prefix_lm"`
	QKLN         bool     `json:"qk_ln"`
	SoftmaxScale *float64 `json:"softmax_scale"`
}

func (c *Config) unmarshalMPT(raw []byte) error {
	f := mptFile{ExpansionRatio: 4, MaxSeqLen: 2048}
	if err := json.Unmarshal(raw, &f); err != nil {
		return jsonfile.Explain(raw, err)
	}
	a := f.Attn
	no := func(field string, v any) error { return fmt.Errorf("%s %v is not supported for mpt", field, v) }
	switch {
	case f.NoBias != nil && !*f.NoBias:
		return no("no_bias", false)
	case f.LogitScale != nil:
		return no("logit_scale", f.LogitScale)
	case a.Alibi != nil && !*a.Alibi:
		return no("attn_config.alibi", false)
	case a.ClipQKV != nil && *a.ClipQKV != 0:
		return no("attn_config.clip_qkv", *a.ClipQKV)
	case a.PrefixLM:
		return no("attn_config.prefix_lm", true)
	case a.QKLN:
		return no("attn_config.qk_ln", true)
	case a.AttnType != "" && a.AttnType != "multihead_attention":
		return no("attn_config.attn_type", a.AttnType)
	}
	*c = Config{ModelType: "mpt", VocabSize: f.VocabSize, HiddenSize: f.DModel, IntermediateSize: int(math.Round(f.ExpansionRatio * float64(f.DModel))),
		NumHiddenLayers: f.NLayers, NumAttentionHeads: f.NHeads, NumKeyValueHeads: f.NHeads, MaxPositionEmbeddings: f.MaxSeqLen, NormEps: 1e-5,
		HiddenAct: "gelu", TieWordEmbeddings: true, BOS: -1, PAD: -1, DType: f.DType, AlibiBiasMax: 8,
		Dropout: Dropout{Attention: a.AttnPdrop, Residual: f.ResidDropout, Embedding: f.EmbDropout}}
	if f.Eps != nil {
		c.NormEps = *f.Eps
	}
	if f.Tie != nil {
		c.TieWordEmbeddings = *f.Tie
	}
	if a.AlibiBiasMax != nil {
		c.AlibiBiasMax = *a.AlibiBiasMax
	}
	if a.SoftmaxScale != nil {
		c.SoftmaxScale = *a.SoftmaxScale
	}
	if c.DType == "" {
		c.DType = f.TorchDType
	}
	if err := c.readIDs(f.BOS, f.PAD, f.EOS); err != nil {
		return err
	}
	return c.Validate()
}

// maxMatrix is far above the elements of any real weight.
const maxMatrix = 1 << 40

// Validate fills what follows from other fields and returns an error that names the first field that is missing or wrong.
func (c *Config) Validate() error {
	if c.NumKeyValueHeads == 0 {
		c.NumKeyValueHeads = c.NumAttentionHeads
	}
	for _, f := range []struct {
		name  string
		value int
	}{{"vocab_size", c.VocabSize}, {"hidden_size", c.HiddenSize}, {"intermediate_size", c.IntermediateSize}, {"num_hidden_layers", c.NumHiddenLayers},
		{"num_attention_heads", c.NumAttentionHeads}, {"num_key_value_heads", c.NumKeyValueHeads}, {"max_position_embeddings", c.MaxPositionEmbeddings}} {
		if f.value <= 0 || f.value > 1<<28 {
			return fmt.Errorf("%s %d is missing or out of range", f.name, f.value)
		}
	}
	if c.NumHiddenLayers > 1<<14 || c.HeadDim > 1<<20 {
		return fmt.Errorf("num_hidden_layers %d and head_dim %d are out of range", c.NumHiddenLayers, c.HeadDim)
	}
	for name, n := range map[string]int{"bos_token_id": c.BOS, "pad_token_id": c.PAD, "sliding_window": c.SlidingWindow} {
		if n < -1 || n > math.MaxInt32 {
			return fmt.Errorf("%s %d is out of range", name, n)
		}
	}
	if !(c.NormEps >= 0 && c.NormEps < 1) {
		return fmt.Errorf("the norms' epsilon, %v, is out of range", c.NormEps)
	}
	if err := c.Dropout.validate(); err != nil {
		return err
	}
	if c.HeadDim == 0 {
		if c.HiddenSize%c.NumAttentionHeads != 0 {
			return fmt.Errorf("hidden_size %d is no multiple of num_attention_heads %d", c.HiddenSize, c.NumAttentionHeads)
		}
		c.HeadDim = c.HiddenSize / c.NumAttentionHeads
	}
	if c.HeadDim < 0 || c.NumAttentionHeads%c.NumKeyValueHeads != 0 {
		return fmt.Errorf("num_attention_heads %d is no multiple of num_key_value_heads %d", c.NumAttentionHeads, c.NumKeyValueHeads)
	}
	widest := max(c.VocabSize, c.IntermediateSize, c.NumAttentionHeads*c.HeadDim)
	if widest > maxMatrix/c.HiddenSize {
		return fmt.Errorf("a matrix of %d × %d (hidden_size) is larger than any model's", widest, c.HiddenSize)
	}
	if c.InitStd < 0 || c.EmbeddingStd < 0 {
		return fmt.Errorf("gollava_init_std %v and gollava_embedding_std %v must not be negative", c.InitStd, c.EmbeddingStd)
	}
	if _, err := activation(c.HiddenAct); err != nil {
		return err
	}
	if c.ModelType != "mpt" {
		if _, err := nn.NewRoPE(c.HeadDim, c.MaxPositionEmbeddings, c.RoPE); err != nil {
			return err
		}
	}
	return nil
}

func activation(name string) (tensor.Activation, error) {
	switch name {
	case "silu", "swish":
		return tensor.SiLU, nil
	case "gelu":
		return tensor.GELU, nil
	case "gelu_pytorch_tanh", "gelu_new":
		return tensor.GELUTanh, nil
	case "quick_gelu":
		return tensor.QuickGELU, nil
	case "relu":
		return tensor.ReLU, nil
	}
	return 0, fmt.Errorf("hidden_act %q is not supported (silu, gelu, gelu_pytorch_tanh, quick_gelu, relu are)", name)
}

// window is the sliding window of a layer, 0 for none.
func (c *Config) window(layer int) int {
	if c.WindowLayers == nil {
		return c.SlidingWindow
	}
	for _, l := range c.WindowLayers {
		if l == layer {
			return c.SlidingWindow
		}
	}
	return 0
}
