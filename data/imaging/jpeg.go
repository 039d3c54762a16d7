package imaging

import (
	"bytes"
	"image"
	"image/jpeg"
)

func isJPEG(data []byte) bool { return bytes.HasPrefix(data, []byte{0xff, 0xd8, 0xff}) }

func headerJPEG(data []byte) (Info, error) {
	var info Info
	at := 2
	for {
		for at < len(data) && data[at] != 0xff {
			at++
		}
		for at < len(data) && data[at] == 0xff {
			at++
		}
		if at+3 > len(data) {
			return info, fail(Truncated, "the data ends within the header")
		}
		marker := data[at]
		at++
		if marker == 0 || marker == 1 || marker >= 0xd0 && marker <= 0xd8 {
			continue
		}
		n := int(data[at])<<8 | int(data[at+1])
		if n < 2 {
			return info, fail(BadHeader, "a segment of %d bytes", n)
		}
		if marker >= 0xc0 && marker <= 0xcf && marker != 0xc4 && marker != 0xc8 && marker != 0xcc {
			if at+7 > len(data) {
				return info, fail(Truncated, "the data ends within the header")
			}
			info.H, info.W = int(data[at+3])<<8|int(data[at+4]), int(data[at+5])<<8|int(data[at+6])
			return info, nil
		}
		if marker == 0xe1 && at+n <= len(data) {
			if body, ok := bytes.CutPrefix(data[at+2:at+n], []byte("Exif\x00\x00")); ok && info.Orientation == 0 {
				info.Orientation = exifOrientation(body)
			}
		}
		at += n
	}
}

func decodeJPEG(data []byte, _ Limits) (*RGB, error) {
	src, err := jpeg.Decode(bytes.NewReader(data))
	if err != nil {
		return nil, err
	}
	y, ok := src.(*image.YCbCr)
	if !ok {
		return FromImage(src), nil
	}
	m := New(y.Rect.Dx(), y.Rect.Dy())
	rx, ry := 1, 1
	switch y.SubsampleRatio {
	case image.YCbCrSubsampleRatio422:
		rx = 2
	case image.YCbCrSubsampleRatio420:
		rx, ry = 2, 2
	case image.YCbCrSubsampleRatio440:
		ry = 2
	case image.YCbCrSubsampleRatio411:
		rx = 4
	case image.YCbCrSubsampleRatio410:
		rx, ry = 4, 2
	}
	cb := plane{w: (m.W + rx - 1) / rx, h: (m.H + ry - 1) / ry, stride: y.CStride, pix: y.Cb, rx: rx, ry: ry}
	cr := cb
	cr.pix = y.Cr
	bufB, bufR, sums := make([]byte, m.W), make([]byte, m.W), make([]int32, cb.w)
	for row := range m.H {
		fromYCC(m.row(row), y.Y[row*y.YStride:], cb.upsample(bufB, row, sums), cr.upsample(bufR, row, sums))
	}
	return m, nil
}
