package seemcase

import (
	"testing"

	"github.com/gollava/gollava/internal/verify/casetest"
)

func TestLosses(t *testing.T) {
	casetest.Passes(t, Losses, "testdata/losses", 20)
	casetest.Damaged(t, Losses, "testdata/losses")
}
