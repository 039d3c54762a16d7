package nn

import (
	"os"
	"path/filepath"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/gollava/gollava/tensor"
)

// What torch.save wrote loads like safetensors, in pieces or transposed; testdata of package torchfile.
const torchData = "../internal/torchfile/testdata/"

type saved struct {
	F32        *tensor.Tensor `param:"f32"`        // [3, 4]
	F16        *tensor.Tensor `param:"f16"`        // [2, 5]
	Transposed *tensor.Tensor `param:"transposed"` // [5, 6]
}

func newSaved() *saved {
	return &saved{tensor.Meta(tensor.Float32, 3, 4).Param(), tensor.Meta(tensor.Float32, 2, 5).Param(), tensor.Meta(tensor.Float32, 5, 6).Param()}
}

func TestLoadTorch(t *testing.T) {
	only := func(name string) string {
		if name == "f32" || name == "f16" || name == "transposed" {
			return name
		}
		return ""
	}
	dir := t.TempDir()
	b, err := os.ReadFile(torchData + "ordered.bin")
	require.NoError(t, err)
	sharded := t.TempDir()
	for path, data := range map[string]string{
		filepath.Join(dir, torchSingle):                       string(b),
		filepath.Join(sharded, "a.bin"):                       string(b),
		filepath.Join(sharded, "b.bin"):                       string(b),
		filepath.Join(sharded, torchIndex):                    `{"weight_map": {"f32": "a.bin", "f16": "b.bin", "transposed": "a.bin"}}`,
		filepath.Join(sharded, "lies", torchIndex):            `{"weight_map": {"f99": "a.bin"}}`,
		filepath.Join(sharded, "lies", "a.bin"):               string(b),
		filepath.Join(sharded, "both", "model.safetensors"):   "broken",
		filepath.Join(sharded, "both", "pytorch_model.bin"):   string(b),
		filepath.Join(sharded, "escape", torchIndex):          `{"weight_map": {"f32": "../a.bin"}}`,
		filepath.Join(sharded, "missing", torchIndex):         `{"weight_map": {"f32": "c.bin"}}`,
		filepath.Join(sharded, "broken", "pytorch_model.bin"): string(b[:len(b)/2]),
	} {
		require.NoError(t, os.MkdirAll(filepath.Dir(path), 0o777))
		require.NoError(t, os.WriteFile(path, []byte(data), 0o644))
	}
	for _, path := range []string{dir, filepath.Join(dir, torchSingle), sharded, torchData + "tensors.bin", torchData + "tensors-legacy.bin"} {
		for _, dt := range []tensor.DType{tensor.Float32, tensor.BFloat16} {
			got := newSaved()
			require.NoError(t, Load(got, open(t, path), LoadOptions{Rename: only, DType: As(dt)}))
			ref := newSaved()
			require.NoError(t, Load(ref, open(t, torchData+"expected.safetensors"), LoadOptions{Rename: only, DType: As(dt)}))
			same(t, ref, got)
		}
	}
	for sub, says := range map[string]string{"lies": `a.bin has no tensor "f99"`, "both": "model.safetensors", "escape": "not a file of the same folder",
		"missing": "no such file", "broken": "zip"} {
		_, err := OpenWeights(filepath.Join(sharded, sub))
		require.ErrorContains(t, err, says, sub)
	}
	_, err = OpenWeights(torchData + "refuse.bin")
	require.ErrorContains(t, err, "print")
}
