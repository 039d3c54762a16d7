package gligen_test

import (
	"encoding/json"
	"os"
	"path/filepath"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/gollava/gollava/connector/gligen"
	"github.com/gollava/gollava/data/tokenizer"
	"github.com/gollava/gollava/internal/verify/casetest"
	"github.com/gollava/gollava/nn"
	"github.com/gollava/gollava/nn/nntest"
	"github.com/gollava/gollava/vit"
	"github.com/gollava/gollava/vit/diffusion"
	"github.com/gollava/gollava/vit/unet"
)

// pipeline is the model of testdata/pipeline with the weights that its script gives it. edit may change the UNet's
// configuration.
func pipeline(t testing.TB, edit func(*unet.Config)) *gligen.Pipeline {
	const dir = "testdata/pipeline"
	c, err := unet.ReadConfig(filepath.Join(dir, "unet"))
	require.NoError(t, err)
	if edit != nil {
		edit(&c)
	}
	u, err := unet.New(nil, c)
	require.NoError(t, err)
	vc, err := unet.ReadVAEConfig(filepath.Join(dir, "vae"))
	require.NoError(t, err)
	vae, err := unet.NewVAE(nil, vc)
	require.NoError(t, err)
	raw, err := os.ReadFile(filepath.Join(dir, "text_encoder", "config.json"))
	require.NoError(t, err)
	var tc vit.TextConfig
	require.NoError(t, json.Unmarshal(raw, &tc))
	text, err := vit.NewCLIPText(nil, tc)
	require.NoError(t, err)
	for _, m := range []any{u, vae, text} {
		nntest.Fill(m)
	}
	tok, err := tokenizer.Load(filepath.Join(dir, "tokenizer"))
	require.NoError(t, err)
	sc, err := diffusion.ReadConfig(filepath.Join(dir, "scheduler"))
	require.NoError(t, err)
	s, err := diffusion.New(sc)
	require.NoError(t, err)
	p := &gligen.Pipeline{UNet: u, VAE: vae, Text: text, Tokenizer: tok, Schedule: s, Slots: gligen.Slots}
	require.NoError(t, p.Validate())
	return p
}

// A pipeline that was saved and opened draws what diffusers draws.
func TestParity(t *testing.T) {
	dir := t.TempDir()
	require.NoError(t, gligen.Save(dir, pipeline(t, nil), nn.SaveOptions{}))
	for _, name := range []string{"case.json", "expected.safetensors"} {
		raw, err := os.ReadFile(filepath.Join("testdata/pipeline", name))
		require.NoError(t, err)
		require.NoError(t, os.WriteFile(filepath.Join(dir, name), raw, 0o600))
	}
	require.Len(t, casetest.Passes(t, dir, 16).Rows, 16)
}
