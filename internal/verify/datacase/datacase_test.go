package datacase_test

import (
	"os"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/gollava/gollava/internal/verify/datacase"
)

func TestCases(t *testing.T) {
	dir := os.Getenv("GOLLAVA_DATACASE")
	if dir == "" {
		t.Skip("GOLLAVA_DATACASE names no case folder")
	}
	rows, err := datacase.Run(dir)
	require.NoError(t, err)
	for _, r := range rows {
		t.Log(r.What, r.Detail)
		require.True(t, r.Pass, r.What)
	}
}
