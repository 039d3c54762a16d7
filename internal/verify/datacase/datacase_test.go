package datacase_test

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/gollava/gollava/internal/verify/datacase"
)

func TestReferenceCases(t *testing.T) {
	for name, parts := range map[string]int{"dataset": 3, "splice": 1} {
		rows, err := datacase.Run(filepath.Join("testdata", name))
		require.NoError(t, err)
		require.Len(t, rows, parts)
		for _, r := range rows {
			require.True(t, r.Pass, "%s: %s", r.What, r.Detail)
			require.Zero(t, r.MaxAbs)
		}
	}
}

// A check that cannot fail proves nothing: each kind of row must notice a changed expectation, and say where.
func TestChangedExpectationsFail(t *testing.T) {
	for _, c := range []struct{ dir, file, old, new, says string }{
		{"dataset", "expect.jsonl", `"words":14`, `"words":15`, `"Words":15`},
		{"dataset", "expect.jsonl", `"line":2,`, `"line":3,`, `"Line":3`},
		{"dataset", "webdataset/expect.jsonl", `["txt",`, `["text",`, "shard-000001.tar"},
		{"dataset", "case.json", `"interleave.json": [`, `"interleave.json": [7,`, "interleave.json"},
		{"splice", "cases.jsonl", `"rows":[[["t",1,`, `"rows":[[["t",2,`, "batch0"},
		{"splice", "cases.jsonl", `"error":"IndexError"`, `"unchanged":true`, "too-few-features"},
	} {
		dir := t.TempDir()
		require.NoError(t, os.CopyFS(dir, os.DirFS(filepath.Join("testdata", c.dir))))
		path := filepath.Join(dir, c.file)
		b, err := os.ReadFile(path)
		require.NoError(t, err)
		changed := strings.Replace(string(b), c.old, c.new, 1)
		require.NotEqual(t, string(b), changed, c.old)
		require.NoError(t, os.Chmod(path, 0o644))
		require.NoError(t, os.WriteFile(path, []byte(changed), 0o644))
		rows, err := datacase.Run(dir)
		require.NoError(t, err)
		failed := ""
		for _, r := range rows {
			if !r.Pass {
				failed += r.Detail
				require.Equal(t, 1., r.MaxAbs)
			}
		}
		require.Contains(t, failed, c.says, c.old)
	}
}

func TestRunRefusesOtherFolders(t *testing.T) {
	_, err := datacase.Run(t.TempDir())
	require.ErrorIs(t, err, os.ErrNotExist)
}
