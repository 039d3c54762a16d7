package bindcase

import (
	"testing"

	"github.com/gollava/gollava/internal/verify/casetest"
)

func TestImageBind(t *testing.T) {
	casetest.Passes(t, ImageBind, "testdata/imagebind", 60)
	casetest.Damaged(t, ImageBind, "testdata/imagebind")
}

func TestMelSpec(t *testing.T) {
	casetest.Passes(t, MelSpec, "testdata/melspec", 8)
	casetest.Damaged(t, MelSpec, "testdata/melspec")
}
