package unet_test

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/gollava/gollava/internal/verify/casetest"
	"github.com/gollava/gollava/nn"
	"github.com/gollava/gollava/nn/nntest"
	"github.com/gollava/gollava/vit/unet"
)

// What is saved, loaded and computed equals what diffusers computes.
func TestParity(t *testing.T) {
	for name, c := range map[string]struct {
		save  func(dir string) error
		least int
	}{
		"unet":            {saveUNet, 80},
		"unet-text-image": {saveUNet, 4},
		"vae":             {saveVAE, 60},
	} {
		t.Run(name, func(t *testing.T) {
			dir := t.TempDir()
			require.NoError(t, os.CopyFS(dir, os.DirFS(filepath.Join("testdata", name))))
			sub, _, _ := strings.Cut(name, "-")
			require.NoError(t, c.save(filepath.Join(dir, sub)))
			casetest.Passes(t, dir, c.least)
			if name != "unet" { // which takes longer, and no other way
				casetest.Damaged(t, dir)
			}
		})
	}
}

func saveUNet(dir string) error {
	c, err := unet.ReadConfig(dir)
	if err != nil {
		return err
	}
	u, err := unet.New(nil, c)
	if err != nil {
		return err
	}
	nntest.Fill(u)
	return unet.Save(dir, u, nn.SaveOptions{})
}

func saveVAE(dir string) error {
	c, err := unet.ReadVAEConfig(dir)
	if err != nil {
		return err
	}
	m, err := unet.NewVAE(nil, c)
	if err != nil {
		return err
	}
	nntest.Fill(m)
	return unet.SaveVAE(dir, m, nn.SaveOptions{})
}
