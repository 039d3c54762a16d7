package main

import (
	"bytes"
	"encoding/json"
	"fmt"
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
	"github.com/gollava/gollava/tensor"
	"github.com/gollava/gollava/vit"
)

var colours = map[string][3]byte{"red": {220, 30, 30}, "green": {40, 200, 50}, "blue": {30, 40, 210}, "white": {240, 240, 240}}

// square is a picture of one colour, a little darker or brighter.
func square(c [3]byte, light int) *imaging.RGB {
	m := imaging.New(20, 16)
	for i := range c {
		c[i] = byte(min(max(int(c[i])+light, 0), 255))
	}
	m.Fill(c)
	return m
}

// learn makes a folder with a CLIP that has learnt four colours from pictures and captions.
func learn(t *testing.T) string {
	dir := t.TempDir()
	names := []string{"red", "green", "blue", "white"}
	var captions []string
	for _, n := range names {
		captions = append(captions, "a photo of a "+n+" wall .")
	}
	words, err := tokenizer.Train(slices.Values(append(slices.Clone(captions), captions...)),
		tokenizer.TrainConfig{Size: 300, Specials: []string{"<s>", "</s>"}, BOS: "<s>", EOS: "</s>", Words: true})
	require.NoError(t, err)
	require.NoError(t, words.Save(dir))
	processor := imaging.CLIP(8)
	raw, err := json.Marshal(processor)
	require.NoError(t, err)
	require.NoError(t, os.WriteFile(filepath.Join(dir, "preprocessor_config.json"), raw, 0o644))

	c := vit.CLIPBase32().CLIP()
	c.ProjectionDim = 12
	c.Vision.HiddenSize, c.Vision.IntermediateSize, c.Vision.NumHiddenLayers, c.Vision.NumAttentionHeads, c.Vision.ImageSize, c.Vision.PatchSize = 16, 24, 1, 2, 8, 4
	c.Text.HiddenSize, c.Text.IntermediateSize, c.Text.NumHiddenLayers, c.Text.NumAttentionHeads, c.Text.MaxPositionEmbeddings = 16, 24, 1, 2, 12
	c.Text.VocabSize, c.Text.BOS, c.Text.EOS, c.Text.TokenStd = words.Size(), int(words.BOS()), int(words.EOS()), 0.1
	m, err := vit.NewCLIP(rand.New(rand.NewPCG(1, 2)), c)
	require.NoError(t, err)
	var ids []int32
	for _, text := range captions {
		row, err := encoder(words, c.Text)(text)
		require.NoError(t, err)
		ids = append(ids, row...)
	}
	texts := tensor.Ints(ids, len(names), len(ids)/len(names))
	var items []tensor.AdamWItem
	for _, p := range nn.Params(m) {
		items = append(items, tensor.AdamWItem{Param: p, M: tensor.New(p.Shape()...), V: tensor.New(p.Shape()...)})
	}
	for step := range 80 {
		var pixels []float32
		for _, n := range names {
			v, err := processor.Process(square(colours[n], step%5*8-16))
			require.NoError(t, err)
			pixels = append(pixels, v.Data...)
		}
		tensor.Scope(func(s *tensor.Arena) {
			images := m.EncodeImage(tensor.Wrap(pixels, 4, 3, 8, 8).In(s))
			vit.ContrastiveLoss(m.Logits(images, m.EncodeText(texts.In(s), nil)), nil).Backward()
			tensor.AdamW(tensor.AdamWConfig{LR: 3e-3, Beta1: 0.9, Beta2: 0.98, Eps: 1e-8, GradScale: 1, Step: step + 1}, items)
			m.ClampLogitScale()
			for _, it := range items {
				it.Param.ZeroGrad()
			}
		})
	}
	require.NoError(t, vit.SaveCLIP(dir, m, nn.SaveOptions{}))
	return dir
}

func TestZeroShot(t *testing.T) {
	dir := learn(t)
	pictures := map[string]string{}
	for name, c := range colours {
		path := filepath.Join(t.TempDir(), name+".png")
		f, err := os.Create(path)
		require.NoError(t, err)
		require.NoError(t, png.Encode(f, square(c, 3)))
		require.NoError(t, f.Close())
		pictures[name] = path
	}
	for _, templates := range []string{"a photo of a {} wall .", "a photo of a {} wall .|a {} wall ."} {
		var out bytes.Buffer
		require.NoError(t, run([]string{"-model", dir, "-labels", "white, blue,green,red", "-templates", templates, "-best", "2",
			pictures["red"], pictures["green"], pictures["blue"], pictures["white"]}, &out))
		lines := strings.Split(strings.TrimSpace(out.String()), "\n")
		require.Len(t, lines, 4)
		for i, want := range []string{"red", "green", "blue", "white"} {
			require.Contains(t, lines[i], fmt.Sprintf("%s.png:  %s ", want, want), out.String())
			require.Equal(t, 2, strings.Count(lines[i], "%"))
		}
	}
	for _, c := range [][2]string{
		{"", "-model, -labels and a picture are needed"},
		{"-model|" + dir + "|-labels|cat|-templates|a photo|" + pictures["red"], "{} marks the place of the label in each"},
		{"-model|" + dir + "|-labels|cat|missing.jpg", "missing.jpg"},
		{"-model|" + t.TempDir() + "|-labels|cat|" + pictures["red"], "config.json"},
	} {
		require.ErrorContains(t, run(strings.FieldsFunc(c[0], func(r rune) bool { return r == '|' }), &bytes.Buffer{}), c[1])
	}
	require.NoError(t, os.WriteFile(filepath.Join(dir, "preprocessor_config.json"), []byte(`{"image_processor_type": "CLIPImageProcessor"}`), 0o644))
	require.ErrorContains(t, run([]string{"-model", dir, "-labels", "cat", pictures["red"]}, &bytes.Buffer{}), "makes pictures of 224×224 pixels, the model looks at 8×8")
}
