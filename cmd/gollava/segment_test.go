package main

import (
	"bytes"
	"image/png"
	"math/rand/v2"
	"os"
	"path/filepath"
	"slices"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/gollava/gollava/connector/seem"
	"github.com/gollava/gollava/data/imaging"
	"github.com/gollava/gollava/data/tokenizer"
	"github.com/gollava/gollava/nn"
)

// tinySEEM writes a SEEM that knows nothing into a folder.
func tinySEEM(t *testing.T, dir string) {
	tok, err := tokenizer.Train(slices.Values([]string{"the red circle"}), tokenizer.TrainConfig{Size: 270,
		Specials: []string{"<s>", "</s>"}, BOS: "<s>", EOS: "</s>"})
	require.NoError(t, err)
	require.NoError(t, tok.Save(dir))
	c := seem.FocalLarge()
	c.Focal.EmbedDim, c.Focal.Depths, c.Focal.Levels = 4, [4]int{1, 1, 1, 1}, [4]int{1, 1, 1, 1}
	c.Encoder.ConvDim, c.Encoder.MaskDim, c.Encoder.Layers, c.DimProj, c.Input.Size = 32, 8, 1, 8, 32
	c.Decoder.HiddenDim, c.Decoder.Heads, c.Decoder.FeedForward, c.Decoder.Layers, c.Decoder.Queries = 8, 2, 8, 2, 4
	c.Text = seem.TextConfig{ContextLength: 20, VocabSize: 300, Width: 8, Layers: 1, Heads: 2}
	m, err := seem.New(rand.New(rand.NewPCG(1, 2)), c)
	require.NoError(t, err)
	require.NoError(t, seem.Save(dir, m, nn.SaveOptions{}))
}

// TestSegment asks a tiny SEEM with every kind of prompt, and refuses prompts that mean nothing.
func TestSegment(t *testing.T) {
	dir := t.TempDir()
	tinySEEM(t, dir)
	picture := imaging.New(40, 30)
	for i := range picture.Pix {
		picture.Pix[i] = byte(i*i/5 + 1)
	}
	var b bytes.Buffer
	require.NoError(t, png.Encode(&b, picture))
	path, out := filepath.Join(dir, "x.png"), filepath.Join(dir, "mask.png")
	require.NoError(t, os.WriteFile(path, b.Bytes(), 0o644))

	var said, failed bytes.Buffer
	for _, args := range [][]string{
		{"--text", "the red circle"},
		{"--click", "3,4", "--click", "5,6", "--not", "39,29", "--paint"},
		{"--box", "1,2,10,20", "--scribble", "0,0,39,29"},
		{"--mask", path, "--on", path},
		{"--classes", "circle, square", "--score", "0"},
	} {
		require.NoError(t, os.RemoveAll(out))
		args = append([]string{"segment", dir, path, "--out", out}, args...)
		require.Equal(t, 0, run(t.Context(), args, &said, &failed), failed.String())
		got, err := imaging.Open(out, imaging.Options{})
		require.NoError(t, err)
		require.Equal(t, imaging.Size{W: 40, H: 30}, imaging.Size{W: got.W, H: got.H})
	}
	require.Contains(t, said.String(), "% of the picture")
	for want, args := range map[string][]string{
		"the prompt is empty":                  nil,
		"the click at x 40, y 0 is outside":    {"--click", "40,0"},
		`--box "1,2,3": needs 4 numbers`:       {"--box", "1,2,3"},
		`--click "a,1": "a" is no whole numbe`: {"--click", "a,1"},
		`--scribble "1,2,3": needs`:            {"--scribble", "1,2,3"},
	} {
		failed.Reset()
		require.Equal(t, 1, run(t.Context(), append([]string{"segment", dir, path, "--out", out}, args...), &said,
			&failed))
		require.Contains(t, failed.String(), want)
	}
}
