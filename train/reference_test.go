package train_test

import (
	"testing"

	"github.com/gollava/gollava/internal/verify/casetest"
)

// TestAccumulation: loss and gradients of micro-batches of 19, 3 and 9 tokens are PyTorch's, for both ways of weighing them.
func TestAccumulation(t *testing.T) {
	casetest.Passes(t, "testdata/accumulation", 8)
}
