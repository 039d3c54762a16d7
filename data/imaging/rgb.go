package imaging

import (
	"image"
	"image/color"
)

// RGB is a picture of 8-bit red, green and blue, three bytes a pixel, row after row without gaps. It is an
// [image.Image], so that any encoder of the standard library takes it. Methods that do not write to it are safe for
// concurrent use.
type RGB struct {
	W, H int
	Pix  []byte // [H, W, 3]
}

// New returns a black picture.
func New(w, h int) *RGB { return &RGB{W: w, H: h, Pix: make([]byte, 3*w*h)} }

// Bounds is the rectangle from the origin to (W, H).
func (m *RGB) Bounds() image.Rectangle { return image.Rect(0, 0, m.W, m.H) }

// ColorModel is that of opaque colours.
func (m *RGB) ColorModel() color.Model { return color.RGBAModel }

// At returns the colour of pixel (x, y), and transparent black outside of the picture.
func (m *RGB) At(x, y int) color.Color {
	if x < 0 || y < 0 || x >= m.W || y >= m.H {
		return color.RGBA{}
	}
	p := m.Pix[3*(y*m.W+x):]
	return color.RGBA{p[0], p[1], p[2], 255}
}

// Fill paints the whole picture in one colour.
func (m *RGB) Fill(c [3]byte) {
	if len(m.Pix) == 0 {
		return
	}
	copy(m.Pix, c[:])
	for n := 3; n < len(m.Pix); n *= 2 {
		copy(m.Pix[n:], m.Pix[:n])
	}
}

// Paste copies src into m with its upper left corner at (x, y). What falls outside is left away.
func (m *RGB) Paste(src *RGB, x, y int) {
	r := src.Bounds().Add(image.Pt(x, y)).Intersect(m.Bounds())
	for yy := r.Min.Y; yy < r.Max.Y; yy++ {
		from := 3 * ((yy-y)*src.W + r.Min.X - x)
		copy(m.Pix[3*(yy*m.W+r.Min.X):3*(yy*m.W+r.Max.X)], src.Pix[from:])
	}
}

// Crop returns a copy of the rectangle r; what of it lies outside of the picture is black.
func (m *RGB) Crop(r image.Rectangle) *RGB {
	out := New(r.Dx(), r.Dy())
	out.Paste(m, -r.Min.X, -r.Min.Y)
	return out
}

// row returns row y, three bytes a pixel.
func (m *RGB) row(y int) []byte { return m.Pix[3*y*m.W : 3*(y+1)*m.W] }
