package imaging

import (
	"encoding/binary"
	"math/bits"
)

// bmpHeader is what matters of the file header and the bitmap header.
type bmpHeader struct {
	w, h    int
	topDown bool
	bits    int
	pixels  int // offset of the pixel data
	palette []byte
	entry   int       // bytes a colour in the palette
	masks   [3]uint32 // red, green, blue, for 16 and 32 bits
}

func isBMP(data []byte) bool { return len(data) >= 2 && data[0] == 'B' && data[1] == 'M' }

func parseBMP(data []byte) (b bmpHeader, err error) {
	if len(data) < 26 {
		return b, fail(Truncated, "the data ends within the header")
	}
	u16 := func(i int) int { return int(binary.LittleEndian.Uint16(data[i:])) }
	u32 := func(i int) uint32 { return binary.LittleEndian.Uint32(data[i:]) }
	size := int64(u32(14))
	compression, colors := uint32(0), uint32(0)
	switch size {
	case 12:
		b.w, b.h, b.bits, b.entry = u16(18), u16(20), u16(24), 3
	case 40, 52, 56, 64, 108, 124:
		if int64(len(data)) < 14+size {
			return b, fail(Truncated, "the data ends within the header")
		}
		b.w, b.h, b.bits, b.entry = int(int32(u32(18))), int(int32(u32(22))), u16(28), 4
		if b.h < 0 {
			b.h, b.topDown = -b.h, true
		}
		compression, colors = u32(30), u32(46)
	default:
		return b, fail(NotImage, "a bitmap header of %d bytes", size)
	}
	at := 14 + int(size)
	switch {
	case compression == 3: // masks follow, or are part of a longer header
		if len(data) < 66 {
			return b, fail(Truncated, "the data ends within the header")
		}
		b.masks = [3]uint32{u32(54), u32(58), u32(62)}
		if size == 40 {
			at += 12
		}
	case compression != 0:
		return b, fail(Unsupported, "compression %d: save it as an uncompressed BMP or as PNG", compression)
	}
	if b.masks == [3]uint32{} {
		b.masks = [3]uint32{0xff0000, 0xff00, 0xff}
		if b.bits == 16 {
			b.masks = [3]uint32{0x7c00, 0x3e0, 0x1f}
		}
	}
	b.pixels = max(at, int(u32(10)))
	switch b.bits {
	case 1, 4, 8:
		if colors == 0 || colors > 256 {
			colors = 1 << b.bits
		}
		n := int(colors) * b.entry
		if len(data)-at < n {
			return b, fail(Truncated, "the data ends within the palette")
		}
		b.palette = data[at : at+n]
		b.pixels = max(b.pixels, at+n)
	case 16, 24, 32:
	default:
		return b, fail(Unsupported, "%d bits a pixel", b.bits)
	}
	return b, nil
}

func headerBMP(data []byte) (Info, error) {
	b, err := parseBMP(data)
	return Info{W: b.w, H: b.h}, err
}

// decodeBMP reads uncompressed bitmaps of 1, 4, 8, 16, 24 and 32 bits; alpha is dropped.
func decodeBMP(data []byte, _ Limits) (*RGB, error) {
	b, err := parseBMP(data)
	if err != nil {
		return nil, err
	}
	stride := (int64(b.w)*int64(b.bits) + 31) / 32 * 4
	if int64(len(data)-min(b.pixels, len(data))) < stride*int64(b.h) {
		return nil, fail(Truncated, "%d bytes of pixels, %d×%d of %d bits take %d", max(0, len(data)-b.pixels), b.w,
			b.h, b.bits, stride*int64(b.h))
	}
	m := New(b.w, b.h)
	for y := range b.h {
		src := data[b.pixels+y*int(stride):]
		dst := m.row(b.h - 1 - y)
		if b.topDown {
			dst = m.row(y)
		}
		b.line(dst, src)
	}
	return m, nil
}

// line converts one row.
func (b *bmpHeader) line(dst, src []byte) {
	switch b.bits {
	case 24:
		for x := 0; x+3 <= len(dst); x += 3 {
			dst[x], dst[x+1], dst[x+2] = src[x+2], src[x+1], src[x]
		}
	case 16, 32:
		step := b.bits / 8
		for x, s := 0, 0; x+3 <= len(dst); x, s = x+3, s+step {
			v := uint32(binary.LittleEndian.Uint16(src[s:]))
			if step == 4 {
				v = binary.LittleEndian.Uint32(src[s:])
			}
			for c, mask := range b.masks {
				if mask == 0 {
					continue
				}
				low := bits.TrailingZeros32(mask)
				full := uint64(mask >> low)
				dst[x+c] = byte(uint64(v&mask>>low) * 255 / full)
			}
		}
	default:
		for x := range b.w {
			bit := x * b.bits
			i := int(src[bit/8]>>(8-b.bits-bit%8)) & (1<<b.bits - 1)
			if p := i * b.entry; p+3 <= len(b.palette) {
				dst[3*x], dst[3*x+1], dst[3*x+2] = b.palette[p+2], b.palette[p+1], b.palette[p]
			}
		}
	}
}
