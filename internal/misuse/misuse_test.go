package misuse_test

import (
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/gollava/gollava/internal/misuse"
)

func TestErrorf(t *testing.T) {
	require.EqualError(t, misuse.Errorf("data", "record %d of %d", 7, 3), "data: record 7 of 3")
}
