package main

import (
	"bytes"
	"testing"

	"github.com/stretchr/testify/require"
)

func TestXor(t *testing.T) {
	var first, second bytes.Buffer
	p := run(&first)
	for i, want := range []float32{0, 1, 1, 0} {
		require.InDelta(t, want, p[i], 0.05, "case %d\n%s", i, &first)
	}
	require.Contains(t, first.String(), "step 500  loss 0.0")
	require.Contains(t, first.String(), "1 xor 0 = 0.9")

	run(&second)
	require.Equal(t, first.String(), second.String(), "two runs differ")
}
