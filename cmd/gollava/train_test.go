package main

import (
	"bufio"
	"bytes"
	"context"
	"image"
	"image/png"
	"net/http"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
)

// TestTrainFaults: a file that is wrong is an error with its name and line, and what to write instead. What training
// does, examples/llava tests.
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
	k := talk{session: &echo{}, out: &out}
	input := "/image none.png\n/image " + picture + "\n/nonsense\n\n/quit\n/image " + picture + "\n"
	require.NoError(t, k.loop(t.Context(), console{in: strings.NewReader(input), out: &out, err: &said}))
	require.Contains(t, said.String(), "none.png")
	require.Len(t, k.shown, 1)
	require.Equal(t, 1, k.fresh)
	require.NoError(t, k.loop(t.Context(), console{in: strings.NewReader("/clear\n"), out: &out, err: &said}))
	require.Empty(t, k.shown)

	var o, e bytes.Buffer
	require.Equal(t, 1, run(t.Context(), []string{"chat", dir}, &o, &e))
	require.Contains(t, e.String(), "holds neither model.safetensors")
}

// The page of a run is shown from its files until the command is told to end.
func TestTrainShow(t *testing.T) {
	dir := t.TempDir()
	require.NoError(t, os.WriteFile(filepath.Join(dir, "metrics.jsonl"),
		[]byte(`{"kind": "step", "stage": "align", "step": 3, "loss": 2.5}`+"\n"), 0o666))
	ctx, cancel := context.WithCancel(t.Context())
	var out, said transcript
	ended := make(chan int, 1)
	go func() { ended <- run(ctx, []string{"train", "-show", dir, "-serve", "127.0.0.1:0"}, &out, &said) }()
	address := regexp.MustCompile(`http://[0-9.:]+`)
	require.Eventually(t, func() bool { return address.MatchString(said.String()) }, time.Minute,
		10*time.Millisecond)
	r, err := http.Get(address.FindString(said.String()) + "/events")
	require.NoError(t, err)
	lines := bufio.NewScanner(r.Body)
	for lines.Scan() && !strings.Contains(lines.Text(), `"loss":2.5`) {
	}
	require.Contains(t, lines.Text(), `"step":3`)
	require.NoError(t, r.Body.Close())
	cancel()
	require.Equal(t, 0, <-ended)
	require.Equal(t, 1, run(t.Context(), []string{"train", "-show", t.TempDir()}, &out, &said))
	require.Contains(t, said.String(), "is it the folder of a run?")
}
