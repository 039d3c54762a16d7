package tokenizer_test

import (
	"os"
	"path/filepath"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/gollava/gollava/internal/verify/tokenizercase"
)

// TestReference compares every case folder with what the reference programs gave.
func TestReference(t *testing.T) {
	dirs, err := filepath.Glob("testdata/cases/*/case.json")
	require.NoError(t, err)
	require.NotEmpty(t, dirs)
	for _, d := range dirs {
		dir := filepath.Dir(d)
		t.Run(filepath.Base(dir), func(t *testing.T) {
			rows, err := tokenizercase.Run(dir)
			require.NoError(t, err)
			require.NotEmpty(t, rows)
			for _, r := range rows {
				require.True(t, r.Pass, "%s: %s", r.What, r.Detail)
			}
		})
	}
}

// TestReferenceCanFail makes sure that the comparison notices a wrong id.
func TestReferenceCanFail(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "case")
	require.NoError(t, os.CopyFS(dir, os.DirFS("testdata/cases/llama-sp")))
	texts, err := os.ReadFile("testdata/cases/texts.jsonl")
	require.NoError(t, err)
	require.NoError(t, os.WriteFile(filepath.Join(dir, "..", "texts.jsonl"), texts, 0o644))
	require.NoError(t, os.WriteFile(filepath.Join(dir, "cases.jsonl"), []byte(`{"i":0,"ids":[7]}`+"\n"), 0o644))
	rows, err := tokenizercase.Run(dir)
	require.NoError(t, err)
	require.False(t, rows[0].Pass)
	require.Equal(t, "ids", rows[0].What)
}
