package main

import (
	"image/png"
	"math/rand/v2"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/gollava/gollava/connector/gligen"
	"github.com/gollava/gollava/data/tokenizer"
	"github.com/gollava/gollava/nn"
	"github.com/gollava/gollava/vit"
	"github.com/gollava/gollava/vit/diffusion"
	"github.com/gollava/gollava/vit/unet"
)

// painter writes a tiny text-to-image model that knows nothing.
func painter(t *testing.T) string {
	r := rand.New(rand.NewPCG(1, 1))
	tok, err := tokenizer.Train(slices.Values([]string{"a llama with a hat"}), tokenizer.TrainConfig{Size: 260,
		Specials: []string{"<|startoftext|>", "<|endoftext|>"}, BOS: "<|startoftext|>", EOS: "<|endoftext|>",
		Pad: "<|endoftext|>"})
	require.NoError(t, err)
	text, err := vit.NewCLIPText(r, vit.TextConfig{VocabSize: tok.Size(), HiddenSize: 8, IntermediateSize: 8,
		NumHiddenLayers: 1, NumAttentionHeads: 2,
		MaxPositionEmbeddings: 16, HiddenAct: "quick_gelu", LayerNormEps: 1e-5, BOS: int(tok.BOS()),
		EOS: int(tok.EOS()), PAD: int(tok.Pad())})
	require.NoError(t, err)
	c := unet.StableDiffusion()
	c.SampleSize, c.BlockOutChannels, c.NormNumGroups = 8, []int{8, 8, 8, 8}, 4
	c.CrossAttentionDim, c.AttentionType = 8, unet.Gated
	u, err := unet.New(r, c)
	require.NoError(t, err)
	vc := unet.StableDiffusionVAE()
	vc.BlockOutChannels, vc.NormNumGroups = []int{4, 4, 4, 4}, 2
	vae, err := unet.NewVAE(r, vc)
	require.NoError(t, err)
	s, err := diffusion.New(diffusion.StableDiffusion())
	require.NoError(t, err)
	dir := t.TempDir()
	p := &gligen.Pipeline{UNet: u, VAE: vae, Text: text, Tokenizer: tok, Schedule: s, Slots: gligen.Slots}
	require.NoError(t, gligen.Save(dir, p, nn.SaveOptions{}))
	return dir
}

func TestDraw(t *testing.T) {
	dir := painter(t)
	to := filepath.Join(t.TempDir(), "llama.png")
	do := func(args ...string) (string, string) {
		var out, errs strings.Builder
		code := run(t.Context(), append([]string{"draw", dir, "a llama with a hat", "--out", to}, args...), &out, &errs)
		if code == 0 {
			return out.String(), ""
		}
		return out.String(), errs.String()
	}
	out, errs := do("--box", "a llama=0.2,0.3,0.8,1", "--box", "a hat=0.4, 0.1,0.6,0.3", "--steps", "2", "--count", "2",
		"--scheduler", "dpm")
	require.Empty(t, errs)
	second := strings.TrimSuffix(to, ".png") + "-2.png"
	require.Equal(t, to+"\n"+second+"\n", out)
	for _, name := range []string{to, second} {
		f, err := os.Open(name)
		require.NoError(t, err)
		img, err := png.Decode(f)
		require.NoError(t, err)
		require.NoError(t, f.Close())
		require.Equal(t, 64, img.Bounds().Dx())
	}
	_, errs = do("--force", "--steps", "2", "--inpaint", second, "--box", "a hat=0,0,0.5,0.5", "--size", "48x32")
	require.Empty(t, errs)
	for want, args := range map[string][]string{
		"is there already":                          {"--steps", "2"},
		`--box "a hat": PHRASE=X0,Y0,X1,Y1`:         {"--force", "--box", "a hat"},
		`"x" is no number`:                          {"--force", "--box", "a hat=0,0,x,1"},
		"every coordinate must be within [0, 1]":    {"--force", "--box", "a hat=0,0,1.5,1"},
		"has no area":                               {"--force", "--box", "a hat=0.5,0,0.5,1"},
		"3 steps: PNDMScheduler, a rule of order 4": {"--force", "--steps", "3", "--scheduler", "pndm"},
		"--size 5: WIDTHxHEIGHT":                    {"--force", "--size", "5"},
		"multiples of 8":                            {"--force", "--size", "60x64"},
		"--box says what is to be drawn anew":       {"--force", "--inpaint", second},
	} {
		_, errs := do(args...)
		require.Contains(t, errs, want)
	}
}
