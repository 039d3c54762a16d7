package blip2_test

import (
	"testing"

	"github.com/gollava/gollava/connector/blip2"
	"github.com/gollava/gollava/internal/jsonfile/mutate"
)

// FuzzConfig reads config.json and describes its model's weights.
func FuzzConfig(f *testing.F) {
	mutate.Fuzz(f, mutate.InFolder(f, "config.json", func(t *testing.T, dir string) error {
		c, err := blip2.ReadConfig(dir)
		if err != nil || c.Text.NumHiddenLayers+c.Vision.NumHiddenLayers > 100 {
			return err
		}
		_, err = blip2.New(nil, c)
		return err
	}), mutate.Files(f, "testdata/*/config.json")...)
}
