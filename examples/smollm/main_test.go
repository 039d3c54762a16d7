package main

import (
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/gollava/gollava/llm"
)

// A tiny model with random weights says nothing sensible, but all of it, and in the same words again.
func TestChat(t *testing.T) {
	const model = "../../internal/verify/testdata/gguf/qwen2/model-f16.gguf"
	said := ""
	for range 2 {
		var out strings.Builder
		o := llm.Options{MaxNewTokens: 5, PAD: -1, EOS: []int{}}
		require.NoError(t, run(t.Context(), model, true, o, strings.NewReader("Hello\n\nAnd now?\n"), &out))
		require.Equal(t, 2, strings.Count(out.String(), "; 5 written at "), out.String())
		words, _, _ := strings.Cut(out.String(), "\n[")
		if said != "" {
			require.Equal(t, said, words)
		}
		said = words
	}
	require.ErrorContains(t, run(t.Context(), "main.go", true, llm.Options{}, strings.NewReader(""), &strings.Builder{}), "main.go")
}
