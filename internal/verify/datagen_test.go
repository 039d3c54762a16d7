package verify

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
)

// generated checks a case, killed at that many of its requests.
func generated(t *testing.T, dir string, killings int) []Row {
	r := &Report{Dir: dir}
	require.NoError(t, catch(func() { whole(func(r *Report, c genCase) { c.check(r, killings) })(r) }))
	return r.rows
}

func TestDatagen(t *testing.T) {
	rows := generated(t, "testdata/datagen", 5)
	require.Len(t, rows, 11)
	for _, r := range rows {
		require.True(t, r.Pass, "%s: %s", r.What, r.Detail)
	}
}

// A check that cannot fail proves nothing: each kind of row must notice a changed expectation, or a changed script.
func TestDatagenNotices(t *testing.T) {
	for _, c := range []struct{ file, old, new, row string }{
		{"contexts.jsonl", "hat: [0.336", "hat: [0.337", "contexts"},
		{"boxes.jsonl", "0.215, 1.0", "0.216, 1.0", "boxes"},
		{"parse.jsonl", `"fault": "short"`, `"fault": "long"`, "parse"},
		{"rouge.jsonl", `"rougeL": 1.0`, `"rougeL": 0.9`, "rouge"},
		{"expected/all.json", "The lamp is orange.", "The lamp is orange", "1 workers"},
		{"expected/provenance.jsonl", `"attempt": 2`, `"attempt": 3`, "8 workers"},
		{"expected/report.json", `"requests": 76`, `"requests": 75`, "1 workers: a second run"},
		{"budget/expected.json", `"accepted": 25`, `"accepted": 26`, "budget"},
		{"endpoint.jsonl", `"chatcmpl-25b12a05"`, `"chatcmpl-0"`, "killed at any request, 1 workers"},
	} {
		dir := t.TempDir()
		require.NoError(t, os.CopyFS(dir, os.DirFS("testdata/datagen")))
		path := filepath.Join(dir, c.file)
		b, err := os.ReadFile(path)
		require.NoError(t, err)
		changed := strings.Replace(string(b), c.old, c.new, 1)
		require.False(t, string(b) == changed, c.old)
		require.NoError(t, os.WriteFile(path, []byte(changed), 0o644))
		rows := generated(t, dir, 1)
		noticed := false
		for _, r := range rows {
			noticed = noticed || r.What == c.row && !r.Pass
		}
		require.True(t, noticed, "%s in place of %s is not noticed by %q", c.new, c.old, c.row)
	}
}
