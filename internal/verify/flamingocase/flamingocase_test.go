package flamingocase

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/gollava/gollava/internal/verify"
)

func run(dir string) verify.Result {
	return verify.Run(dir, map[string]verify.Task{"flamingo": Flamingo, "idefics": IDEFICS})
}

// OpenFlamingo and IDEFICS pass, whole; a case with another answer does not.
func TestRun(t *testing.T) {
	for dir, least := range map[string]int{"../../../connector/flamingo/testdata/flamingo": 90,
		"testdata/idefics": 115} {
		r := run(dir)
		require.True(t, r.Pass(), "%s: %s", dir, r.Note)
		require.GreaterOrEqual(t, len(r.Rows), least)
	}
	dir := t.TempDir()
	require.NoError(t, os.CopyFS(dir, os.DirFS("testdata/idefics")))
	path := filepath.Join(dir, "config.json")
	raw, err := os.ReadFile(path)
	require.NoError(t, err)
	require.NoError(t, os.WriteFile(path, []byte(strings.Replace(string(raw), `"cross_layer_interval": 2`,
		`"cross_layer_interval": 1`, 1)), 0o644))
	require.Contains(t, run(dir).Note, "gated_cross_attn_layers.1")
}
