package tokenizercase_test

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/gollava/gollava/internal/verify/tokenizercase"
)

// TestReferenceCases compares tokenizers that are read from tokenizer.json, vocab.json and vocab.txt; those of SentencePiece are
// compared in data/tokenizer.
func TestReferenceCases(t *testing.T) {
	dirs, err := filepath.Glob("testdata/*/case.json")
	require.NoError(t, err)
	require.Len(t, dirs, 8)
	for _, d := range dirs {
		rows, err := tokenizercase.Run(filepath.Dir(d))
		require.NoError(t, err)
		require.GreaterOrEqual(t, len(rows), 3)
		for _, r := range rows {
			require.True(t, r.Pass, "%s: %s: %s", d, r.What, r.Detail)
		}
	}
}

// A check that cannot fail proves nothing: each kind of row must notice a changed expectation.
func TestChangedExpectationsFail(t *testing.T) {
	for _, c := range []struct{ dir, file, old, new, what string }{
		{"clip", "cases.jsonl", `"ids":[`, `"ids":[7,`, "ids"},
		{"clip", "cases.jsonl", `"slow":[`, `"slow":[7,`, "slow"},
		{"clip", "cases.jsonl", `"slow_ftfy":[`, `"slow_ftfy":[7,`, "slow_ftfy"},
		{"clip", "cases.jsonl", `"openai":[`, `"openai":[7,`, "openai"},
		{"clip", "context.jsonl", `"hf":[`, `"hf":[7,`, "context"},
		{"bert", "cases.jsonl", `"fast":[`, `"fast":[7,`, "fast"},
		{"gpt2", "cases.jsonl", `"literal":[`, `"literal":[7,`, "literal"},
		{"gpt2", "cases.jsonl", `"pieces":["`, `"pieces":["x`, "pieces"},
		{"gpt2", "streams.jsonl", `"inc":["`, `"inc":["x`, "streams"},
		{"t5-fast", "cases.jsonl", `"decoded":"`, `"decoded":"x`, "decoded"},
	} {
		dir := filepath.Join(t.TempDir(), "case")
		require.NoError(t, os.CopyFS(dir, os.DirFS(filepath.Join("testdata", c.dir))))
		texts, err := os.ReadFile("testdata/texts.jsonl")
		require.NoError(t, err)
		require.NoError(t, os.WriteFile(filepath.Join(dir, "..", "texts.jsonl"), texts, 0o644))
		path := filepath.Join(dir, c.file)
		b, err := os.ReadFile(path)
		require.NoError(t, err)
		changed := strings.Replace(string(b), c.old, c.new, 1)
		require.NotEqual(t, string(b), changed, c.old)
		require.NoError(t, os.WriteFile(path, []byte(changed), 0o644))
		rows, err := tokenizercase.Run(dir)
		require.NoError(t, err)
		failed := map[string]float64{}
		for _, r := range rows {
			if !r.Pass {
				failed[r.What] = r.MaxAbs
			}
		}
		require.Equal(t, 1., failed[c.what], "%s: %v", c.what, failed)
	}
}

func TestRunRefusesOtherFolders(t *testing.T) {
	_, err := tokenizercase.Run(t.TempDir())
	require.ErrorIs(t, err, os.ErrNotExist)
	dir := t.TempDir()
	require.NoError(t, os.WriteFile(filepath.Join(dir, "case.json"), []byte(`{`), 0o644))
	_, err = tokenizercase.Run(dir)
	require.ErrorContains(t, err, "case.json")
}
