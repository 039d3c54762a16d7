package traincase_test

import (
	"bytes"
	"os"
	"path/filepath"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/gollava/gollava/internal/verify"
	"github.com/gollava/gollava/internal/verify/traincase"
)

var tasks = map[string]verify.Task{"adamw": traincase.AdamW, "schedule": traincase.Schedule,
	"accumulation": traincase.Accumulation, "llava_stages": traincase.LLaVAStages}

func TestEverythingPasses(t *testing.T) {
	for dir, want := range map[string]int{"adamw": 20, "schedule": 24, "llava-stages": 33} {
		res := verify.Run("testdata/"+dir, tasks)
		require.True(t, res.Pass(), res.Note)
		require.GreaterOrEqual(t, len(res.Rows), want, dir)
		for _, r := range res.Rows {
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
		res := verify.Run(dir, tasks)
		var failed []string
		for _, r := range res.Rows {
			if !r.Pass {
				failed = append(failed, r.What)
			}
		}
		require.Contains(t, failed, c.fails)
		require.Less(t, len(failed), len(res.Rows))
	}
}

func TestBadFolders(t *testing.T) {
	require.Contains(t, verify.Run(t.TempDir(), tasks).Note, "case.json")
	for _, c := range [][2]string{{`{"format": 2}`, "format 2"},
		{`{"format": 1, "task": "x"}`, `task "x" is not supported`},
		{`{`, "case.json"},
		{`{"format": 1, "task": "adamw", "runs": {"a": {"optimizer": "adamw"}}}`, "expected.safetensors"},
		{`{"format": 1, "task": "schedule", "file": "../x"}`, "leads out"}} {
		dir := t.TempDir()
		require.NoError(t, os.WriteFile(filepath.Join(dir, "case.json"), []byte(c[0]), 0o600))
		note := verify.Run(dir, tasks).Note
		require.Contains(t, note, c[1])
		require.NotContains(t, note, "panic")
	}
}
