package atomicfile

import (
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"testing"

	"github.com/stretchr/testify/require"
)

func TestWrite(t *testing.T) {
	path := filepath.Join(t.TempDir(), "a", "b")
	require.NoError(t, Write(path, func(w io.Writer) error { _, err := io.WriteString(w, "one"); return err }))
	boom := errors.New("boom")
	err := Write(path, func(w io.Writer) error { io.WriteString(w, "two"); return boom })
	require.ErrorIs(t, err, boom)
	require.ErrorContains(t, err, path)
	got, err := os.ReadFile(path)
	require.NoError(t, err)
	require.Equal(t, "one", string(got))
	entries, err := os.ReadDir(filepath.Dir(path))
	require.NoError(t, err)
	require.Len(t, entries, 1)
}

func TestWritePanics(t *testing.T) {
	path := filepath.Join(t.TempDir(), "b")
	require.Panics(t, func() { _ = Write(path, func(io.Writer) error { panic("x") }) })
	entries, err := os.ReadDir(filepath.Dir(path))
	require.NoError(t, err)
	require.Empty(t, entries, "no temporary file stays")
}

func Example() {
	dir, _ := os.MkdirTemp("", "")
	defer os.RemoveAll(dir)
	path := filepath.Join(dir, "config.json")
	err := Write(path, func(w io.Writer) error { _, err := io.WriteString(w, "{}"); return err })
	got, _ := os.ReadFile(path)
	fmt.Println(string(got), err)
	// Output: {} <nil>
}
