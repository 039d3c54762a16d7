package traincase_test

import (
	"bytes"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/gollava/gollava/internal/verify/traincase"
)

func TestEverythingPasses(t *testing.T) {
	for dir, want := range map[string]int{"adamw": 20, "schedule": 24, "llava-stages": 33} {
		rows, err := traincase.Run("testdata/" + dir)
		require.NoError(t, err)
		require.GreaterOrEqual(t, len(rows), want, dir)
		for _, r := range rows {
			t.Logf("%s %s: abs %.2g rel %.2g of %.2g; %s", dir, r.What, r.MaxAbs, r.MaxRel, r.Tolerance, r.Detail)
			require.True(t, r.Pass, "%s %+v", dir, r)
		}
	}
}

// TestNotices changes what the cases expect and what they ask for: rows that have nothing to do with it still pass, others fail.
func TestNotices(t *testing.T) {
	for _, c := range []struct{ dir, old, new, fails string }{
		{"adamw", `"weight_decay": 0.1`, `"weight_decay": 0.2`, "decay: parameter a"},
		{"adamw", `"max_grad_norm": 1.0`, `"max_grad_norm": 0.0`, "clip: parameter c"},
		{"adamw", `"warmup_steps": 2`, `"warmup_steps": 3`, "all: learning rate"},
		{"llava-stages", `"lr": 0.004`, `"lr": 0.0044`, "stage1: loss"},
		{"llava-stages", `"language_model.model.norm.weight",`, ``, "stage2: gradient norm"},
	} {
		dir := t.TempDir()
		require.NoError(t, os.CopyFS(dir, os.DirFS("testdata/"+c.dir)))
		path := filepath.Join(dir, "case.json")
		b, err := os.ReadFile(path)
		require.NoError(t, err)
		require.Contains(t, string(b), c.old)
		require.NoError(t, os.WriteFile(path, bytes.Replace(b, []byte(c.old), []byte(c.new), 1), 0o600))
		rows, err := traincase.Run(dir)
		require.NoError(t, err)
		var failed []string
		for _, r := range rows {
			if !r.Pass {
				failed = append(failed, r.What)
			}
		}
		require.Contains(t, failed, c.fails)
		require.Less(t, len(failed), len(rows))
	}
}

func TestBadFolders(t *testing.T) {
	_, err := traincase.Run(t.TempDir())
	require.ErrorContains(t, err, "case.json")
	for _, c := range [][2]string{{`{"format": 2}`, "format 2"}, {`{"format": 1, "task": "x"}`, `task "x" is not known`}, {`{`, "case.json"},
		{`{"format": 1, "task": "adamw"}`, "expected.safetensors"}, {`{"format": 1, "task": "schedule", "file": "../x"}`, "lies elsewhere"}} {
		dir := t.TempDir()
		require.NoError(t, os.WriteFile(filepath.Join(dir, "case.json"), []byte(c[0]), 0o600))
		_, err := traincase.Run(dir)
		require.ErrorContains(t, err, c[1])
		require.False(t, strings.Contains(err.Error(), "panic"))
	}
}
