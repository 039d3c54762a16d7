package eval

import (
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/gollava/gollava/data/shapes"
)

// In images that the world itself has drawn, things are found where and as what they are.
func TestFind(t *testing.T) {
	w, err := shapes.New(shapes.Smoke(1))
	require.NoError(t, err)
	overlap, shape, n := 0.0, 0, 0
	for i := range 60 {
		s := w.Scene(shapes.Test, i, shapes.Options{MinObjects: 1, MaxObjects: 1})
		o := s.Objects[0]
		d, ok := Find(w, s.Image(), o.Color)
		require.True(t, ok, "%d: %v", i, o)
		overlap += IoU(d.Box, s.Box(o))
		if n++; d.Shape == o.Shape {
			shape++
		}
		for c := shapes.Red; c <= shapes.Orange; c++ {
			if other, ok := Find(w, s.Image(), c); ok && c != o.Color {
				require.Less(t, other.Pixels, d.Pixels, "%d: %v is no %v", i, o, c)
			}
		}
	}
	t.Logf("IoU %.3f, shape %d of %d", overlap/float64(n), shape, n)
	require.Greater(t, overlap/float64(n), 0.7, "edges of less than half an object are not seen")
	require.Greater(t, shape, n*9/10)
}

func TestIoU(t *testing.T) {
	require.Equal(t, 1.0, IoU([4]int{1, 2, 3, 5}, [4]int{1, 2, 3, 5}))
	require.InDelta(t, 1.0/7, IoU([4]int{0, 0, 2, 2}, [4]int{1, 1, 3, 3}), 1e-9)
	require.Zero(t, IoU([4]int{0, 0, 2, 2}, [4]int{2, 0, 3, 3}))
	require.Zero(t, IoU([4]int{}, [4]int{}))
}
