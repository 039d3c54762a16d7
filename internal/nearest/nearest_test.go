package nearest_test

import (
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/gollava/gollava/internal/nearest"
)

func TestWord(t *testing.T) {
	words := []string{"batch", "micro", "steps"}
	for s, want := range map[string]string{"batsh": "batch", "step": "steps", "mikro": "micro", "": "batch"} {
		require.Equal(t, want, nearest.Word(s, words), s)
	}
	require.Empty(t, nearest.Word("x", nil))
}
