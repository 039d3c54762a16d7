package imaging

import (
	"bytes"
	"encoding/binary"
	"errors"
	"image"
	"io"

	"golang.org/x/image/vp8"
	"golang.org/x/image/vp8l"
)

// webpFile is the parts of a WebP file, or of the first frame of an animated one, that are needed.
type webpFile struct {
	w, h        int // canvas
	x, y        int // where the frame lies
	lossy       []byte
	lossless    []byte
	orientation int
}

func isWebP(data []byte) bool {
	return len(data) >= 12 && string(data[:4]) == "RIFF" && string(data[8:12]) == "WEBP"
}

// parseWebP walks the chunks; alpha planes are passed over, because alpha is dropped.
func parseWebP(data []byte) (f webpFile, err error) {
	extended, frame := false, false
	var walk func(data []byte) (cut bool)
	walk = func(data []byte) bool {
		for len(data) >= 8 {
			kind, n := string(data[:4]), int64(binary.LittleEndian.Uint32(data[4:]))
			body := data[8:]
			cut := int64(len(body)) < n
			if !cut {
				body = body[:n]
			}
			switch {
			case kind == "VP8X" && len(body) >= 10 && !extended:
				extended = true
				f.w, f.h = 1+u24(body[4:]), 1+u24(body[7:])
			case kind == "ANMF" && len(body) >= 16 && !frame:
				frame = true
				f.x, f.y = 2*u24(body), 2*u24(body[3:])
				if walk(body[16:]) {
					return true
				}
			case kind == "VP8 " && f.lossy == nil && f.lossless == nil:
				f.lossy = body
			case kind == "VP8L" && f.lossy == nil && f.lossless == nil:
				f.lossless = body
			case kind == "EXIF":
				f.orientation = exifOrientation(bytes.TrimPrefix(body, []byte("Exif\x00\x00")))
			}
			if cut {
				return true
			}
			data = data[8+min(n+n&1, int64(len(data)-8)):]
		}
		return len(data) > 0
	}
	cut := walk(data[12:]) || int64(binary.LittleEndian.Uint32(data[4:])) > int64(len(data)-8)
	if f.lossy == nil && f.lossless == nil {
		if cut {
			return f, fail(Truncated, "the data ends before the first frame")
		}
		return f, fail(Corrupt, "it holds no frame")
	}
	w, h, err := f.frameSize()
	if err != nil {
		return f, err
	}
	if !extended {
		f.w, f.h = w, h
	}
	if f.x+w > f.w || f.y+h > f.h {
		return f, fail(BadHeader, "a frame of %d×%d pixels at (%d, %d) on a canvas of %d×%d", w, h, f.x, f.y, f.w, f.h)
	}
	return f, nil
}

func u24(b []byte) int { return int(b[0]) | int(b[1])<<8 | int(b[2])<<16 }

func (f *webpFile) frameSize() (w, h int, err error) {
	if f.lossy != nil {
		if len(f.lossy) < 10 {
			return 0, 0, fail(Truncated, "the data ends within the header")
		}
		return (int(f.lossy[6]) | int(f.lossy[7])<<8) & 0x3fff, (int(f.lossy[8]) | int(f.lossy[9])<<8) & 0x3fff, nil
	}
	c, err := vp8l.DecodeConfig(bytes.NewReader(f.lossless))
	return c.Width, c.Height, webpError(err)
}

func headerWebP(data []byte) (Info, error) {
	f, err := parseWebP(data)
	return Info{W: f.w, H: f.h, Orientation: f.orientation}, err
}

func decodeWebP(data []byte, l Limits) (*RGB, error) {
	f, err := parseWebP(data)
	if err != nil {
		return nil, err
	}
	w, h, err := f.frameSize()
	if err == nil {
		err = l.check(w, h)
	}
	if err != nil {
		return nil, err
	}
	m, err := f.frame()
	if err != nil {
		return nil, webpError(err)
	}
	if m.W == f.w && m.H == f.h {
		return m, nil
	}
	out := New(f.w, f.h)
	out.Paste(m, f.x, f.y)
	return out, nil
}

