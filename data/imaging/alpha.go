package imaging

import (
	"bytes"
	"image"
	"image/draw"
	"image/gif"
	"image/jpeg"
	"image/png"

	"golang.org/x/image/webp"
)

// DecodeAlpha reads a picture with its transparency, as colors that are premultiplied with it: of all formats that
// Decode reads but BMP, and only if it does not move. A picture without transparency is opaque. A failure is an *Error.
func DecodeAlpha(data []byte, l Limits) (*image.RGBA, error) {
	info, err := Header(data, l)
	if err != nil {
		return nil, err
	}
	moves := false
	decode := jpeg.Decode
	switch info.Format {
	case "png":
		decode = png.Decode
		start := bytes.Index(data, []byte("IDAT"))
		moves = start > 0 && bytes.Contains(data[:start], []byte("acTL"))
	case "gif":
		decode = gif.Decode
		frames, _ := gifFrames(data) // a fault is decode's to report
		moves = len(frames) > 1
	case "webp":
		decode = webp.Decode
		moves = bytes.Contains(data[:min(len(data), 64)], []byte("ANIM"))
	case "bmp":
		return nil, located(fail(Unsupported, "a BMP is not read with transparency"), "", info.Format)
	}
	if moves {
		return nil, located(fail(Unsupported, "it is animated"), "", info.Format)
	}
	src, err := decode(bytes.NewReader(data))
	if err != nil {
		return nil, located(fail(Corrupt, "%w", err), "", info.Format)
	}
	m := image.NewRGBA(image.Rect(0, 0, src.Bounds().Dx(), src.Bounds().Dy()))
	draw.Draw(m, m.Rect, src, src.Bounds().Min, draw.Src)
	return m, nil
}
