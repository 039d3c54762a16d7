package main

import (
	"path/filepath"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
)

// Without blocks the model is embedding and output layer alone.
func TestRun(t *testing.T) {
	if testing.Short() {
		t.Skip("writes 150 MB")
	}
	var out strings.Builder
	require.NoError(t, run(filepath.Join(t.TempDir(), "model.gguf"), 1, 0, &out))
	require.Regexp(t, `loaded 0\.26 GB in \d+\.\d+ s, \d+ MB of them copied`, out.String())
}
