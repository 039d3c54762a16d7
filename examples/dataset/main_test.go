package main

import (
	"bytes"
	"path/filepath"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/gollava/gollava/data"
)

func TestRun(t *testing.T) {
	dir := t.TempDir()
	var said bytes.Buffer
	require.NoError(t, run(dir, &said))
	require.Contains(t, said.String(), "20 images and flags.json are in "+dir)
	images, err := data.OpenSource(filepath.Join(dir, "images"))
	require.NoError(t, err)
	faults, err := data.Check(t.Context(), filepath.Join(dir, "flags.json"), images, data.CheckOptions{})
	require.NoError(t, err)
	require.Empty(t, faults)
	f, err := data.Open(filepath.Join(dir, "flags.json"), data.Options{})
	require.NoError(t, err)
	defer f.Close()
	require.Equal(t, 20, f.Len())
	s, err := f.Sample(0)
	require.NoError(t, err)
	require.Equal(t, "red above green", s.Turns[1].Value)
}
