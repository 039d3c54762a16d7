package main

import (
	"bytes"
	"path/filepath"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/gollava/gollava/connector/seem"
	"github.com/gollava/gollava/nn"
)

// TestSmoke trains for a few steps, tests every kind of prompt, and writes a model that loads.
func TestSmoke(t *testing.T) {
	var out bytes.Buffer
	dir := filepath.Join(t.TempDir(), "model")
	require.NoError(t, run(t.Context(), []string{"-preset", "smoke", "-out", dir}, &out))
	for _, row := range []string{`text "the red circle"`, "one click in the middle", "after 6 clicks", "PQ",
		"the object of another picture"} {
		require.Contains(t, out.String(), row)
	}
	_, err := seem.Load(dir, nn.LoadOptions{})
	require.NoError(t, err)
	require.ErrorContains(t, run(t.Context(), []string{"-preset", "x"}, &out), "there are default and smoke")
}
