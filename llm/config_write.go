package llm

import "encoding/json"

// MarshalJSON writes config.json in the spelling of transformers 4, which 5 reads too.
func (c Config) MarshalJSON() ([]byte, error) {
	eos := json.RawMessage("null")
	if len(c.EOS) == 1 {
		eos, _ = json.Marshal(c.EOS[0])
	} else if len(c.EOS) > 1 {
		eos, _ = json.Marshal(c.EOS)
	}
	if c.ModelType == "mpt" {
		alibi, bias := true, c.AlibiBiasMax
		f := map[string]any{"model_type": "mpt", "architectures": []string{architectures["mpt"]}, "vocab_size": c.VocabSize, "d_model": c.HiddenSize,
			"n_heads": c.NumAttentionHeads, "n_layers": c.NumHiddenLayers, "expansion_ratio": c.IntermediateSize / c.HiddenSize, "max_seq_len": c.MaxPositionEmbeddings,
			"layer_norm_epsilon": c.NormEps, "no_bias": true, "tie_word_embeddings": c.TieWordEmbeddings, "eos_token_id": eos, "torch_dtype": c.dtype(),
			"attn_config": map[string]any{"alibi": alibi, "alibi_bias_max": bias, "attn_type": "multihead_attention"}}
		if c.SoftmaxScale != 0 {
			f["attn_config"].(map[string]any)["softmax_scale"] = c.SoftmaxScale
		}
		if d := c.Dropout; d != (Dropout{}) {
			f["attn_config"].(map[string]any)["attn_pdrop"], f["resid_pdrop"], f["emb_pdrop"] = d.Attention, d.Residual, d.Embedding
		}
		for k, v := range map[string]int{"bos_token_id": c.BOS, "pad_token_id": c.PAD} {
			if v >= 0 {
				f[k] = v
			}
		}
		return json.Marshal(f)
	}
	f := file{ModelType: c.ModelType, VocabSize: c.VocabSize, HiddenSize: c.HiddenSize, IntermediateSize: c.IntermediateSize,
		NumHiddenLayers: c.NumHiddenLayers, NumAttentionHeads: c.NumAttentionHeads, NumKeyValueHeads: &c.NumKeyValueHeads, HeadDim: &c.HeadDim,
		MaxPositionEmbeddings: c.MaxPositionEmbeddings, RMSNormEps: &c.NormEps, HiddenAct: c.HiddenAct, TieWordEmbeddings: &c.TieWordEmbeddings,
		AttentionBias: c.AttentionBias, MLPBias: c.MLPBias, RoPETheta: c.RoPE.Theta, PartialRotaryFactor: c.RoPE.Partial, EOS: eos,
		TorchDType: c.dtype(), Architectures: []string{architectures[c.ModelType]}, InitStd: c.InitStd, DampResidual: c.DampResidual,
		EmbeddingStd: c.EmbeddingStd, AttentionDropout: c.Dropout.Attention, ResidDropout: c.Dropout.Residual, EmbdDropout: c.Dropout.Embedding}
	if c.RoPE.Type != "" && c.RoPE.Type != "default" {
		s := ropeScaling{RoPEConfig: c.RoPE, Kind: c.RoPE.Type}
		if c.RoPE.Type == "longrope" {
			f.OriginalMaxPosition = c.RoPE.OriginalMaxPosition
		}
		f.RoPEScaling = &s
	}
	if c.SlidingWindow > 0 {
		f.SlidingWindow = &c.SlidingWindow
		if c.WindowLayers != nil {
			on, from := true, c.NumHiddenLayers
			f.LayerTypes = make([]string, c.NumHiddenLayers)
			for i := range f.LayerTypes {
				f.LayerTypes[i] = "full_attention"
			}
			for _, l := range c.WindowLayers {
				f.LayerTypes[l] = "sliding_attention"
				from = min(from, l)
			}
			f.UseSlidingWindow, f.MaxWindowLayers = &on, &from
		}
	}
	if c.BOS >= 0 {
		f.BOS = &c.BOS
	}
	if c.PAD >= 0 {
		f.PAD = &c.PAD
	}
	return json.Marshal(f)
}

func (c Config) dtype() string {
	if c.DType == "" {
		return "float32"
	}
	return c.DType
}
