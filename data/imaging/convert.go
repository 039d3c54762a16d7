package imaging

import (
	"image"
	"image/color"
)

// convert fills m with the pixels of src, which has the same size, as Pillow's convert("RGB") would.
func convert(m *RGB, src image.Image) {
	b := src.Bounds()
	switch src := src.(type) {
	case *RGB:
		copy(m.Pix, src.Pix)
	case *image.Gray:
		m.fromSamples(src.Pix, src.Stride, 1, 0, 0)
	case *image.Gray16:
		m.fromGray16(src.Pix, src.Stride, 2)
	case *image.RGBA: // what the decoders return in this type is opaque
		m.fromSamples(src.Pix, src.Stride, 4, 1, 2)
	case *image.NRGBA:
		m.fromSamples(src.Pix, src.Stride, 4, 1, 2)
	case *image.RGBA64:
		m.fromSamples(src.Pix, src.Stride, 8, 2, 4)
	case *image.NRGBA64:
		m.fromSamples(src.Pix, src.Stride, 8, 2, 4)
	case *image.Paletted:
		var table [256][3]byte
		for i, c := range src.Palette[:min(len(src.Palette), 256)] {
			table[i] = straight(c)
		}
		for y := range m.H {
			dst, idx := m.row(y), src.Pix[y*src.Stride:]
			for x := range m.W {
				copy(dst[3*x:3*x+3], table[idx[x]][:])
			}
		}
	case *image.CMYK:
		for y := range m.H {
			fromCMYK(m.row(y), src.Pix[y*src.Stride:])
		}
	default:
		for y := range m.H {
			dst := m.row(y)
			for x := range m.W {
				c := straight(src.At(b.Min.X+x, b.Min.Y+y))
				copy(dst[3*x:3*x+3], c[:])
			}
		}
	}
}

// straight is a colour without its alpha, not premultiplied.
func straight(c color.Color) [3]byte {
	n := color.NRGBAModel.Convert(c).(color.NRGBA)
	return [3]byte{n.R, n.G, n.B}
}

// fromSamples copies the bytes at 0, green and blue of every step bytes.
func (m *RGB) fromSamples(pix []byte, stride, step, green, blue int) {
	for y := range m.H {
		dst, src := m.row(y), pix[y*stride:]
		for x, s := 0, 0; x+3 <= len(dst); x, s = x+3, s+step {
			dst[x], dst[x+1], dst[x+2] = src[s], src[s+green], src[s+blue]
		}
	}
}

// fromGray16 takes a big-endian grey sample every step bytes; what exceeds 255 becomes 255, as in Pillow's mode I;16.
func (m *RGB) fromGray16(pix []byte, stride, step int) {
	for y := range m.H {
		dst, src := m.row(y), pix[y*stride:]
		for x, s := 0, 0; x+3 <= len(dst); x, s = x+3, s+step {
			v := src[s+1]
			if src[s] != 0 {
				v = 255
			}
			dst[x], dst[x+1], dst[x+2] = v, v, v
		}
	}
}

// fromCMYK converts a row of four bytes a pixel, ink as 255.
func fromCMYK(dst, src []byte) {
	for x, s := 0, 0; x+3 <= len(dst); x, s = x+3, s+4 {
		white := 255 - int(src[s+3])
		for c := range 3 {
			t := int(src[s+c])*white + 128
			dst[x+c] = byte(max(0, white-(t>>8+t)>>8))
		}
	}
}
