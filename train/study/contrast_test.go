package study

import (
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/gollava/gollava/data/shapes"
)

// A text is no negative of a picture whose own text is the same; columns of further texts stay 0.
func TestEqual(t *testing.T) {
	got := Equal([]string{"a", "b", "a"}, 5)
	require.Equal(t, []int{3, 5}, got.Shape())
	require.Equal(t, []float32{0, 0, -1e4, 0, 0, 0, 0, 0, 0, 0, -1e4, 0, 0, 0, 0}, got.Data())
}

// Channel, row and column are where the picture has them.
func TestPixels(t *testing.T) {
	w, err := shapes.New(shapes.Smoke(2))
	require.NoError(t, err)
	scenes := []shapes.Scene{w.Scene(shapes.Train, 0, shapes.Options{}), w.Scene(shapes.Train, 1, shapes.Options{})}
	x := Pixels(scenes, func(v float32) float32 { return v / 2 })
	S := w.Side()
	require.Equal(t, []int{2, 3, S, S}, x.Shape())
	for i, s := range scenes {
		for row := range S {
			for col := range S {
				c := s.Image().RGBAAt(col, row)
				for k, v := range []uint8{c.R, c.G, c.B} {
					require.Equal(t, float32(v)/2, x.Data()[((i*3+k)*S+row)*S+col])
				}
			}
		}
	}
}