func (f *webpFile) frame() (*RGB, error) {
	if f.lossless != nil {
		src, err := vp8l.Decode(bytes.NewReader(f.lossless))
		if err != nil {
			return nil, err
		}
		return FromImage(src), nil
	}
	d := vp8.NewDecoder()
	d.Init(bytes.NewReader(f.lossy), len(f.lossy))
	if _, err := d.DecodeFrameHeader(); err != nil {
		return nil, err
	}
	src, err := d.DecodeFrame()
	if err != nil {
		return nil, err
	}
	m := New(src.Rect.Dx(), src.Rect.Dy())
	smoothWebP(m, src)
	return m, nil
}

func webpError(err error) error {
	var e *Error
	if err == nil || errors.As(err, &e) {
		return err
	}
	kind := Corrupt
	if errors.Is(err, io.ErrUnexpectedEOF) || errors.Is(err, io.EOF) {
		kind = Truncated
	}
	return &Error{Kind: kind, Err: err}
}

// smoothWebP converts luma and halved chroma to RGB with libwebp's "fancy" interpolation: a pixel's chroma is
// (9·nearest + 3·beside + 3·above or below + diagonal)/16, rounded in libwebp's order.
func smoothWebP(m *RGB, src *image.YCbCr) {
	for y := range m.H {
		near := y / 2
		far := near + 1 // rows 1, 3, … lie above their pair's border
		if y%2 == 0 {
			far = near - 1
		}
		far = min(max(far, 0), (m.H+1)/2-1)
		webpRow(m.row(y), src.Y[y*src.YStride:], src.Cb[near*src.CStride:], src.Cb[far*src.CStride:],
			src.Cr[near*src.CStride:], src.Cr[far*src.CStride:])
	}
}

func webpRow(dst, luma, u, uFar, v, vFar []byte) {
	n := len(dst) / 3
	for x := range n {
		i := x / 2
		j := i + 1
		if x%2 == 0 {
			j = i - 1
		}
		var cb, cr int
		if j < 0 || j >= (n+1)/2 { // the ends have no neighbour beside them
			cb, cr = (3*int(u[i])+int(uFar[i])+2)>>2, (3*int(v[i])+int(vFar[i])+2)>>2
		} else {
			cb, cr = mixWebP(u[i], u[j], uFar[i], uFar[j]), mixWebP(v[i], v[j], vFar[i], vFar[j])
		}
		y := int(luma[x]) * 19077 >> 8
		dst[3*x] = clipWebP(y + cr*26149>>8 - 14234)
		dst[3*x+1] = clipWebP(y - cb*6419>>8 - cr*13320>>8 + 8708)
		dst[3*x+2] = clipWebP(y + cb*33050>>8 - 17685)
	}
}

// mixWebP weighs the nearest sample 9, the one beside and the one in the far row 3 each, the diagonal one 1.
func mixWebP(near, beside, far, diagonal byte) int {
	a, b, c, d := int(near), int(beside), int(far), int(diagonal)
	return ((a+b+c+d+8+2*(b+c))>>3 + a) >> 1
}

func clipWebP(v int) byte { return byte(min(max(v>>6, 0), 255)) }

// within decodes the frame, whose size is held against the limits and its canvas.
func (f *webpFile) within(l Limits) (*RGB, error) {
	if f.lossy == nil && f.lossless == nil {
		return nil, fail(Corrupt, "it holds no pixels")
	}
	w, h, err := f.frameSize()
	if err == nil {
		err = l.check(w, h)
	}
	if err == nil && (f.x+w > f.w || f.y+h > f.h) {
		err = fail(BadHeader, "%d×%d pixels at (%d, %d) on a canvas of %d×%d", w, h, f.x, f.y, f.w, f.h)
	}
	if err != nil {
		return nil, err
	}
	m, err := f.frame()
	return m, webpError(err)
}

// layOn puts the decoded frame m onto the canvas: in the place of what is there, or over it, where its lossless pixels
// are transparent.
func (f *webpFile) layOn(canvas, m *RGB, over bool) error {
	if !over || f.lossless == nil {
		canvas.Paste(m, f.x, f.y)
		return nil
	}
	src, err := vp8l.Decode(bytes.NewReader(f.lossless))
	if err != nil {
		return webpError(err)
	}
	for y := range m.H {
		for x := range m.W {
			_, _, _, a := src.At(x, y).RGBA()
			dst := canvas.Pix[3*((f.y+y)*canvas.W+f.x+x):]
			for c, v := range m.Pix[3*(y*m.W+x):][:3] {
				dst[c] = byte((int(v)*int(a) + int(dst[c])*(0xffff-int(a)) + 0x7fff) / 0xffff)
			}
		}
	}
	return nil
}
