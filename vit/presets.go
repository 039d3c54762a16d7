package vit

import "slices"

func sorted(s []string) []string {
	slices.Sort(s)
	return s
}

// CLIPLarge336 is the tower of LLaVA-1.5, openai/clip-vit-large-patch14-336: 576 patches of width 1024.
func CLIPLarge336() VisionConfig {
	c := CLIPLarge()
	c.ImageSize = 336
	return c
}

// CLIPLarge is the tower of LLaVA v1, openai/clip-vit-large-patch14: 256 patches of width 1024.
func CLIPLarge() VisionConfig {
	c := clipVisionDefaults()
	c.HiddenSize, c.IntermediateSize, c.NumHiddenLayers, c.NumAttentionHeads, c.PatchSize, c.ProjectionDim = 1024, 4096,
		24, 16, 14, 768
	return c
}

// CLIPBase32 is openai/clip-vit-base-patch32: 49 patches of width 768.
func CLIPBase32() VisionConfig { return clipVisionDefaults() }

// CLIPBase16 is openai/clip-vit-base-patch16: 196 patches of width 768.
func CLIPBase16() VisionConfig {
	c := clipVisionDefaults()
	c.PatchSize = 16
	return c
}

// SigLIPSo400m384 is google/siglip-so400m-patch14-384: 729 patches of width 1152.
func SigLIPSo400m384() VisionConfig {
	c := siglipVisionDefaults()
	c.HiddenSize, c.IntermediateSize, c.NumHiddenLayers, c.NumAttentionHeads, c.ImageSize, c.PatchSize = 1152, 4304, 27,
		16, 384, 14
	return c
}

// CLIP is the whole model that OpenAI trained around a tower of CLIP: its text tower is 768 wide for a projection of
// 768, else 512.
func (c VisionConfig) CLIP() CLIPConfig {
	t := clipTextDefaults()
	if c.ProjectionDim == 768 {
		t.HiddenSize, t.IntermediateSize, t.NumAttentionHeads, t.ProjectionDim = 768, 3072, 12, 768
	}
	return CLIPConfig{ModelType: "clip", Text: t, Vision: c, ProjectionDim: c.ProjectionDim, LogitScaleInit: 2.6592}
}
