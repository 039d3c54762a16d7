package cpu

import (
	"testing"

	"github.com/stretchr/testify/require"
)

func TestProves(t *testing.T) {
	eachLevel(t, func(t *testing.T) { require.True(t, selfTest()) })
}

// TestProvesNotice breaks a kernel of the active level, and expects the level to fail.
func TestProvesNotice(t *testing.T) {
	g := activeTiler()
	right := g.tile
	defer func() { g.tile = right }()
	g.tile = append([]tileFunc(nil), right...)
	last := len(right) - 1
	g.tile[last] = func(tiles, k int, a *float32, aTile, aRow, aCol int, b *float32, bRow int, d *float32, dRow int, c *float32, cRow, cols int) {
		right[last](tiles, k, a, aTile, aRow, aCol, b, bRow, d, dRow, c, cRow, cols-1)
	}
	require.False(t, selfTest())
}

func BenchmarkProves(b *testing.B) {
	for b.Loop() {
		selfTest()
	}
}
