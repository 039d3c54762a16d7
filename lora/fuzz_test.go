package lora_test

import (
	"testing"

	"github.com/gollava/gollava/internal/jsonfile/mutate"
	"github.com/gollava/gollava/llm"
	"github.com/gollava/gollava/lora"
)

// FuzzConfig reads adapter_config.json and puts such an adapter on a model without weights.
func FuzzConfig(f *testing.F) {
	base, err := llm.ReadConfig("testdata/patterns/model")
	if err != nil {
		f.Fatal(err)
	}
	mutate.Fuzz(f, mutate.InFolder(f, "adapter_config.json", func(t *testing.T, dir string) error {
		c, err := lora.ReadConfig(dir)
		if err != nil || c.R > 1024 {
			return err
		}
		m, err := llm.New(nil, base)
		if err != nil {
			return err
		}
		_, err = lora.Wrap(m, c, nil, nil)
		return err
	}), mutate.Files(f, "testdata/*/adapter/adapter_config.json")...)
}
