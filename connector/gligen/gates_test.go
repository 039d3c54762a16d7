package gligen

import (
	"math"
	"testing"

	"github.com/stretchr/testify/require"
)

func TestGates(t *testing.T) {
	g, err := Gates(10, 0.3, 0.4)
	require.NoError(t, err)
	require.InDeltaSlice(t, []float64{1, 1, 1, 0.75, 0.5, 0.25, 0, 0, 0, 0}, g, 1e-12)
	g, err = Gates(5, 0.4, 0)
	require.NoError(t, err)
	require.Equal(t, []float64{1, 1, 0, 0, 0}, g)
	for _, bad := range [][2]float64{{-0.1, 0}, {0.7, 0.4}, {math.NaN(), 0}, {0, math.NaN()}} {
		_, err := Gates(10, bad[0], bad[1])
		require.Error(t, err)
	}
}
