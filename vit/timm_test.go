package vit_test

import (
	"os"
	"path/filepath"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/gollava/gollava/nn"
	"github.com/gollava/gollava/tensor"
	"github.com/gollava/gollava/vit"
)

// Towers as timm saves them have the features that timm computes, and so have they when they are saved as transformers'.
func TestTimm(t *testing.T) {
	for _, name := range []string{"timm_dinov2", "timm_dinov2_reg4", "timm_clip", "timm_clip_quickgelu", "timm_siglip"} {
		dir := filepath.Join("testdata", name)
		expected, err := nn.OpenWeights(filepath.Join(dir, "expected.safetensors"))
		require.NoError(t, err)
		defer expected.Close()
		read := func(name string) *tensor.Tensor {
			x, err := expected.Read(name, tensor.Float32)
			require.NoError(t, err)
			return x
		}
		saved := t.TempDir()
		for _, at := range []string{dir, saved} {
			tower, err := vit.Load(alone(t, at), nn.LoadOptions{})
			require.NoError(t, err, name)
			got := vit.Features(tower, read("pixels"), vit.Select{Layers: []int{-2}, Class: "patch"})
			want := read("features")
			require.Equal(t, want.Shape(), got.Shape(), name)
			require.InDeltaSlice(t, want.Data(), got.Data(), 2e-5, name)
			if expected.Has("smaller") {
				pixels := read("pixels").Slice(2, 0, 16).Slice(3, 0, 16)
				got := vit.Features(tower, pixels, vit.Select{Layers: []int{-2}, Class: "patch"})
				require.InDeltaSlice(t, read("smaller").Data(), got.Data(), 2e-5, name)
			}
			require.NoError(t, vit.Save(saved, tower, nn.SaveOptions{}))
		}
	}
}

// alone is a folder with the config and the weights of dir, without what else is there.
func alone(t *testing.T, dir string) string {
	to := t.TempDir()
	for _, name := range []string{"config.json", "model.safetensors"} {
		b, err := os.ReadFile(filepath.Join(dir, name))
		require.NoError(t, err)
		require.NoError(t, os.WriteFile(filepath.Join(to, name), b, 0o666))
	}
	return to
}

// The names that Prismatic's models have, and others.
func TestTimmConfig(t *testing.T) {
	for name, want := range map[string][]any{
		"vit_large_patch14_reg4_dinov2.lvd142m":     {"dinov2_with_registers", 1024, 24, 16, 4096, 518, 14, 4, "gelu"},
		"vit_base_patch14_dinov2":                   {"dinov2", 768, 12, 12, 3072, 518, 14, 0, "gelu"},
		"vit_large_patch14_clip_336.openai":         {"clip_vision_model", 1024, 24, 16, 4096, 336, 14, 0, "gelu"},
		"vit_large_patch14_clip_quickgelu_336":      {"clip_vision_model", 1024, 24, 16, 4096, 336, 14, 0, "quick_gelu"},
		"vit_so400m_patch14_siglip_384":             {"siglip_vision_model", 1152, 27, 16, 4304, 384, 14, 0, "gelu"},
		"vit_so400m_patch14_siglip_224.webli":       {"siglip_vision_model", 1152, 27, 16, 4304, 224, 14, 0, "gelu"},
		"vit_large_patch14_reg4_clip_336":           nil,
		"vit_large_patch14_clip":                    nil,
		"vit_base_patch16_224.augreg":               nil,
		"vit_so400m_patch14_siglip_gap_384":         nil,
		"vit_large_patch14_dinov2_quickgelu_518":    nil,
		"vit_giant_patch14_reg4_dinov2.lvd142m":     nil,
		"eva02_large_patch14_clip_336.merged2b":     nil,
		"xvit_large_patch14_reg4_dinov2.lvd142m":    nil,
		"vit_large_patch14_reg4_dinov2.lvd142m.bak": nil,
	} {
		c, ok := vit.TimmConfig(name)
		require.Equal(t, want != nil, ok, name)
		if ok {
			require.Equal(t, want, []any{c.ModelType, c.HiddenSize, c.NumHiddenLayers, c.NumAttentionHeads,
				c.IntermediateSize, c.ImageSize, c.PatchSize, c.Registers, c.HiddenAct}, name)
			require.NoError(t, c.Validate())
		}
	}
	for config, want := range map[string]string{
		`{"architecture": "resnet50_clip.openai"}`:                                                         `architecture "resnet50_clip.openai" of timm is not supported`,
		`{"architecture": "vit_base_patch14_dinov2", "model_args": {"global_pool": "avg"}}`:                "model_args: global_pool is not supported",
		`{"architecture": "vit_base_patch14_dinov2", "model_args": {"depth": "3"}}`:                        "model_args: depth: ",
		`{"architecture": "vit_base_patch14_dinov2", "model_args": {"embed_dim": 0}}`:                      "embed_dim 0",
		`{"architecture": "vit_base_patch14_dinov2", "model_args": {"reg_tokens": 4}}`:                     "reg_tokens 4",
		`{"architecture": "vit_base_patch14_dinov2", "model_args": {"depth": 1000000}}`:                    "num_hidden_layers",
		`{"architecture": "vit_base_patch14_dinov2", "model_args": {"patch_size": 0}}`:                     "patch_size",
		`{"architecture": "vit_base_patch14_dinov2", "pretrained_cfg": {"input_size": [3, 224, 336]}}`:     "input_size [3 224 336]",
		`{"architecture": "vit_base_patch14_dinov2", "model_args": {"embed_dim": 16, "mlp_ratio": -1}}`:    "mlp_ratio -1",
		`{"architecture": "vit_base_patch14_dinov2", "model_args": {"embed_dim": 15, "num_heads": 2}}`:     "no multiple",
		`{"architecture": "vit_so400m_patch14_siglip_384", "pretrained_cfg": {"input_size": [3, 12, 12]}}`: "below patch_size",
	} {
		dir := t.TempDir()
		require.NoError(t, os.WriteFile(filepath.Join(dir, "config.json"), []byte(config), 0o666))
		_, err := vit.Load(dir, nn.LoadOptions{})
		require.ErrorContains(t, err, want)
		require.ErrorContains(t, err, "config.json: ")
	}
}
