package llm

import (
	"encoding/json"
	"fmt"
	"math/rand/v2"
	"strings"

	"github.com/gollava/gollava/internal/jsonfile"
)

// T5Family is the family of T5 and Flan-T5, which are no decoders alone and hence none of [Families]: pass it to
// [ReadConfig] and [Load]. The model is a *[T5].
func T5Family() Family {
	return Family{Type: t5Type, Architecture: "T5ForConditionalGeneration", Template: "plain", Read: readT5,
		Write: writeT5,
		New: func(r *rand.Rand, c Config) (Model, error) {
			if err := c.T5.validate(); err != nil {
				return nil, err
			}
			return newT5(r, c), nil
		}}
}

const t5Type = "t5"

// T5Config is what a T5 has beside other language models' fields.
type T5Config struct {
	DecoderLayers int  // num_decoder_layers; NumHiddenLayers are the encoder's
	Buckets       int  // relative_attention_num_buckets
	MaxDistance   int  // relative_attention_max_distance
	First         int  // decoder_start_token_id
	Gated         bool // feed_forward_proj gated-…
	ScaleOutputs  bool // the decoder's states are divided by √C, as the first T5's with its tied head
}

func (c T5Config) validate() error {
	for name, n := range map[string]int{"num_decoder_layers": c.DecoderLayers,
		"relative_attention_num_buckets": c.Buckets, "relative_attention_max_distance": c.MaxDistance} {
		if n <= 0 || n > 1<<20 {
			return fmt.Errorf("%s %d is missing or out of range", name, n)
		}
	}
	if c.DecoderLayers > 1<<14 {
		return fmt.Errorf("num_decoder_layers %d is out of range", c.DecoderLayers)
	}
	if c.Buckets < 4 || c.MaxDistance <= c.Buckets/2 {
		return fmt.Errorf("relative_attention_num_buckets %d and relative_attention_max_distance %d do not fit",
			c.Buckets, c.MaxDistance)
	}
	return nil
}

// t5File holds T5's names.
type t5File struct {
	VocabSize     int       `json:"vocab_size"`
	DModel        int       `json:"d_model"`
	DKV           int       `json:"d_kv"`
	DFF           int       `json:"d_ff"`
	Layers        int       `json:"num_layers"`
	DecoderLayers *int      `json:"num_decoder_layers"`
	Heads         int       `json:"num_heads"`
	Buckets       int       `json:"relative_attention_num_buckets"`
	MaxDistance   int       `json:"relative_attention_max_distance"`
	Dropout       float64   `json:"dropout_rate"`
	Eps           float64   `json:"layer_norm_epsilon"`
	FF            string    `json:"feed_forward_proj"`
	Tie           *bool     `json:"tie_word_embeddings"`
	Scale         *bool     `json:"scale_decoder_outputs"`
	First         *int      `json:"decoder_start_token_id"`
	PAD           *int      `json:"pad_token_id"`
	EOS           EndTokens `json:"eos_token_id"`
	DType         string    `json:"dtype,omitempty"`
	TorchDType    string    `json:"torch_dtype,omitempty"`
}

// maxRelative stands for a model without a table of positions.
const maxRelative = 1 << 20

func readT5(raw []byte) (c Config, err error) {
	zero := 0
	f := t5File{VocabSize: 32128, DModel: 512, DKV: 64, DFF: 2048, Layers: 6, Heads: 8, Buckets: 32, MaxDistance: 128,
		Dropout: 0.1, Eps: 1e-6, FF: "relu", PAD: &zero, EOS: EndTokens{1}}
	if err := json.Unmarshal(raw, &f); err != nil {
		return c, jsonfile.Explain(raw, err)
	}
	c = Config{ModelType: t5Type, VocabSize: f.VocabSize, HiddenSize: f.DModel, IntermediateSize: f.DFF,
		NumHiddenLayers: f.Layers, NumAttentionHeads: f.Heads, NumKeyValueHeads: f.Heads, HeadDim: f.DKV,
		MaxPositionEmbeddings: maxRelative, NormEps: f.Eps, TieWordEmbeddings: f.Tie == nil || *f.Tie, BOS: -1, PAD: -1,
		EOS: f.EOS, DType: f.DType, Dropout: Dropout{Residual: f.Dropout},
		T5: T5Config{DecoderLayers: f.Layers, Buckets: f.Buckets, MaxDistance: f.MaxDistance}}
	if f.DecoderLayers != nil {
		c.T5.DecoderLayers = *f.DecoderLayers
	}
	if f.PAD != nil {
		c.PAD, c.T5.First = *f.PAD, *f.PAD
	}
	if f.First != nil {
		c.T5.First = *f.First
	}
	if c.T5.First < 0 || c.T5.First >= c.VocabSize {
		return c, fmt.Errorf("decoder_start_token_id %d is outside the vocabulary of %d", c.T5.First, c.VocabSize)
	}
	// without the field of newer files, a head of its own says that nothing is scaled
	if c.T5.ScaleOutputs = c.TieWordEmbeddings; f.Scale != nil {
		c.T5.ScaleOutputs = *f.Scale
	}
	act, gated := strings.CutPrefix(f.FF, "gated-")
	if c.HiddenAct, c.T5.Gated = act, gated; f.FF == "gated-gelu" {
		c.HiddenAct = "gelu_new"
	}
	if c.DType == "" {
		c.DType = f.TorchDType
	}
	return c, c.T5.validate()
}

// writeT5 returns config.json in T5's spelling.
func writeT5(c Config) any {
	t := c.T5
	f := t5File{VocabSize: c.VocabSize, DModel: c.HiddenSize, DKV: c.HeadDim, DFF: c.IntermediateSize,
		Layers: c.NumHiddenLayers, DecoderLayers: &t.DecoderLayers, Heads: c.NumAttentionHeads, Buckets: t.Buckets,
		MaxDistance: t.MaxDistance, Dropout: c.Dropout.Residual, Eps: c.NormEps, FF: c.HiddenAct,
		Tie: &c.TieWordEmbeddings, Scale: &t.ScaleOutputs, First: &t.First, EOS: EndTokens(c.EOS),
		TorchDType: c.dtype()}
	if t.Gated {
		if f.FF = "gated-" + c.HiddenAct; c.HiddenAct == "gelu_new" {
			f.FF = "gated-gelu"
		}
	}
	if c.PAD >= 0 {
		f.PAD = &c.PAD
	}
	return struct {
		ModelType      string   `json:"model_type"`
		Architectures  []string `json:"architectures"`
		EncoderDecoder bool     `json:"is_encoder_decoder"`
		t5File
	}{t5Type, []string{"T5ForConditionalGeneration"}, true, f}
}
