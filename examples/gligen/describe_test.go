package main

import (
	"image"
	"image/color"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/gollava/gollava/data/shapes"
	"github.com/gollava/gollava/data/shapes/eval"
)

// A description counts where it names what was asked for, in the places of the larger world.
func TestDescribed(t *testing.T) {
	w, err := shapes.New(shapes.Default(1))
	require.NoError(t, err)
	s := shapes.Scene{Objects: []shapes.Object{{Color: shapes.Red, Shape: shapes.Star, Cell: shapes.Cell{Row: 0, Col: 1}}}}
	for _, c := range []struct {
		text string
		want described
	}{
		{"a small red star at the top center .", described{1, 1, 1, 1, 1}},
		{"a large blue star at the top left and a small red star at the middle left .", described{1, 1, 1, 0, 0}},
		{"a small red circle at the top center .", described{1, 1, 0, 1, 0}},
		{"a small blue star at the top center .", described{objects: 1}},
		{"", described{objects: 1}},
	} {
		var d described
		d.count(s, w, eval.Mentions(c.text))
		require.Equal(t, c.want, d, c.text)
	}
	require.Equal(t, "described: colour 100 %, shape 50 %, place 0 %, all three 0 %",
		described{objects: 2, color: 2, shape: 1}.String())
}

// An image keeps its place at the top left, and its background goes on.
func TestEnlarged(t *testing.T) {
	m := image.NewRGBA(image.Rect(0, 0, 3, 2))
	for i := range 6 {
		m.Set(i%3, i/3, color.RGBA{9, 8, 7, 255})
	}
	m.Set(2, 1, color.RGBA{200, 100, 50, 255})
	out := enlarged(m, 4)
	for i := range 16 {
		want := []byte{9, 8, 7}
		if i == 4+2 {
			want = []byte{200, 100, 50}
		}
		require.Equal(t, want, out.Pix[3*i:3*i+3], i)
	}
}

// A folder without a model is refused before anything trains.
func TestDescribeNeedsAModel(t *testing.T) {
	var out strings.Builder
	require.ErrorContains(t, run(t.Context(), []string{"-describe", t.TempDir()}, &out), "holds neither model.safetensors")
	require.Empty(t, out.String())
}
