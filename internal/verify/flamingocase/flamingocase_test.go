package flamingocase

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
)

// OpenFlamingo and IDEFICS pass, whole; a case with another answer does not.
func TestRun(t *testing.T) {
	for dir, least := range map[string]int{"../../../connector/flamingo/testdata/flamingo": 90, "testdata/idefics": 115} {
		rows, err := Run(dir)
		require.NoError(t, err)
		require.GreaterOrEqual(t, len(rows), least)
		for _, r := range rows {
			require.True(t, r.Pass, "%s: %s: %s", dir, r.What, r.Detail)
		}
	}
	dir := t.TempDir()
	require.NoError(t, os.CopyFS(dir, os.DirFS("testdata/idefics")))
	path := filepath.Join(dir, "config.json")
	raw, err := os.ReadFile(path)
	require.NoError(t, err)
	require.NoError(t, os.WriteFile(path, []byte(strings.Replace(string(raw), `"cross_layer_interval": 2`,
		`"cross_layer_interval": 1`, 1)), 0o644))
	rows, err := Run(dir)
	require.NoError(t, err)
	require.False(t, rows[len(rows)-1].Pass)
	require.Contains(t, rows[len(rows)-1].Detail, "gated_cross_attn_layers.1")
}
