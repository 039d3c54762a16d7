//go:build unix

package main

import (
	"bytes"
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"golang.org/x/sys/unix"
)

// TestPipes puts a pipe that nobody writes to in place of each file that a command reads: it is refused, or passed over
// where another file says the same, and never waited for.
func TestPipes(t *testing.T) {
	dir := tiny(t)
	model := filepath.Join(dir, "model")
	picture := filepath.Join(dir, "picture.png")
	require.NoError(t, os.WriteFile(picture, []byte("no image"), 0o600))
	entries, err := os.ReadDir(model)
	require.NoError(t, err)
	paths := []string{picture, filepath.Join(dir, "run.yaml")}
	for _, e := range entries {
		paths = append(paths, filepath.Join(model, e.Name()))
	}
	require.Greater(t, len(paths), 5)
	for _, path := range paths {
		kept := path + ".kept"
		if err := os.Rename(path, kept); !os.IsNotExist(err) {
			require.NoError(t, err)
		}
		require.NoError(t, unix.Mkfifo(path, 0o600))
		args := []string{"chat", model, "--ask", "what", "--image", picture, "--max-tokens", "1"}
		if filepath.Ext(path) == ".yaml" {
			args = []string{"train", "--config", path}
		}
		done := make(chan string, 1)
		go func() {
			var out, said bytes.Buffer
			run(t.Context(), args, &out, &said)
			done <- said.String()
		}()
		select {
		case said := <-done:
			t.Logf("%s: %s", filepath.Base(path), said)
			require.NotContains(t, said, "panic")
		case <-time.After(5 * time.Minute):
			t.Fatalf("%s is waited for", path)
		}
		require.NoError(t, os.Remove(path))
		if err := os.Rename(kept, path); !os.IsNotExist(err) {
			require.NoError(t, err)
		}
	}
}
