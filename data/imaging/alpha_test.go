package imaging_test

import (
	"bytes"
	"image"
	"image/color"
	"image/png"
	"os"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/gollava/gollava/data/imaging"
)

// Transparency stays, and colors are premultiplied with it; the opaque pixels are those of Decode.
func TestDecodeAlpha(t *testing.T) {
	src := image.NewNRGBA(image.Rect(0, 0, 3, 2))
	src.SetNRGBA(1, 0, color.NRGBA{200, 100, 50, 128})
	src.SetNRGBA(2, 1, color.NRGBA{9, 8, 7, 255})
	var b bytes.Buffer
	require.NoError(t, png.Encode(&b, src))
	m, err := imaging.DecodeAlpha(b.Bytes(), imaging.Limits{})
	require.NoError(t, err)
	require.Equal(t, color.RGBA{}, m.RGBAAt(0, 0))
	require.Equal(t, color.RGBA{100, 50, 25, 128}, m.RGBAAt(1, 0))
	require.Equal(t, color.RGBA{9, 8, 7, 255}, m.RGBAAt(2, 1))
	for _, name := range []string{"palette-transparent.png", "gif-transparent.gif", "webp-lossless-alpha.webp", "webp-lossy-alpha.webp", "jpeg-420.jpg"} {
		data, err := os.ReadFile("testdata/images/" + name)
		require.NoError(t, err, name)
		m, err := imaging.DecodeAlpha(data, imaging.Limits{})
		require.NoError(t, err, name)
		want, err := imaging.Decode(data, imaging.Options{})
		require.NoError(t, err, name)
		require.Equal(t, []int{want.W, want.H}, []int{m.Rect.Dx(), m.Rect.Dy()}, name)
		if name == "palette-transparent.png" {
			for i := range want.W * want.H {
				if m.Pix[4*i+3] == 255 {
					require.Equal(t, want.Pix[3*i:3*i+3], m.Pix[4*i:4*i+3], name)
				}
			}
		}
	}
}

// What moves is refused, and so is what no picture is or goes beyond the limits.
func TestDecodeAlphaRefuses(t *testing.T) {
	for name, want := range map[string]imaging.Kind{"gif-animated.gif": imaging.Unsupported,
		"webp-animated.webp": imaging.Unsupported, "bmp24.bmp": imaging.Unsupported} {
		data, err := os.ReadFile("testdata/images/" + name)
		require.NoError(t, err, name)
		_, err = imaging.DecodeAlpha(data, imaging.Limits{})
		require.ErrorIs(t, err, want, name)
	}
	_, err := imaging.DecodeAlpha([]byte("no picture"), imaging.Limits{})
	require.ErrorIs(t, err, imaging.NotImage)
	data, err := os.ReadFile("testdata/images/rgb-17x23.png")
	require.NoError(t, err)
	_, err = imaging.DecodeAlpha(data, imaging.Limits{Pixels: 10})
	require.ErrorIs(t, err, imaging.TooLarge)
	_, err = imaging.DecodeAlpha(data[:len(data)/2], imaging.Limits{})
	require.Error(t, err)
}
