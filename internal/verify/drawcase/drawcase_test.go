package drawcase

import (
	"path/filepath"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/gollava/gollava/internal/verify"
)

// The packages' own cases pass, whole.
func TestCases(t *testing.T) {
	for dir, c := range map[string]struct {
		task  verify.Task
		least int
	}{
		"vit/diffusion/testdata/diffusion_schedules": {Schedules, 40},
	} {
		rows, err := c.task(filepath.Join("../../..", dir))
		require.NoError(t, err, dir)
		require.GreaterOrEqual(t, len(rows), c.least, dir)
		for _, r := range rows {
			require.True(t, r.Pass, "%s: %+v", dir, r)
		}
	}
}
