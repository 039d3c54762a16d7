package seem

import (
	"testing"

	"github.com/gollava/gollava/internal/jsonfile"
	"github.com/gollava/gollava/internal/jsonfile/mutate"
)

// FuzzConfig reads config.json and describes its model's weights.
func FuzzConfig(f *testing.F) {
	mutate.Fuzz(f, func(t *testing.T, raw []byte) error {
		var c Config
		if err := jsonfile.Unmarshal(raw, &c); err != nil {
			return err
		}
		if err := c.Validate(); err != nil {
			return err
		}
		_, err := New(nil, c)
		return err
	}, mutate.Files(f, "testdata/tiny/config.json")...)
}
