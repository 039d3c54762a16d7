package unet

import (
	"testing"

	"github.com/gollava/gollava/internal/jsonfile/mutate"
)

// FuzzConfig reads a UNet's config.json and describes its model's weights.
func FuzzConfig(f *testing.F) {
	mutate.Fuzz(f, mutate.InFolder(f, "config.json", func(t *testing.T, dir string) error {
		c, err := ReadConfig(dir)
		if err != nil {
			return err
		}
		_, err = New(nil, c)
		return err
	}), mutate.Files(f, "testdata/*/unet/config.json")...)
}

// FuzzVAEConfig reads an autoencoder's.
func FuzzVAEConfig(f *testing.F) {
	mutate.Fuzz(f, mutate.InFolder(f, "config.json", func(t *testing.T, dir string) error {
		c, err := ReadVAEConfig(dir)
		if err != nil {
			return err
		}
		_, err = NewVAE(nil, c)
		return err
	}), mutate.Files(f, "testdata/vae/vae/config.json")...)
}
