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

// Config describes a decoder by the fields of its config.json. Both spellings are read: rope_parameters and dtype of
// transformers 5, rope_theta, rope_scaling and torch_dtype of transformers 4; the latter, which both load, are
// written.
type Config struct {
	ModelType             string // of a [Family]: see [Families]
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
	AttentionBias         bool // on q, k, v; with llama on o as well
	MLPBias               bool
	SlidingWindow         int   // 0: none
	WindowLayers          []int // layers that slide; nil with SlidingWindow set: all
	RoPE                  nn.RoPEConfig
	BOS, PAD              int // −1: none
	EOS                   []int
	DType                 string // of the stored weights: float32, bfloat16, float16
	Dropout               Dropout

	AlibiBiasMax float64 // MPT; 0: no ALiBi
	SoftmaxScale float64 // MPT and Gemma 2 (query_pre_attn_scalar^−½); 0: 1/√d

	AttentionCap, LogitCap float64 // Gemma 2's soft caps of attention scores and logits; 0: none
	Parallel               bool    // StableLM: attention and MLP side by side, behind one norm
	QKNorm                 bool    // Phi: LayerNorms of each head's queries and keys
	Experts                Experts // Mixtral and Qwen2-MoE

	PostNorm    bool // OPT: norms behind the residual sums (do_layer_norm_before false)
	NoFinalNorm bool // OPT: no norm behind the last block
	EmbedDim    int  // OPT: width of token embeddings (word_embed_proj_dim); 0: HiddenSize

	T5 T5Config // T5: what it has beside the fields above

	// Departures for small models trained from nothing, all about how weights start; zero values are transformers'.
	// They are kept in config.json under names that begin with gollava.
	InitStd      float64 // of all weights; 0: 0.02
	DampResidual bool    // projections that end a residual branch start √(2·layers) times smaller, as in GPT-2
	// of token embeddings; 0: InitStd. The final norm starts at InitStd/EmbeddingStd, so that tied logits start as before
	EmbeddingStd float64
}

// Dropout holds the rates that a config asks for in training. Models here train without any, which leaves answers as
// they are: whoever trains should say so.
type Dropout struct {
	Attention float64 // attention_dropout, or MPT's attn_pdrop
	Residual  float64 // resid_pdrop
	Embedding float64 // embd_pdrop, or MPT's emb_pdrop
	Router    float64 // router_jitter_noise
}

func (d Dropout) validate() error {
	for _, p := range []float64{d.Attention, d.Residual, d.Embedding, d.Router} {
		if !(p >= 0 && p < 1) {
			return fmt.Errorf("a dropout of %v is outside [0, 1)", p)
		}
	}
	return nil
}

// ReadConfig reads the GGUF file dir, or dir/config.json of one of extra or of [Families]. Its errors name the file
// and the field.
func ReadConfig(dir string, extra ...Family) (Config, error) {
	if gguf.IsFile(dir) {
		return readGGUFConfig(dir)
	}
	r := configReader{extra: extra}
	if err := jsonfile.Read(filepath.Join(dir, "config.json"), &r); err != nil {
		return Config{}, err
	}
	return r.config, nil
}

// configReader reads config.json of more families than this package's.
type configReader struct {
	config Config
	extra  []Family
}

func (r *configReader) UnmarshalJSON(raw []byte) (err error) {
	r.config, err = ParseConfig(raw, r.extra...)
	return err
}

// UnmarshalJSON reads config.json of any of [Families] and validates it.
func (c *Config) UnmarshalJSON(raw []byte) (err error) {
	*c, err = ParseConfig(raw)
	return err
}

// MarshalJSON writes config.json in the spelling of transformers 4, which 5 reads too.
func (c Config) MarshalJSON() ([]byte, error) {
	if f, ok := Lookup(c.ModelType); ok && f.Write != nil {
		return json.Marshal(f.Write(c))
	}
	return json.Marshal(writeLlama(c))
}

// maxMatrix is far above the elements of any real weight.
const maxMatrix = 1 << 40

// maxExperts is far above the experts of all layers of any real model.
const maxExperts = 1 << 17

// Validate fills what follows from other fields and returns an error that names the first field that is missing or
// wrong.
func (c *Config) Validate() error {
	if c.NumKeyValueHeads == 0 {
		c.NumKeyValueHeads = c.NumAttentionHeads
	}
	for _, f := range []struct {
		name  string
		value int
	}{{"vocab_size", c.VocabSize}, {"hidden_size", c.HiddenSize}, {"intermediate_size", c.IntermediateSize},
		{"num_hidden_layers", c.NumHiddenLayers}, {"num_attention_heads", c.NumAttentionHeads},
		{"num_key_value_heads", c.NumKeyValueHeads}, {"max_position_embeddings", c.MaxPositionEmbeddings}} {
		if f.value <= 0 || f.value > 1<<28 {
			return fmt.Errorf("%s %d is missing or out of range", f.name, f.value)
		}
	}
	if c.NumHiddenLayers > 1<<14 || c.HeadDim < 0 || c.HeadDim > 1<<20 {
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
	if err := c.Experts.validate(); err != nil {
		return err
	}
	if n := c.Experts.Count; n > 0 && c.NumHiddenLayers > maxExperts/n {
		return fmt.Errorf("num_experts %d in each of %d layers are more than any model's", n, c.NumHiddenLayers)
	}
	for name, v := range map[string]float64{"attn_logit_softcapping": c.AttentionCap,
		"final_logit_softcapping":                c.LogitCap,
		"query_pre_attn_scalar or softmax_scale": c.SoftmaxScale} {
		if !(v >= 0 && v < 1e9) {
			return fmt.Errorf("%s %v is out of range", name, v)
		}
	}
	if c.HeadDim == 0 {
		if c.HiddenSize%c.NumAttentionHeads != 0 {
			return fmt.Errorf("hidden_size %d is no multiple of num_attention_heads %d", c.HiddenSize, c.NumAttentionHeads)
		}
		c.HeadDim = c.HiddenSize / c.NumAttentionHeads
	}
	if c.NumAttentionHeads%c.NumKeyValueHeads != 0 {
		return fmt.Errorf("num_attention_heads %d is no multiple of num_key_value_heads %d", c.NumAttentionHeads,
			c.NumKeyValueHeads)
	}
	widest := max(c.VocabSize, c.IntermediateSize, c.NumAttentionHeads*c.HeadDim, c.Experts.Width,
		c.Experts.SharedWidth)
	if widest > maxMatrix/c.HiddenSize {
		return fmt.Errorf("a matrix of %d × %d (hidden_size) is larger than any model's", widest, c.HiddenSize)
	}
	if c.InitStd < 0 || c.EmbeddingStd < 0 {
		return fmt.Errorf("gollava_init_std %v and gollava_embedding_std %v must not be negative", c.InitStd, c.EmbeddingStd)
	}
	if _, err := activation(c.HiddenAct); err != nil {
		return err
	}
	return nil
}

func activation(name string) (tensor.Activation, error) { return nn.ParseActivation(name) }

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
