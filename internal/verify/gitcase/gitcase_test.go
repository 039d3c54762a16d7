package gitcase

import (
	"testing"

	"github.com/gollava/gollava/internal/verify/casetest"
)

const video = "../../../connector/git/testdata/git-video"

// GIT with the frames of a video passes, whole.
func TestRun(t *testing.T) { casetest.Passes(t, Run, video, 100) }

func TestDamaged(t *testing.T) { casetest.Damaged(t, Run, video) }
