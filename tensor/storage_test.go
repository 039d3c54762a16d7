package tensor

import (
	"testing"
	"unsafe"

	"github.com/stretchr/testify/require"
)

// TestResultSize: every operation allocates one of these.
func TestResultSize(t *testing.T) {
	require.LessOrEqual(t, int(unsafe.Sizeof(result{})), 128)
}
