package llm

import (
	"encoding/json"
	"fmt"
	"math"
	"math/rand/v2"

	"github.com/gollava/gollava/internal/jsonfile"
)

func mpt() Family {
	return Family{Type: "mpt", Architecture: "MptForCausalLM", LLaVA: "llava_mpt",
		LLaVAArchitecture: "LlavaMptForCausalLM", Template: "mpt",
		Read: readMPT, Write: writeMPT,
		New: func(r *rand.Rand, c Config) (Model, error) { return newMPT(r, c), nil }}
}

// MPT's names for the same things.
type mptFile struct {
	VocabSize      int       `json:"vocab_size"`
	DModel         int       `json:"d_model"`
	NHeads         int       `json:"n_heads"`
	NLayers        int       `json:"n_layers"`
	ExpansionRatio float64   `json:"expansion_ratio"`
	MaxSeqLen      int       `json:"max_seq_len"`
	Eps            *float64  `json:"layer_norm_epsilon"`
	NoBias         *bool     `json:"no_bias"`
	Tie            *bool     `json:"tie_word_embeddings"`
	LogitScale     any       `json:"logit_scale"`
	EmbDropout     float64   `json:"emb_pdrop"`
	ResidDropout   float64   `json:"resid_pdrop"`
	NormType       string    `json:"norm_type"`
	BOS            *int      `json:"bos_token_id"`
	EOS            EndTokens `json:"eos_token_id"`
	PAD            *int      `json:"pad_token_id"`
	DType          string    `json:"dtype"`
	TorchDType     string    `json:"torch_dtype"`
	Attn           mptAttn   `json:"attn_config"`
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

func readMPT(raw []byte) (c Config, err error) {
	f := mptFile{ExpansionRatio: 4, MaxSeqLen: 2048}
	if err := json.Unmarshal(raw, &f); err != nil {
		return c, jsonfile.Explain(raw, err)
	}
	a := f.Attn
	no := func(field string, v any) (Config, error) {
		return c, fmt.Errorf("%s %v is not supported for mpt", field, v)
	}
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
	c = Config{ModelType: "mpt", VocabSize: f.VocabSize, HiddenSize: f.DModel,
		IntermediateSize: int(math.Round(f.ExpansionRatio * float64(f.DModel))),
		NumHiddenLayers:  f.NLayers, NumAttentionHeads: f.NHeads, NumKeyValueHeads: f.NHeads,
		MaxPositionEmbeddings: f.MaxSeqLen, NormEps: 1e-5,
		HiddenAct: "gelu", TieWordEmbeddings: true, BOS: -1, PAD: -1, EOS: f.EOS, DType: f.DType, AlibiBiasMax: 8,
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
	if f.BOS != nil {
		c.BOS = *f.BOS
	}
	if f.PAD != nil {
		c.PAD = *f.PAD
	}
	return c, nil
}

// writeMPT returns config.json in MPT's spelling.
func writeMPT(c Config) any {
	alibi, bias := true, c.AlibiBiasMax
	f := map[string]any{"model_type": "mpt", "architectures": []string{"MptForCausalLM"}, "vocab_size": c.VocabSize,
		"d_model": c.HiddenSize,
		"n_heads": c.NumAttentionHeads, "n_layers": c.NumHiddenLayers,
		"expansion_ratio": c.IntermediateSize / c.HiddenSize, "max_seq_len": c.MaxPositionEmbeddings,
		"layer_norm_epsilon": c.NormEps, "no_bias": true, "tie_word_embeddings": c.TieWordEmbeddings,
		"eos_token_id": EndTokens(c.EOS), "torch_dtype": c.dtype(),
		"attn_config": map[string]any{"alibi": alibi, "alibi_bias_max": bias, "attn_type": "multihead_attention"}}
	if c.SoftmaxScale != 0 {
		f["attn_config"].(map[string]any)["softmax_scale"] = c.SoftmaxScale
	}
	if d := c.Dropout; d != (Dropout{}) {
		f["attn_config"].(map[string]any)["attn_pdrop"] = d.Attention
		f["resid_pdrop"], f["emb_pdrop"] = d.Residual, d.Embedding
	}
	for k, v := range map[string]int{"bos_token_id": c.BOS, "pad_token_id": c.PAD} {
		if v >= 0 {
			f[k] = v
		}
	}
	return f
}
