package ggufcase_test

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/gollava/gollava/internal/verify"
	"github.com/gollava/gollava/internal/verify/ggufcase"
)

var tasks = map[string]verify.Task{"gguf_blocks": ggufcase.Blocks, "gguf_container": ggufcase.Container, "gguf_hostile": ggufcase.Hostile,
	"gguf_causal_lm": ggufcase.CausalLM}

func TestEverythingPasses(t *testing.T) {
	dirs, err := verify.Find("testdata")
	require.NoError(t, err)
	require.GreaterOrEqual(t, len(dirs), 5)
	for _, dir := range dirs {
		r := verify.Run(dir, tasks)
		require.True(t, r.Pass(), "%s: %s", dir, r.Note)
	}
}

// A case whose files or records were changed must fail.
func TestChangesAreFound(t *testing.T) {
	for _, c := range []struct{ dir, file, old, new string }{
		{"container", "expected.json", `"version": 2`, `"version": 3`},
		{"container", "expected.json", `0.15625`, `0.15626`},
		{"hostile", "case.json", `"seconds": 1.0`, `"seconds": 0`},
		{"hostile", "expected.json", "eps-nan.gguf", "ok-model.gguf"},
		{"hostile", "expected.json", "magic-half.gguf", "ok-container.gguf"},
		{"llama", "tokens.json", "363", "364"},
		{"llama", "model-q4_0.gguf", "attn_k.weight", "attn_v.weighd"},
	} {
		dir := t.TempDir()
		require.NoError(t, os.CopyFS(dir, os.DirFS(filepath.Join("testdata", c.dir))))
		path := filepath.Join(dir, c.file)
		raw, err := os.ReadFile(path)
		require.NoError(t, err)
		changed := strings.Replace(string(raw), c.old, c.new, 1)
		require.NotEqual(t, string(raw), changed, "%v", c)
		require.NoError(t, os.WriteFile(path, []byte(changed), 0o600))
		r := verify.Run(dir, tasks)
		require.False(t, r.Pass(), "%v", c)
	}
}
