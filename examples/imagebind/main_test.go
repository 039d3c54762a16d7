package main

import (
	"bytes"
	"path/filepath"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/gollava/gollava/nn"
	"github.com/gollava/gollava/tensor"
	"github.com/gollava/gollava/vit/imagebind"
)

// TestSmoke trains for a few steps, and writes a model that loads.
func TestSmoke(t *testing.T) {
	var out bytes.Buffer
	dir := filepath.Join(t.TempDir(), "model")
	require.NoError(t, run(t.Context(), []string{"-preset", "smoke", "-out", dir}, &out))
	require.Contains(t, out.String(), "audio → text")
	require.Contains(t, out.String(), "named by depth")
	m, err := imagebind.Load(dir, nn.LoadOptions{})
	require.NoError(t, err)
	require.Len(t, m.Has(), 4)
	require.ErrorContains(t, run(t.Context(), []string{"-preset", "x"}, &out), "there are default and smoke")
}

// A partner that is the nearest counts, and one that two others are nearer than does so from 3 on.
func TestRecall(t *testing.T) {
	q := tensor.From([]float32{1, 0, 0, 1, 0.6, 0.8}, 3, 2)
	g := tensor.From([]float32{1, 0, 0, 1, -1, 0}, 3, 2)
	require.InDelta(t, 200.0/3, recall(q, g, 1), 1e-9)
	require.InDelta(t, 200.0/3, recall(q, g, 2), 1e-9)
	require.InDelta(t, 100, recall(q, g, 3), 1e-9)
}
