package lora_test

import (
	"math"
	"path/filepath"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/gollava/gollava/internal/safetensors"
	"github.com/gollava/gollava/llm"
	"github.com/gollava/gollava/lora"
	"github.com/gollava/gollava/nn"
	"github.com/gollava/gollava/tensor"
)

// Merging into 4 bits gives the codes that PEFT gives, and says what it loses.
func TestMergeInto(t *testing.T) {
	const dir = "../internal/verify/testdata/quant/peft-qlora"
	load := func() llm.Model {
		m, err := llm.Load(filepath.Join(dir, "base"), nn.LoadOptions{})
		require.NoError(t, err)
		_, err = lora.Load(m, filepath.Join(dir, "adapter"))
		require.NoError(t, err)
		return m
	}
	m := load()
	lost, err := lora.MergeInto(m, tensor.NF4D)
	require.NoError(t, err)

	wide := load()
	require.NoError(t, lora.Merge(wide))
	base, err := llm.Load(filepath.Join(dir, "base"), nn.LoadOptions{DType: nn.As(tensor.Float32)})
	require.NoError(t, err)
	values := func(m llm.Model) map[string][]float32 {
		v := map[string][]float32{}
		for name, p := range nn.Params(m) {
			v[name] = p.Detach().Cast(tensor.Float32).Data()
		}
		return v
	}
	a, b, c := values(base), values(wide), values(m)
	changed, rounded := 0.0, 0.0
	for name, x := range b {
		for i, v := range x {
			changed += float64(v-a[name][i]) * float64(v-a[name][i])
			rounded += float64(v-c[name][i]) * float64(v-c[name][i])
		}
	}
	require.InEpsilon(t, math.Sqrt(rounded/changed), lost, 1e-4)
	require.Positive(t, lost)

	out := t.TempDir()
	require.NoError(t, llm.Save(m, out, nn.SaveOptions{}))
	got, err := safetensors.OpenDir(out)
	require.NoError(t, err)
	defer got.Close()
	want, err := safetensors.OpenDir(filepath.Join(dir, "expected.safetensors"))
	require.NoError(t, err)
	defer want.Close()
	seen := 0
	for _, name := range want.Names() {
		to, ok := strings.CutPrefix(name, "out.requantized.")
		if !ok || !strings.HasSuffix(to, ".weight") && !strings.HasSuffix(to, ".weight.absmax") {
			continue
		}
		x, err := want.File(name).Bytes(name)
		require.NoError(t, err)
		y, err := got.File(to).Bytes(to)
		require.NoError(t, err)
		require.Equal(t, x, y, to)
		seen++
	}
	require.Positive(t, seen)

	_, err = lora.MergeInto(load(), tensor.Q4_K)
	require.ErrorContains(t, err, "cannot be kept as Q4_K")
	_, err = lora.MergeInto(load(), tensor.Q2_K)
	require.ErrorContains(t, err, "cannot be kept as Q2_K")
}
