package imagebind

import (
	"path/filepath"
	"testing"

	"github.com/gollava/gollava/internal/jsonfile/mutate"
)

// FuzzConfig reads config.json and describes its model's weights.
func FuzzConfig(f *testing.F) {
	mutate.Fuzz(f, mutate.InFolder(f, "config.json", func(t *testing.T, dir string) error {
		c, err := readConfig(filepath.Join(dir, "config.json"))
		if err != nil {
			return err
		}
		_, err = New(nil, c)
		return err
	}), mutate.Files(f, "testdata/tiny/config.json")...)
}
