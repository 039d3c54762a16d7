package llm

import (
	"encoding/json"
	"fmt"
	"math/rand/v2"

	"github.com/gollava/gollava/internal/jsonfile"
)

func opt() Family {
	return Family{Type: "opt", Architecture: "OPTForCausalLM", Template: "plain", Read: readOPT, Write: writeOPT,
		New: func(r *rand.Rand, c Config) (Model, error) { return newOPT(r, c), nil }}
}

// optFile holds OPT's names, with transformers' defaults in readOPT.
type optFile struct {
	VocabSize        int       `json:"vocab_size"`
	HiddenSize       int       `json:"hidden_size"`
	Layers           int       `json:"num_hidden_layers"`
	FFNDim           int       `json:"ffn_dim"`
	MaxPosition      int       `json:"max_position_embeddings"`
	NormBefore       bool      `json:"do_layer_norm_before"`
	NoFinalNorm      bool      `json:"_remove_final_layer_norm"`
	WordEmbedDim     *int      `json:"word_embed_proj_dim"`
	Heads            int       `json:"num_attention_heads"`
	Activation       string    `json:"activation_function"`
	Bias             bool      `json:"enable_bias"`
	Affine           bool      `json:"layer_norm_elementwise_affine"`
	Dropout          float64   `json:"dropout"`
	AttentionDropout float64   `json:"attention_dropout"`
	Tie              *bool     `json:"tie_word_embeddings"`
	BOS              *int      `json:"bos_token_id"`
	EOS              EndTokens `json:"eos_token_id"`
	PAD              *int      `json:"pad_token_id"`
	DType            string    `json:"dtype,omitempty"`
	TorchDType       string    `json:"torch_dtype,omitempty"`
}

const optNormEps = 1e-5 // torch's default, which no config says

func readOPT(raw []byte) (c Config, err error) {
	two, one := 2, 1
	f := optFile{VocabSize: 50272, HiddenSize: 768, Layers: 12, FFNDim: 3072, MaxPosition: 2048, NormBefore: true,
		Heads: 12, Activation: "relu", Bias: true, Affine: true, Dropout: 0.1, BOS: &two, EOS: EndTokens{2}, PAD: &one}
	if err := json.Unmarshal(raw, &f); err != nil {
		return c, jsonfile.Explain(raw, err)
	}
	if !f.Affine {
		return c, fmt.Errorf("layer_norm_elementwise_affine false is not supported for opt")
	}
	c = Config{ModelType: "opt", VocabSize: f.VocabSize, HiddenSize: f.HiddenSize, IntermediateSize: f.FFNDim,
		NumHiddenLayers: f.Layers, NumAttentionHeads: f.Heads, NumKeyValueHeads: f.Heads,
		MaxPositionEmbeddings: f.MaxPosition, NormEps: optNormEps, HiddenAct: f.Activation,
		TieWordEmbeddings: f.Tie == nil || *f.Tie, AttentionBias: f.Bias, MLPBias: f.Bias, BOS: -1, PAD: -1,
		EOS: f.EOS, DType: f.DType, PostNorm: !f.NormBefore, NoFinalNorm: f.NoFinalNorm,
		Dropout: Dropout{Attention: f.AttentionDropout, Residual: f.Dropout}}
	if f.WordEmbedDim != nil && *f.WordEmbedDim != f.HiddenSize {
		if c.EmbedDim = *f.WordEmbedDim; c.EmbedDim < 1 || c.EmbedDim > 1<<20 {
			return c, fmt.Errorf("word_embed_proj_dim %d is out of range", c.EmbedDim)
		}
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
	return c, nil
}

// writeOPT returns config.json in OPT's spelling.
func writeOPT(c Config) any {
	f := optFile{VocabSize: c.VocabSize, HiddenSize: c.HiddenSize, Layers: c.NumHiddenLayers,
		FFNDim: c.IntermediateSize, MaxPosition: c.MaxPositionEmbeddings, NormBefore: !c.PostNorm,
		NoFinalNorm: c.NoFinalNorm, Heads: c.NumAttentionHeads, Activation: c.HiddenAct, Bias: c.AttentionBias,
		Affine: true, Dropout: c.Dropout.Residual, AttentionDropout: c.Dropout.Attention, Tie: &c.TieWordEmbeddings,
		EOS: EndTokens(c.EOS), TorchDType: c.dtype()}
	dim := c.embedDim()
	f.WordEmbedDim = &dim
	for _, t := range []struct {
		id int
		to **int
	}{{c.BOS, &f.BOS}, {c.PAD, &f.PAD}} {
		if t.id >= 0 {
			*t.to = &t.id
		}
	}
	return struct {
		ModelType     string   `json:"model_type"`
		Architectures []string `json:"architectures"`
		optFile
	}{"opt", []string{"OPTForCausalLM"}, f}
}

// embedDim is the width of token embeddings.
func (c *Config) embedDim() int {
	if c.EmbedDim > 0 {
		return c.EmbedDim
	}
	return c.HiddenSize
}
