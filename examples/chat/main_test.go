package main

import (
	"bytes"
	"image"
	"image/png"
	"math/rand/v2"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/gollava/gollava/connector/llava"
	"github.com/gollava/gollava/data/tokenizer"
	"github.com/gollava/gollava/llm"
	"github.com/gollava/gollava/nn"
	"github.com/gollava/gollava/vit"
)

// TestRun talks with a tiny model that knows nothing: an answer to each question, with and without a picture, and a
// word about a missing one.
func TestRun(t *testing.T) {
	dir := t.TempDir()
	tok, err := tokenizer.Train(slices.Values([]string{"what is in this picture ? a red circle"}), tokenizer.TrainConfig{Size: 300, Specials: []string{"<s>", "</s>", "<image>"}, BOS: "<s>", EOS: "</s>"})
	require.NoError(t, err)
	require.NoError(t, tok.Save(dir))
	m, err := llava.New(rand.New(rand.NewPCG(1, 1)), llava.Config{
		Text: llm.Config{ModelType: "llama", VocabSize: tok.Size(), HiddenSize: 16, IntermediateSize: 24, NumHiddenLayers: 1, NumAttentionHeads: 2, NumKeyValueHeads: 2, HeadDim: 8,
			MaxPositionEmbeddings: 2048, NormEps: 1e-5, HiddenAct: "silu", RoPE: nn.RoPEConfig{Type: "default", Theta: 1e4}, BOS: 0, EOS: []int{1}, PAD: -1},
		Vision: vit.VisionConfig{ModelType: "clip_vision_model", HiddenSize: 8, IntermediateSize: 16, NumHiddenLayers: 2, NumAttentionHeads: 2, NumChannels: 3, ImageSize: 16, PatchSize: 8,
			HiddenAct: "quick_gelu", LayerNormEps: 1e-5},
		Projector: "mlp2x_gelu", Select: vit.Select{Layers: []int{-2}, Class: "patch"}, Image: 2})
	require.NoError(t, err)
	require.NoError(t, llava.Save(dir, m, llava.SaveOptions{}))
	picture := filepath.Join(dir, "a.png")
	f, err := os.Create(picture)
	require.NoError(t, err)
	require.NoError(t, png.Encode(f, image.NewRGBA(image.Rect(0, 0, 20, 10))))
	require.NoError(t, f.Close())

	var out bytes.Buffer
	require.NoError(t, run(t.Context(), dir, strings.NewReader("hello\n/image none.png\n/image "+picture+"\nwhat is in this picture ?\nand now ?\n"), &out))
	require.Contains(t, out.String(), "none.png")
	require.GreaterOrEqual(t, strings.Count(out.String(), "\n"), 4)
	require.Error(t, run(t.Context(), t.TempDir(), strings.NewReader(""), &out))
}
