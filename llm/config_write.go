package llm

// writeLlama returns config.json in Llama's spelling.
func writeLlama(c Config) file {
	_ = c.Validate() // fills what follows from other fields; whoever reads the file is told what is wrong
	f := file{ModelType: c.ModelType, VocabSize: c.VocabSize, HiddenSize: c.HiddenSize,
		IntermediateSize: c.IntermediateSize,
		NumHiddenLayers:  c.NumHiddenLayers, NumAttentionHeads: c.NumAttentionHeads,
		NumKeyValueHeads: &c.NumKeyValueHeads, HeadDim: &c.HeadDim,
		MaxPositionEmbeddings: c.MaxPositionEmbeddings, RMSNormEps: &c.NormEps, HiddenAct: c.HiddenAct,
		TieWordEmbeddings: &c.TieWordEmbeddings,
		AttentionBias:     c.AttentionBias, MLPBias: c.MLPBias, RoPETheta: c.RoPE.Theta,
		PartialRotaryFactor: c.RoPE.Partial, EOS: c.EOS,
		TorchDType: c.dtype(), InitStd: c.InitStd, DampResidual: c.DampResidual,
		EmbeddingStd: c.EmbeddingStd, AttentionDropout: c.Dropout.Attention, ResidDropout: c.Dropout.Residual,
		EmbdDropout: c.Dropout.Embedding}
	if family, ok := Lookup(c.ModelType); ok {
		f.Architectures = []string{family.Architecture}
	}
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
	return f
}

func (c Config) dtype() string {
	if c.DType == "" {
		return "float32"
	}
	return c.DType
}
