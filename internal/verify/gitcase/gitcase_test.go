package gitcase

import (
	"testing"

	"github.com/stretchr/testify/require"
)

// GIT with the frames of a video passes, whole.
func TestRun(t *testing.T) {
	rows, err := Run("../../../connector/git/testdata/git-video")
	require.NoError(t, err)
	require.GreaterOrEqual(t, len(rows), 100)
	for _, r := range rows {
		require.True(t, r.Pass, "%s: %s", r.What, r.Detail)
	}
}
