package main

import (
	"bytes"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/gollava/gollava/connector/git"
	"github.com/gollava/gollava/data/imaging"
	"github.com/gollava/gollava/data/shapes"
)

// At toy size the loss falls, and what is saved captions as the model in memory does.
func TestRun(t *testing.T) {
	dir := t.TempDir()
	var out bytes.Buffer
	require.NoError(t, run([]string{"-steps", "25", "-batch", "8", "-test", "3", "-smooth", "-out", dir}, &out))
	require.Contains(t, out.String(), "of 3 captions right")

	a, err := git.Open(dir, git.LoadOptions{})
	require.NoError(t, err)
	c, err := newCaptioner(1)
	require.NoError(t, err)
	c.Model = a.Model
	_, want, err := c.score(1, "")
	require.NoError(t, err)
	a.Options.MaxNewTokens = 20
	seen := imaging.FromImage(c.world.Scene(shapes.Test, 0, shapes.Options{}).Image())
	got, err := git.Caption(t.Context(), a, "", seen)
	require.NoError(t, err)
	require.Equal(t, want, got)

	require.Error(t, run([]string{"-steps", "many"}, &out))
}
