package eval

import (
	"image"
	"image/color"
	"image/png"
	"os"
	"path/filepath"
	"testing"

	"github.com/stretchr/testify/require"
)

// Every pixel is where its column, row and zoom say; an image may begin elsewhere than at 0.
func TestWriteSheet(t *testing.T) {
	dot := func(w, h, x, y int, c color.Color) image.Image {
		m := image.NewRGBA(image.Rect(7, 9, 7+w, 9+h))
		m.Set(7+x, 9+y, c)
		return m
	}
	red, blue := color.RGBA{255, 0, 0, 255}, color.RGBA{0, 0, 255, 255}
	path := filepath.Join(t.TempDir(), "sheet.png")
	require.NoError(t, WriteSheet(path, 2, [][]image.Image{{dot(3, 2, 1, 0, red), nil}, {nil, dot(5, 4, 4, 3, blue)}}))
	f, err := os.Open(path)
	require.NoError(t, err)
	defer f.Close()
	m, err := png.Decode(f)
	require.NoError(t, err)
	require.Equal(t, image.Rect(0, 0, 4+6+4+10+4, 4+4+4+8+4), m.Bounds())
	found := map[color.Color][]image.Point{}
	for y := range m.Bounds().Dy() {
		for x := range m.Bounds().Dx() {
			c := color.RGBAModel.Convert(m.At(x, y))
			found[c] = append(found[c], image.Pt(x, y))
		}
	}
	require.Equal(t, []image.Point{{X: 6, Y: 4}, {X: 7, Y: 4}, {X: 6, Y: 5}, {X: 7, Y: 5}}, found[red])
	require.Equal(t, []image.Point{{X: 22, Y: 18}, {X: 23, Y: 18}, {X: 22, Y: 19}, {X: 23, Y: 19}}, found[blue])
	require.Error(t, WriteSheet(filepath.Join(path, "in-a-file.png"), 1, nil))
}
