package main

import (
	"path/filepath"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/gollava/gollava/connector/llava"
	"github.com/gollava/gollava/nn"
	"github.com/gollava/gollava/tensor"
)

// A vision-language model goes to GGUF and back, adapters over it and folded into it, and is talked with there.
func TestGGUFVision(t *testing.T) {
	dir := tiny(t)
	do := func(args string) string {
		code, said := command(t, dir, args)
		require.Zero(t, code, said)
		return said
	}
	said := do("quantise DIR/model --type f32 --out DIR/gguf/m.gguf")
	require.Regexp(t, `mm\.2\.weight +F32 +0\.0000%`, said)
	require.Regexp(t, `blk\.1\.ffn_down\.weight +F32 +0\.0000%`, said)
	require.Contains(t, said, filepath.Join(dir, "gguf", "mmproj-m.gguf"))
	require.InDeltaSlice(t, logits(t, filepath.Join(dir, "model"), ""),
		logits(t, filepath.Join(dir, "gguf", "m.gguf"), ""), 1e-3)
	require.InDeltaSlice(t, logits(t, filepath.Join(dir, "model"), filepath.Join(dir, "adapter")),
		logits(t, filepath.Join(dir, "gguf"), filepath.Join(dir, "adapter")), 1e-3)
	require.Contains(t, do("chat DIR/gguf/m.gguf --ask what --max-tokens 3"), "template vicuna_v1")
	require.Contains(t, do("chat DIR/gguf/m.gguf --mmproj DIR/gguf/mmproj-m.gguf --ask what --max-tokens 3"),
		"template vicuna_v1")

	do("export DIR/gguf --dtype float32 --out DIR/back") // transformers' layout
	require.InDeltaSlice(t, logits(t, filepath.Join(dir, "gguf"), ""), logits(t, filepath.Join(dir, "back"), ""),
		1e-6)
	do("export DIR/adapter --base DIR/gguf --layout gguf --type f32 --out DIR/merged/m.gguf")
	require.InDeltaSlice(t, logits(t, filepath.Join(dir, "gguf"), filepath.Join(dir, "adapter")),
		logits(t, filepath.Join(dir, "merged"), ""), 1e-4)

	do("export DIR/model --layout gguf --type q8_0 --out DIR/small/m.gguf")
	m, err := llava.Load(filepath.Join(dir, "small"), llava.LoadOptions{})
	require.NoError(t, err)
	blocks := 0
	for _, p := range nn.Params(m.Language) {
		if p.DType() == tensor.Q8_0 {
			blocks++
		}
	}
	require.Zero(t, blocks, "rows of 16 and 24 are no whole number of blocks: float16")
	said = do("quantise DIR/model --type nf4d --out DIR/nf4d") // bitsandbytes' checkpoint
	require.Regexp(t, `layers\.1\.mlp\.down_proj\.weight +NF4D +\d\.\d+%`, said)
	do("export DIR/nf4d --out DIR/nf4d-again")
	require.Equal(t, logits(t, filepath.Join(dir, "nf4d"), ""), logits(t, filepath.Join(dir, "nf4d-again"), ""))
	w, err := nn.OpenWeights(filepath.Join(dir, "nf4d-again"))
	require.NoError(t, err)
	defer w.Close()
	require.Equal(t, "NF4D", w.DType("language_model.model.layers.1.mlp.down_proj.weight"), "stays in 4 bits")
	require.Regexp(t, `4 bits: rounding the merged weights changes them by \d+ %`,
		do("merge DIR/adapter --base DIR/model --bits 4 --out DIR/merged4"))
	w4, err := nn.OpenWeights(filepath.Join(dir, "merged4"))
	require.NoError(t, err)
	defer w4.Close()
	require.Equal(t, "NF4D", w4.DType("language_model.model.layers.1.mlp.down_proj.weight"))
	code, said := command(t, dir, "export DIR/model --layout gguf --type q9 --out DIR/x.gguf")
	require.NotZero(t, code)
	require.Contains(t, said, `type "q9" is not known`)
}
