package main

import (
	"bytes"
	"image"
	"image/png"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
)

// TestTrainFaults: a file that is wrong is an error with its name and line, and what to write instead. What training does, examples/llava tests.
func TestTrainFaults(t *testing.T) {
	dir := t.TempDir()
	path := filepath.Join(dir, "run.yaml")
	for text, want := range map[string]string{
		"stagee: align\n":                         `did you mean "stage"?`,
		"stage: align\ndata: x.json\nout: " + dir: "vision and llm are needed",
	} {
		require.NoError(t, os.WriteFile(path, []byte(text), 0o666))
		var out, err bytes.Buffer
		require.Equal(t, 1, run(t.Context(), []string{"train", "-config", path}, &out, &err))
		require.Contains(t, err.String(), want)
		require.Contains(t, err.String(), "run.yaml")
	}
	var out, err bytes.Buffer
	require.Equal(t, 2, run(t.Context(), []string{"train"}, &out, &err))
	require.Contains(t, err.String(), "gollava COMMAND --help shows an example")
}

// TestTalk: what goes wrong in a conversation is said, and the conversation goes on.
func TestTalk(t *testing.T) {
	dir := t.TempDir()
	picture := filepath.Join(dir, "a.png")
	f, err := os.Create(picture)
	require.NoError(t, err)
	require.NoError(t, png.Encode(f, image.NewRGBA(image.Rect(0, 0, 3, 5))))
	require.NoError(t, f.Close())
	var out, said bytes.Buffer
	k := talk{out: &out}
	input := "/image none.png\n/image " + picture + "\n/nonsense\n\n/quit\n/image " + picture + "\n"
	require.NoError(t, k.loop(t.Context(), console{in: strings.NewReader(input), out: &out, err: &said}))
	require.Contains(t, said.String(), "none.png")
	require.Len(t, k.pictures, 1)
	require.Equal(t, 1, k.fresh)
	require.NoError(t, k.loop(t.Context(), console{in: strings.NewReader("/clear\n"), out: &out, err: &said}))
	require.Empty(t, k.pictures)

	var o, e bytes.Buffer
	require.Equal(t, 1, run(t.Context(), []string{"chat", dir}, &o, &e))
	require.Contains(t, e.String(), "file does not exist")
}
