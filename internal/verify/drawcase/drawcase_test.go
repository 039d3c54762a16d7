package drawcase

import (
	"path/filepath"
	"testing"

	"github.com/gollava/gollava/internal/verify"
	"github.com/gollava/gollava/internal/verify/casetest"
)

// The packages' own cases pass, whole, and damaged ones do not panic; those of the networks are tested beside them.
func TestCases(t *testing.T) {
	for dir, c := range map[string]struct {
		task  verify.Task
		least int
	}{
		"vit/diffusion/testdata/diffusion_schedules": {Schedules, 40},
	} {
		dir = filepath.Join("../../..", dir)
		casetest.Passes(t, c.task, dir, c.least)
		casetest.Damaged(t, c.task, dir)
	}
}
