package flamingo_test

import (
	"testing"

	"github.com/gollava/gollava/connector/flamingo"
	"github.com/gollava/gollava/internal/jsonfile/mutate"
)

// FuzzConfig reads config.json and describes its model's weights.
func FuzzConfig(f *testing.F) {
	mutate.Fuzz(f, mutate.InFolder(f, "config.json", func(t *testing.T, dir string) error {
		c, err := flamingo.ReadConfig(dir)
		if err != nil || c.Text.NumHiddenLayers+c.Vision.NumHiddenLayers > 100 {
			return err
		}
		_, err = flamingo.New(nil, c)
		return err
	}), mutate.Files(f, "testdata/flamingo/config.json", "../../internal/verify/testdata/idefics/config.json")...)
}
