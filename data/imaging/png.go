package imaging

import (
	"bytes"
	"encoding/binary"
	"errors"
	"hash/crc32"
	"image"
	"image/png"
	"io"
)

const (
	pngMagic = "\x89PNG\r\n\x1a\n"
	pngEnd   = "\x00\x00\x00\x00IEND\xaeB\x60\x82"
)

func isPNG(data []byte) bool { return bytes.HasPrefix(data, []byte(pngMagic)) }

// chunksPNG calls visit for each whole chunk until it returns false, and reports whether the data ended within a chunk.
func chunksPNG(data []byte, visit func(kind string, body, crc []byte) bool) (cut bool) {
	for at := len(pngMagic); at < len(data); {
		if len(data)-at < 12 {
			return true
		}
		n := int64(binary.BigEndian.Uint32(data[at:]))
		if int64(len(data)-at-12) < n {
			return true
		}
		end := at + 8 + int(n)
		if !visit(string(data[at+4:at+8]), data[at+8:end], data[end:end+4]) {
			return false
		}
		at = end + 4
	}
	return false
}

func headerPNG(data []byte) (Info, error) {
	var info Info
	var err error
	first := true
	cut := chunksPNG(data, func(kind string, body, crc []byte) bool {
		switch {
		case first && (kind != "IHDR" || len(body) != 13):
			err = fail(BadHeader, "the first chunk is %q of %d bytes, not IHDR of 13", kind, len(body))
			return false
		case first:
			sum := crc32.Update(crc32.ChecksumIEEE([]byte(kind)), crc32.IEEETable, body)
			if sum != binary.BigEndian.Uint32(crc) {
				err = fail(BadChecksum, "chunk IHDR has the checksum %08x, its bytes give %08x", crc, sum)
				return false
			}
			w, h := binary.BigEndian.Uint32(body), binary.BigEndian.Uint32(body[4:])
			if w > 1<<31-1 || h > 1<<31-1 {
				err = fail(BadHeader, "%d×%d pixels", w, h)
				return false
			}
			info.W, info.H = int(w), int(h)
		case kind == "eXIf":
			info.Orientation = exifOrientation(body)
		}
		first = false
		return kind != "IDAT"
	})
	if err == nil && first && cut {
		err = fail(Truncated, "the data ends within the header")
	} else if err == nil && first {
		err = fail(Truncated, "nothing after the signature")
	}
	return info, err
}

// decodePNG uses the standard decoder, except that a missing IEND chunk is forgiven (all pixels may be there), and that
// 16-bit grey is taken apart here even where it has a transparent value.
func decodePNG(data []byte, _ Limits) (*RGB, error) {
	end := false
	cut := chunksPNG(data, func(kind string, _, _ []byte) bool { end = kind == "IEND"; return !end })
	r := io.Reader(bytes.NewReader(data))
	if !end && !cut {
		r = io.MultiReader(r, bytes.NewReader([]byte(pngEnd)))
	}
	src, err := png.Decode(r)
	if err != nil {
		return nil, pngError(err, cut || !end)
	}
	b := src.Bounds()
	m := New(b.Dx(), b.Dy())
	if wide, ok := src.(*image.NRGBA64); ok && data[25] == 0 {
		m.fromGray16(wide.Pix, wide.Stride, 8)
		return m, nil
	}
	convert(m, src)
	return m, nil
}

func pngError(err error, cut bool) error {
	kind := Corrupt
	var unsupported png.UnsupportedError
	switch {
	case errors.As(err, &unsupported):
		kind = Unsupported
	case errors.Is(err, io.ErrUnexpectedEOF) || errors.Is(err, io.EOF) || cut:
		kind = Truncated
	case err.Error() == "png: invalid format: invalid checksum":
		kind = BadChecksum
	case err.Error() == "png: invalid format: not enough pixel data":
		kind = Truncated
	}
	return &Error{Kind: kind, Err: err}
}
