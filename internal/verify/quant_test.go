package verify_test

import (
	"bytes"
	"encoding/json"
	"os"
	"path/filepath"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/gollava/gollava/llm"
	"github.com/gollava/gollava/nn"
	"github.com/gollava/gollava/tensor"
)

// A weight of the base stays in blocks, and does not train.
func TestBaseStaysInBlocks(t *testing.T) {
	m, err := llm.Load("testdata/quant/peft-qlora/base", nn.LoadOptions{})
	require.NoError(t, err)
	dt, ok := llm.Quantized(m)
	require.True(t, ok)
	require.Equal(t, tensor.NF4D, dt)
	for name, p := range nn.Params(m) {
		require.Equal(t, !p.DType().Quantized(), p.Trainable(), name)
	}
}

// What is wrong with a quantised checkpoint is said with the names of file, tensor and field.
func TestQuantisedFaults(t *testing.T) {
	for _, c := range []struct{ dir, file, old, new, says string }{
		{"peft-qlora/base", "model.safetensors", `"quant_type": "nf4"`, `"quant_type": "fp4"`,
			"quant_type \"fp4\" in the tensor of \"nf4\""},
		{"peft-qlora/base", "model.safetensors", `"blocksize": 64`, `"blocksize": 65`, "blocksize 65"},
		{"peft-qlora/base", "model.safetensors", `"blocksize": 64`, `"blocksize": 32`, "absmax"},
		{"peft-qlora/base", "model.safetensors", `"shape": [24, 24]`, `"shape": [24, 12]`,
			"packed codes are missing or of another size"},
		{"peft-qlora/base", "model.safetensors", `q_proj.weight.absmax"`, `q_proj.weight.absmin"`,
			"q_proj.weight.absmax\" is missing"},
		{"causal_lm-llama_gptq", "config.json", `"bits": 4`, `"bits": 5`, "bits 5 is not supported"},
		{"causal_lm-llama_gptq", "config.json", `"checkpoint_format": "gptq"`, `"checkpoint_format": "marlin"`, "marlin"},
		{"causal_lm-llama_gptq", "config.json", `"quant_method": "gptq"`, `"quant_method": "aqlm"`, "aqlm"},
		{"causal_lm-llama_gptq", "config.json", `"group_size": 16`, `"group_size": 8`, "qzeros"},
		{"causal_lm-llama_awq", "config.json", `"version": "gemm"`, `"version": "gemv"`, "gemv"},
		{"causal_lm-llama_int8", "model.safetensors", `q_proj.SCB"`, `q_proj.SCC"`, "I8"},
	} {
		dir := t.TempDir()
		require.NoError(t, os.CopyFS(dir, os.DirFS(filepath.Join("testdata/quant", c.dir))))
		path := filepath.Join(dir, c.file)
		raw, err := os.ReadFile(path)
		require.NoError(t, err)
		require.True(t, bytes.Contains(raw, []byte(c.old)), "%v", c)
		require.NoError(t, os.WriteFile(path, bytes.Replace(raw, []byte(c.old), []byte(c.new), 1), 0o600))
		_, err = llm.Load(dir, nn.LoadOptions{})
		require.ErrorContains(t, err, c.says)
		require.ErrorContains(t, err, dir)
	}
}

// Quantising while reading gives what quantising afterwards gives.
func TestQuantiseWhileReading(t *testing.T) {
	dir := "testdata/quant/causal_lm-llama_gptq"
	wide, err := llm.Load(dir, nn.LoadOptions{DType: nn.As(tensor.Float32)})
	require.NoError(t, err)
	for _, dt := range []tensor.DType{tensor.Q8_0, tensor.Q4_1, tensor.NF4D, tensor.Q4_K} {
		m, err := llm.Load(dir, nn.LoadOptions{DType: nn.As(dt)})
		require.NoError(t, err)
		weights := map[string]*tensor.Tensor{}
		for name, p := range nn.Params(m) {
			weights[name] = p
		}
		for name, p := range nn.Params(wide) {
			got, want := weights[name], dt
			if dt == tensor.Q4_K { // rows of 32 and 64 are no whole blocks of 256
				want = tensor.Q5_0
			}
			if p.Rank() < 2 {
				want = tensor.Float32
			}
			require.Equal(t, want, got.DType(), name)
			if want != tensor.Float32 {
				require.Equal(t, p.Cast(want).Bytes(), got.Bytes(), name)
			}
		}
	}
	_, err = llm.Load(dir, nn.LoadOptions{DType: nn.As(tensor.Q2_K)})
	require.ErrorContains(t, err, "cannot be written as Q2_K")
	raw, err := json.Marshal(map[string]any{"bits": 4})
	require.NoError(t, err)
	require.ErrorContains(t, nn.SupportedQuantization(raw), "quantization_config is not supported")
}
