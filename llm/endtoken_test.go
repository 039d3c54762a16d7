package llm_test

import (
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/gollava/gollava/llm"
)

// An end token of −1, as some checkpoints have it, is none, wherever it comes from.
func TestNoEndToken(t *testing.T) {
	m := tiny()
	for _, eos := range [][]int{{-1}, {1 << 40}} {
		_, err := llm.Generate(t.Context(), m, llm.Prompts{IDs: [][]int32{{1, 2}}},
			llm.Options{MaxNewTokens: 3, MinNewTokens: 2, EOS: eos, PAD: -1})
		require.NoError(t, err)
	}
}
