package train_test

import (
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/gollava/gollava/internal/verify/traincase"
)

// TestAccumulation: loss and gradients of micro-batches of 19, 3 and 9 tokens are PyTorch's, for both ways of weighing them.
func TestAccumulation(t *testing.T) {
	rows, err := traincase.Accumulation("testdata/accumulation")
	require.NoError(t, err)
	require.Len(t, rows, 8)
	for _, r := range rows {
		require.True(t, r.Pass, "%+v", r)
	}
}
