package git_test

import (
	"testing"

	"github.com/gollava/gollava/connector/git"
	"github.com/gollava/gollava/internal/jsonfile/mutate"
)

// FuzzConfig reads config.json and describes its model's weights.
func FuzzConfig(f *testing.F) {
	mutate.Fuzz(f, mutate.InFolder(f, "config.json", func(t *testing.T, dir string) error {
		c, err := git.ReadConfig(dir)
		if err != nil || c.NumHiddenLayers+c.Vision.NumHiddenLayers > 100 {
			return err
		}
		_, err = git.New(nil, c)
		return err
	}), mutate.Files(f, "testdata/*/config.json")...)
}
