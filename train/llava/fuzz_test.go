package llava_test

import (
	"path/filepath"
	"testing"

	"github.com/gollava/gollava/internal/jsonfile/mutate"
	"github.com/gollava/gollava/train/llava"
)

// FuzzRunFile puts other values into a run's YAML file, which is JSON here as well.
func FuzzRunFile(f *testing.F) {
	mutate.Fuzz(f, mutate.InFolder(f, "run.yaml", func(t *testing.T, dir string) error {
		_, err := llava.ReadConfig(filepath.Join(dir, "run.yaml"))
		return err
	}), []byte(`{"stage": "task_lora", "recipe": "v1.5", "model": "m", "data": "d.json", "images": "i", "validation": 0.1,
		"skip": true, "system": "s", "aspect": "pad", "max_length": 512, "batch": 8, "micro": 2, "epochs": 1.5, "lr": 2e-4,
		"projector_lr": 2e-5, "weight_decay": 0, "schedule": "cosine", "warmup": 0.03, "clip": 1, "group_by_length": true,
		"lora": {"r": 8, "alpha": 16, "dropout": 0.05}, "dtype": "bfloat16", "bits": 4, "seed": 7, "workers": 2, "out": "o",
		"layout": "hub", "every": 10, "keep": 2, "evaluate": 5, "memory": "20GiB"}`))
}
