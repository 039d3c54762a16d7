package main

import (
	"bytes"
	"math/rand/v2"
	"path/filepath"
	"slices"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/gollava/gollava/connector/llava"
	"github.com/gollava/gollava/data/shapes"
	"github.com/gollava/gollava/data/tokenizer"
	"github.com/gollava/gollava/llm"
	"github.com/gollava/gollava/lora"
	"github.com/gollava/gollava/nn"
	"github.com/gollava/gollava/vit"
)

// TestRun: a tiny model learns from a few pictures through adapters; its own weights stay, and what is stored is what
// was learnt.
func TestRun(t *testing.T) {
	dir := t.TempDir()
	w, err := shapes.New(shapes.Smoke(1))
	require.NoError(t, err)
	require.NoError(t, w.Write(t.Context(), dir, shapes.Files{Captions: 6, Instructions: 6, Questions: 1}))
	tok, err := tokenizer.Train(slices.Values(shapes.Vocabulary()), tokenizer.TrainConfig{Size: 300, Specials: []string{"<s>", "</s>", "<image>"}, BOS: "<s>", EOS: "</s>", MinCount: 1})
	require.NoError(t, err)
	model := filepath.Join(dir, "model")
	require.NoError(t, tok.Save(model))
	m, err := llava.New(rand.New(rand.NewPCG(1, 1)), llava.Config{
		Text: llm.Config{ModelType: "llama", VocabSize: tok.Size(), HiddenSize: 16, IntermediateSize: 24, NumHiddenLayers: 1, NumAttentionHeads: 2, NumKeyValueHeads: 2, HeadDim: 8,
			MaxPositionEmbeddings: 2048, NormEps: 1e-5, HiddenAct: "silu", RoPE: nn.RoPEConfig{Type: "default", Theta: 1e4}, BOS: 0, EOS: []int{1}, PAD: -1},
		Vision: vit.VisionConfig{ModelType: "clip_vision_model", HiddenSize: 8, IntermediateSize: 16, NumHiddenLayers: 2, NumAttentionHeads: 2, NumChannels: 3, ImageSize: 32, PatchSize: 8,
			HiddenAct: "quick_gelu", LayerNormEps: 1e-5},
		Projector: "mlp2x_gelu", Select: vit.Select{Layers: []int{-2}, Class: "patch"}, Image: 2})
	require.NoError(t, err)
	require.NoError(t, llava.Save(model, m, llava.SaveOptions{}))

	o := options{model: model, data: filepath.Join(dir, "pretrain", "chat.json"), images: filepath.Join(dir, "pretrain", "images"),
		replay: filepath.Join(dir, "instruct", "conversation.json"), replayImages: filepath.Join(dir, "instruct", "images"), out: filepath.Join(dir, "adapter"),
		steps: 4, batch: 3, rank: 2, alpha: 4, lr: 1e-2, seed: 1}
	var out bytes.Buffer
	require.NoError(t, run(t.Context(), o, &out))
	require.Contains(t, out.String(), "4 steps of 2 micro-batches")
	again, err := llava.Load(model, llava.LoadOptions{})
	require.NoError(t, err)
	_, err = lora.Load(again, o.out, llava.Namings(again)...)
	require.NoError(t, err)
	learnt := 0
	for name, p := range nn.Params(again) {
		if lin := filepath.Ext(filepath.Base(name)); lin == ".weight" && bytes.Contains([]byte(name), []byte("lora_B")) {
			for _, v := range p.Data() {
				if v != 0 {
					learnt++
					break
				}
			}
		}
	}
	require.Equal(t, 7, learnt, "every adapter of the block")

	for _, c := range []struct {
		change func(*options)
		want   string
	}{
		{func(o *options) { o.model = "" }, "-model is missing"},
		{func(o *options) { o.images = "" }, "-data and -images are missing"},
		{func(o *options) { o.data = filepath.Join(dir, "none.json") }, "none.json"},
		{func(o *options) { o.images = dir }, "shapes_"},
	} {
		bad := o
		c.change(&bad)
		require.ErrorContains(t, run(t.Context(), bad, &out), c.want)
	}
}
