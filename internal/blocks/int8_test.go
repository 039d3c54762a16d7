package blocks

import (
	"math"
	"math/rand/v2"
	"testing"

	"github.com/stretchr/testify/require"
)

// Blocks hold a weight of LLM.int8 exactly, and give its parts back, whatever the magnitude of a row.
func TestInt8(t *testing.T) {
	r := rand.New(rand.NewPCG(1, 2))
	const rows, in = 2000, 96
	codes, scb := make([]byte, rows*in), make([]float32, rows)
	for i := range codes {
		codes[i] = byte(r.IntN(255) - 127)
	}
	for o := range scb {
		scb[o] = float32(math.Exp(20 * r.NormFloat64()))
	}
	scb[3] = 0
	b := PackInt8(codes, scb)
	want, got := make([]float32, len(codes)), make([]float32, len(codes))
	DecodeInt8(want, codes, scb)
	INT8.Decode(got, b, 0, len(got))
	require.Equal(t, want, got)

	backCodes, backScb, ok := UnpackInt8(b, rows)
	require.True(t, ok)
	require.Equal(t, codes, backCodes)
	DecodeInt8(got, backCodes, backScb)
	require.Equal(t, want, got)

	b[36]++ // the second block of a row
	_, _, ok = UnpackInt8(b, rows)
	require.False(t, ok)
	_, _, ok = UnpackInt8(nil, 0)
	require.True(t, ok)
}

// A block that is encoded is off by at most half a step, and its largest value has the code 127.
func TestInt8Encode(t *testing.T) {
	r := rand.New(rand.NewPCG(3, 4))
	x := make([]float32, 64)
	for i := range x {
		x[i] = float32(r.NormFloat64())
	}
	clear(x[32:])
	x[7] = -9
	b, y := make([]byte, INT8.Bytes(64)), make([]float32, 64)
	INT8.Encode(b, x)
	INT8.Decode(y, b, 0, 64)
	for i := range x {
		require.InDelta(t, x[i], y[i], 9./127/2*1.0001)
	}
	require.Equal(t, int8(-127), int8(b[4+7]))
	require.Equal(t, x[32:], y[32:], "zeros")
}
