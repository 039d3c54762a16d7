package main

import (
	"path/filepath"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
)

// A small file is written once, loaded and run; only queries and keys, whose rows are in another order, are copied.
func TestRun(t *testing.T) {
	var out strings.Builder
	path := filepath.Join(t.TempDir(), "model.gguf")
	s := shape{width: 256, mlp: 512, heads: 4, layers: 1, vocabulary: 8000}
	require.NoError(t, run(path, s, 2, &out))
	require.Regexp(t, `^loaded 2\.7 MB in \d+\.\d+ s; 0\.\d MB were allocated\ndecodes \d+\.\d+ tokens/s`, out.String())
}
