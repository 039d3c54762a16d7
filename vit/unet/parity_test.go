package unet_test

import (
	"hash/crc32"
	"math"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/gollava/gollava/internal/verify"
	"github.com/gollava/gollava/internal/verify/drawcase"
	"github.com/gollava/gollava/nn"
	"github.com/gollava/gollava/vit/unet"
)

// fill gives a model the weights that testdata/make_cases.py gives it.
func fill(m any) {
	for name, p := range nn.Params(m) {
		p.Allocate()
		scale, center, seed := 0.5, 0.5, uint64(crc32.ChecksumIEEE([]byte(name)))
		if p.Rank() > 1 {
			scale, center = 1/math.Sqrt(float64(p.Len()/p.Dim(0))), 0
		}
		for i := range p.Data() {
			h := (uint64(i)*2654435761 + seed) & math.MaxUint32
			h = (h ^ h>>15) * 2246822519 & math.MaxUint32
			p.Data()[i] = float32(scale*(2*float64(h>>8)/(1<<24)-1) + center)
		}
	}
}

// What is saved, loaded and computed equals what diffusers computes.
func TestParity(t *testing.T) {
	for name, c := range map[string]struct {
		task  verify.Task
		save  func(dir string) error
		least int
	}{
		"unet":            {drawcase.UNet, saveUNet, 80},
		"unet-text-image": {drawcase.UNet, saveUNet, 4},
		"vae":             {drawcase.VAE, saveVAE, 60},
	} {
		t.Run(name, func(t *testing.T) {
			dir := t.TempDir()
			require.NoError(t, os.CopyFS(dir, os.DirFS(filepath.Join("testdata", name))))
			sub, _, _ := strings.Cut(name, "-")
			require.NoError(t, c.save(filepath.Join(dir, sub)))
			rows, err := c.task(dir)
			require.NoError(t, err)
			require.GreaterOrEqual(t, len(rows), c.least)
			for _, r := range rows {
				require.True(t, r.Pass, "%+v", r)
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
	fill(u)
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
	fill(m)
	return unet.SaveVAE(dir, m, nn.SaveOptions{})
}
