package main

import (
	"bytes"
	"image/png"
	"math/rand/v2"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/gollava/gollava/data/imaging"
	"github.com/gollava/gollava/data/tokenizer"
	"github.com/gollava/gollava/nn"
	"github.com/gollava/gollava/vit/imagebind"
)

// embedder writes a tiny ImageBind that knows nothing.
func embedder(t *testing.T) string {
	dir := t.TempDir()
	tok, err := tokenizer.Train(slices.Values([]string{"a red circle"}), tokenizer.TrainConfig{Size: 270,
		Specials: []string{"<s>", "</s>"}, BOS: "<s>", EOS: "</s>"})
	require.NoError(t, err)
	require.NoError(t, tok.Save(dir))
	c := imagebind.Huge()
	c.EmbedDim, c.Modalities = 6, []imagebind.Modality{imagebind.Vision, imagebind.Text}
	c.VisionDim, c.VisionBlocks, c.VisionHeads, c.VisionPatch = 8, 1, 2, [2]int{8, 4}
	c.TextDim, c.TextBlocks, c.TextHeads, c.VocabSize, c.ContextLength = 8, 1, 2, 300, 20
	m, err := imagebind.New(rand.New(rand.NewPCG(1, 2)), c)
	require.NoError(t, err)
	require.NoError(t, imagebind.Save(dir, m, nn.SaveOptions{}))
	return dir
}

// TestEmbed compares a text with an image, prints a vector, and refuses what the model cannot embed.
func TestEmbed(t *testing.T) {
	dir := embedder(t)
	var picture bytes.Buffer
	require.NoError(t, png.Encode(&picture, imaging.New(9, 9)))
	path := filepath.Join(dir, "x.png")
	require.NoError(t, os.WriteFile(path, picture.Bytes(), 0o644))

	var out, said bytes.Buffer
	require.Equal(t, 0, run(t.Context(), []string{"embed", dir, "text:a red circle", path}, &out, &said), said.String())
	lines := strings.Split(strings.TrimSpace(out.String()), "\n")
	require.Len(t, lines, 3)
	require.Contains(t, lines[1], " 1.000 ")
	out.Reset()
	require.Equal(t, 0, run(t.Context(), []string{"embed", dir, "--json", "image:" + path}, &out, &said))
	require.Contains(t, out.String(), `"embedding":[`)
	for want, args := range map[string][]string{
		`"circle": say what it is, such as text:circle`: {"circle"},
		"audio: the model does not have this modality":  {"none.wav"},
		"nowhere.png": {"nowhere.png"},
	} {
		said.Reset()
		require.Equal(t, 1, run(t.Context(), append([]string{"embed", dir}, args...), &out, &said))
		require.Contains(t, said.String(), want)
	}
}
