package modelcase_test

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/gollava/gollava/internal/verify"
	"github.com/gollava/gollava/internal/verify/modelcase"
)

var tasks = map[string]verify.Task{"causal_lm": modelcase.CausalLM, "peft": modelcase.PEFT, "pickle": modelcase.Pickle}

// The cases of the packages that these tasks are about.
const (
	decoder = "../../../llm/testdata/mistral"
	adapter = "../../../lora/testdata/patterns"
	pickle  = "../../torchfile/testdata"
)

func TestReferenceCases(t *testing.T) {
	for dir, n := range map[string]int{decoder: 29, adapter: 12, pickle: 5} {
		r := verify.Run(dir, tasks)
		require.True(t, r.Pass(), r.Note)
		require.Len(t, r.Rows, n)
	}
}

// A check that cannot fail proves nothing: each must notice a changed expectation or weight, and say where.
func TestChangesFail(t *testing.T) {
	for _, c := range []struct {
		dir, file string // bytes in its middle are changed
		old, new  string // unless text is replaced
		says      string
	}{
		{dir: decoder, file: "expected.safetensors", says: " instead of "},
		{dir: decoder, file: "model/model.safetensors", says: " instead of "},
		{dir: decoder, file: "model/config.json", old: `"sliding_window": 4`, new: `"sliding_window": 5`, says: " instead of "},
		{dir: decoder, file: "model/config.json", old: `"num_hidden_layers": 2`, new: `"num_hidden_layers": 3`, says: "missing     model.layers.2"},
		{dir: decoder, file: "case.json", old: `"num_beams": 3`, new: `"num_beams": 1`, says: "beam"},
		{dir: decoder, file: "case.json", old: `"early_stopping": false`, new: `"early_stopping": true`, says: "early_stopping true is not supported"},
		{dir: decoder, file: "case.json", old: `"top_k": 20`, new: `"top_k": 2`, says: "sample"},
		{dir: decoder, file: "case.json", old: `"model"`, new: `"../model"`, says: "leads out of the case's folder"},
		{dir: adapter, file: "adapter/adapter_model.safetensors", says: " instead of "},
		{dir: adapter, file: "adapter/adapter_config.json", old: `"use_rslora": true`, new: `"use_rslora": false`, says: " instead of "},
		{dir: adapter, file: "adapter/adapter_config.json", old: `"down_proj": 7`, new: `"down_proj": 6`, says: " instead of "},
		{dir: adapter, file: "adapter/adapter_config.json", old: `q_proj": 2`, new: `q_proj": 3`, says: "misshapen"},
		{dir: adapter, file: "case.json", old: `"trainable": `, new: `"trainable": 1`, says: "trainable"},
		{dir: pickle, file: "tensors.bin", says: "tensors.bin"},
		{dir: pickle, file: "case.json", old: `"refuse.bin"`, new: `"ordered.bin"`, says: "it was read"},
	} {
		dir := t.TempDir()
		require.NoError(t, os.CopyFS(dir, os.DirFS(c.dir)))
		path := filepath.Join(dir, filepath.FromSlash(c.file))
		b, err := os.ReadFile(path)
		require.NoError(t, err)
		if c.old == "" {
			for i := len(b) / 2; i < len(b)/2+64; i++ {
				b[i] ^= 0x10
			}
		} else {
			require.Contains(t, string(b), c.old, c.file)
			b = []byte(strings.Replace(string(b), c.old, c.new, 1))
		}
		require.NoError(t, os.WriteFile(path, b, 0o644))
		r := verify.Run(dir, tasks)
		require.False(t, r.Pass(), "%s: %s", c.file, c.old)
		require.Contains(t, r.Note, c.says, "%s: %s", c.file, c.old)
	}
}
