package study

import (
	"image"
	"image/color"
	"math/rand/v2"
	"os"
	"path/filepath"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/gollava/gollava/vit"
)

// fourThings have a picture each, of a color.
func fourThings() (all []Thing) {
	for i := range 4 {
		m := image.NewRGBA(image.Rect(0, 0, 16, 16))
		for k := range 256 {
			copy(m.Pix[4*k:], []byte{uint8(255 * (i % 2)), uint8(255 * (i / 2 % 2)), uint8(60 * i), 255})
		}
		m.SetRGBA(3, 4, color.RGBA{9, 9, 9, 255})
		all = append(all, Thing{Name: []string{"red fox", "owl", "frog", "old red bus"}[i], Tags: []string{"red"},
			Category: "x", Shown: []*image.RGBA{m}, Held: m})
	}
	return all
}

// A batch has pictures of different things, their captions first, and then names of others; it depends on its number
// alone. All names of a model's pictures are ranked.
func TestNaming(t *testing.T) {
	all := fourThings()
	n, err := NewNaming(all, 8)
	require.NoError(t, err)
	source := func(purpose string, k int) *rand.Rand { return rand.New(rand.NewPCG(uint64(len(purpose)), uint64(k))) }
	batches := n.Batches(2, 10, source)
	for k := range 6 {
		b, err := batches(t.Context(), k)
		require.NoError(t, err)
		require.Equal(t, []int{2, 3, 8, 8}, b.Pixels.Shape())
		require.Equal(t, []int{2, 4}, b.Same.Shape())
		require.Len(t, b.Ends, 4)
		again, err := batches(t.Context(), k)
		require.NoError(t, err)
		require.Equal(t, b.Pixels.Data(), again.Pixels.Data())
	}
	m, err := vit.NewCLIP(source("", 1), vit.CLIPConfig{ModelType: "clip", ProjectionDim: 8, LogitScaleInit: 2,
		Vision: vit.VisionConfig{ModelType: "clip_vision_model", HiddenSize: 8, IntermediateSize: 8, NumHiddenLayers: 1,
			NumAttentionHeads: 1, NumChannels: 3, ImageSize: 8, PatchSize: 4, ProjectionDim: 8, HiddenAct: "gelu",
			LayerNormEps: 1e-5},
		Text: vit.TextConfig{ModelType: "clip_text_model", VocabSize: n.Words.Size(), HiddenSize: 8, IntermediateSize: 8,
			NumHiddenLayers: 1, NumAttentionHeads: 1, MaxPositionEmbeddings: n.Longest, HiddenAct: "gelu",
			LayerNormEps: 1e-5, BOS: int(n.Words.BOS()), EOS: int(n.Words.EOS()), ProjectionDim: 8}})
	require.NoError(t, err)
	first, five, err := n.ZeroShot(m, all, func(t Thing) *image.RGBA { return t.Held })
	require.NoError(t, err)
	require.LessOrEqual(t, first, 0.75)
	require.InDelta(t, 1, five, 1e-9, "of four names")
}

// A run goes on with what it was begun with, by the contents of its files, and with nothing else.
func TestBegin(t *testing.T) {
	dir := t.TempDir()
	file, run := filepath.Join(dir, "a"), filepath.Join(dir, "run")
	require.NoError(t, os.WriteFile(file, []byte("1"), 0o644))
	begin := func(resume bool, seed string) error {
		return Begin(run, resume, map[string]string{"-seed": seed}, map[string]string{"-data": file})
	}
	require.NoError(t, begin(false, "1"))
	require.ErrorContains(t, begin(false, "1"), "go on with -resume")
	require.NoError(t, begin(true, "1"))
	require.ErrorContains(t, begin(true, "2"), "another [-seed]")
	require.NoError(t, os.WriteFile(file, []byte("2"), 0o644))
	require.ErrorContains(t, begin(true, "2"), "another [-data -seed]")
	require.NoError(t, os.Remove(file))
	require.ErrorIs(t, begin(true, "1"), os.ErrNotExist)
}

// Losses and scores of metrics become plots; a line that is none is named.
func TestDrawMetrics(t *testing.T) {
	dir := t.TempDir()
	file := filepath.Join(dir, "metrics.jsonl")
	require.NoError(t, os.WriteFile(file, []byte(`{"kind":"step","stage":"a","step":1,"average":2}
{"kind":"step","stage":"a","step":2,"average":1}
{"kind":"evaluation","stage":"a","step":2,"scores":{"top1":0.5}}
`), 0o644))
	require.NoError(t, DrawMetrics(dir, file))
	require.FileExists(t, filepath.Join(dir, "loss.png"))
	require.FileExists(t, filepath.Join(dir, "scores.png"))
	require.NoError(t, os.WriteFile(file, []byte("x\n"), 0o644))
	require.ErrorContains(t, DrawMetrics(dir, file), "metrics.jsonl")
}
