package main

import (
	"encoding/json"
	"math/rand/v2"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/gollava/gollava/connector/llava"
	"github.com/gollava/gollava/data/imaging"
	"github.com/gollava/gollava/data/shapes"
	"github.com/gollava/gollava/nn"
	"github.com/gollava/gollava/vit"
)

// toyCLIP writes a CLIP of the quickstart's smallest world that has learnt nothing.
func toyCLIP(t *testing.T, side int) string {
	c := vit.CLIPConfig{ModelType: "clip", ProjectionDim: 16, LogitScaleInit: 2,
		Vision: vit.VisionConfig{
			ModelType:        "clip_vision_model",
			HiddenSize:       16,
			IntermediateSize: 32,
			NumHiddenLayers:  2, NumAttentionHeads: 2,
			NumChannels:   3,
			ImageSize:     side,
			PatchSize:     8,
			ProjectionDim: 16,
			HiddenAct:     "quick_gelu", LayerNormEps: 1e-5,
		},
		Text: vit.TextConfig{ModelType: "clip_text_model", VocabSize: 20, HiddenSize: 16, IntermediateSize: 32,
			NumHiddenLayers: 1, NumAttentionHeads: 2, MaxPositionEmbeddings: 16, HiddenAct: "quick_gelu",
			LayerNormEps: 1e-5, EOS: 3, ProjectionDim: 16}}
	m, err := vit.NewCLIP(rand.New(rand.NewPCG(1, 1)), c)
	require.NoError(t, err)
	dir := t.TempDir()
	require.NoError(t, vit.SaveCLIP(dir, m, nn.SaveOptions{}))
	b, err := json.Marshal(imaging.CLIP(side))
	require.NoError(t, err)
	require.NoError(t, os.WriteFile(filepath.Join(dir, "preprocessor_config.json"), b, 0o644))
	return dir
}

// A tiny language model and an untrained tower go through the whole recipe; a second run finds it done and reports the
// same.
func TestRun(t *testing.T) {
	o := options{
		llm:    "../../internal/verify/testdata/gguf/qwen2/model-f16.gguf",
		clip:   toyCLIP(t, 32),
		out:    t.TempDir(),
		seed:   1,
		preset: presets["toy"],
	}
	var first string
	for range 2 {
		var out strings.Builder
		require.NoError(t, run(t.Context(), o, &out))
		report, err := os.ReadFile(filepath.Join(o.out, "report.md"))
		require.NoError(t, err)
		require.Contains(t, out.String(), string(report))
		require.Contains(t, string(report), "| pope_random |")
		if first != "" {
			require.Equal(t, first, string(report))
		}
		first = string(report)
	}
	c, err := llava.ReadConfig(filepath.Join(o.out, "tune"))
	require.NoError(t, err)
	require.NotEmpty(t, c.Template)
	require.Equal(t, []any{2, ""}, []any{c.Merge, *c.System})
}

func TestRunRefuses(t *testing.T) {
	o := options{
		llm:    "../../internal/verify/testdata/gguf/qwen2/model-f16.gguf",
		out:    t.TempDir(),
		preset: presets["toy"],
	}
	require.ErrorContains(t, run(t.Context(), o, &strings.Builder{}), "-llm and -clip are required")
	o.clip = toyCLIP(t, 24)
	require.ErrorContains(t, run(t.Context(), o, &strings.Builder{}), "its images have 24 pixels a side")
}

// Each family of questions that is asked in other words keeps what it asks about.
func TestReword(t *testing.T) {
	w, err := shapes.New(shapes.Smoke(1))
	require.NoError(t, err)
	for _, f := range []shapes.Family{shapes.ColorOf, shapes.ShapeOf, shapes.Where} {
		_, q := w.Ask(shapes.Test, f, 0)
		require.NotEqual(t, q.Text, reword(q.Text), "the world's own questions are known")
	}
	for question, want := range map[string]string{
		"what color is the small square ?": "Tell me the color of the small square",
		"what shape is the red object ?":   "Which shape does the red object have?",
		"where is the blue star ?":         "Tell me where I can find the blue star",
	} {
		require.Equal(t, want, reword(question))
	}
	require.Equal(t, "how many shapes are there ?", reword("how many shapes are there ?"))
}
