package imaging

import (
	"errors"
	"fmt"
	"image"
	"io"
	"os"

	"github.com/gollava/gollava/internal/mapfile"
)

// Limits bound what is read. They are held against the header before any memory is taken for pixels.
type Limits struct {
	Bytes  int64   // of the file; 0 means 64 MiB
	Pixels int64   // width times height; 0 means 50 million
	Side   int     // the longer side; 0 means 65,535
	Aspect float64 // longer side over shorter side; 0 means no limit
}

// DefaultPixels is the limit on width times height where none is given. At its limit decoding takes at most 0.9 GB.
const DefaultPixels = 50_000_000

func (l Limits) filled() Limits {
	if l.Bytes == 0 {
		l.Bytes = 64 << 20
	}
	if l.Pixels == 0 {
		l.Pixels = DefaultPixels
	}
	if l.Side == 0 {
		l.Side = 65535
	}
	return l
}

// check holds a size, as read from a header, against the limits.
func (l Limits) check(w, h int) error {
	l = l.filled()
	switch {
	case w <= 0 || h <= 0:
		return fail(BadHeader, "the picture is %d×%d pixels", w, h)
	case max(w, h) > l.Side:
		return fail(TooLarge, "%d×%d pixels: a side may have %d (Limits.Side)", w, h, l.Side)
	case int64(w)*int64(h) > l.Pixels:
		return fail(TooLarge, "%d×%d pixels: %d are allowed (Limits.Pixels)", w, h, l.Pixels)
	case l.Aspect > 0 && float64(max(w, h)) > l.Aspect*float64(min(w, h)):
		return fail(BadAspect, "%d×%d pixels: one side may be %g times the other (Limits.Aspect)", w, h, l.Aspect)
	}
	return nil
}

// Options say how to read a picture. The zero value reads as Pillow's Image.open(…).convert("RGB") does, within the
// default limits.
type Options struct {
	Limits
	Orient bool // turn the picture by its EXIF orientation; Pillow does not, and neither does LLaVA
}

// Info is what a picture's header says.
type Info struct {
	Format      string // "jpeg", "png", "gif", "webp", "bmp"
	W, H        int    // as stored, before any turning
	Orientation int    // EXIF orientation 1…8 of a JPEG, PNG or WebP; 1 where there is none
}

// Open reads the picture in a file; see Decode.
func Open(path string, o Options) (*RGB, error) {
	data, err := readFile(path, o.Limits)
	if err != nil {
		return nil, err
	}
	m, err := Decode(data, o)
	return m, located(err, path, "")
}

// Stat reads the header of the picture in a file, and holds it against the limits.
func Stat(path string, l Limits) (Info, error) {
	data, err := readFile(path, l)
	if err != nil {
		return Info{}, err
	}
	info, err := Header(data, l)
	return info, located(err, path, "")
}

func readFile(path string, l Limits) ([]byte, error) {
	st, err := os.Stat(path)
	if err != nil {
		return nil, opening(err, path)
	}
	if st.IsDir() {
		return nil, &Error{Kind: Unreadable, File: path, Err: errors.New("is a folder")}
	}
	f, err := mapfile.Regular(path)
	if err != nil {
		return nil, opening(err, path)
	}
	defer f.Close()
	data, err := Read(f, l)
	return data, located(err, path, "")
}

// Read takes everything that r holds, up to Limits.Bytes.
func Read(r io.Reader, l Limits) ([]byte, error) {
	l = l.filled()
	data, err := io.ReadAll(io.LimitReader(r, l.Bytes+1))
	if err != nil {
		return nil, &Error{Kind: Unreadable, Err: err}
	}
	if int64(len(data)) > l.Bytes {
		return nil, fail(TooLarge, "more than %d bytes (Limits.Bytes)", l.Bytes)
	}
	return data, nil
}

// format is one of the known picture formats.
type format struct {
	name   string
	is     func(data []byte) bool
	header func(data []byte) (Info, error)
	decode func(data []byte, l Limits) (*RGB, error)
}

var formats = []format{
	{"jpeg", isJPEG, headerJPEG, decodeJPEG},
	{"png", isPNG, headerPNG, decodePNG},
	{"gif", isGIF, headerGIF, decodeGIF},
	{"webp", isWebP, headerWebP, decodeWebP},
	{"bmp", isBMP, headerBMP, decodeBMP},
}

func sniff(data []byte) (format, error) {
	if len(data) == 0 {
		return format{}, fail(Empty, "no bytes at all")
	}
	for _, f := range formats {
		if f.is(data) {
			return f, nil
		}
	}
	head := data[:min(len(data), 12)]
	return format{}, fail(NotImage, "it begins with %q, which is no JPEG, PNG, GIF, WebP or BMP", head)
}

// Header reads what the header says, without decoding pixels, and holds it against the limits.
func Header(data []byte, l Limits) (Info, error) {
	f, err := sniff(data)
	if err != nil {
		return Info{}, err
	}
	if n := l.filled().Bytes; int64(len(data)) > n {
		return Info{}, &Error{Kind: TooLarge, Format: f.name, Err: fmt.Errorf("%d bytes: %d are allowed (Limits.Bytes)",
			len(data), n)}
	}
	info, err := f.header(data)
	if err == nil {
		info.Format, info.Orientation = f.name, max(1, info.Orientation)
		err = l.check(info.W, info.H)
	}
	return info, located(err, "", f.name)
}

// Decode reads a JPEG, PNG, GIF (its first frame), WebP (its first frame) or BMP, whatever its name says, and returns
// its pixels as Pillow's convert("RGB") does: alpha is dropped and colours stay un-premultiplied, palettes are looked
// up, grey is repeated, 16-bit grey above 255 becomes 255, other 16-bit samples lose their low byte, CMYK becomes
// (255-C)(255-K)/255. JPEG and WebP match libjpeg-turbo's and libwebp's smooth chroma upsampling. A failure is an
// *Error.
func Decode(data []byte, o Options) (*RGB, error) {
	info, err := Header(data, o.Limits)
	if err != nil {
		return nil, err
	}
	f, _ := sniff(data)
	m, err := f.decode(data, o.Limits)
	if err != nil {
		return nil, located(err, "", f.name)
	}
	if o.Orient {
		m = m.orient(info.Orientation)
	}
	return m, nil
}

// FromImage converts any picture of the standard library the way Decode does.
func FromImage(src image.Image) *RGB {
	b := src.Bounds()
	m := New(b.Dx(), b.Dy())
	if b.Empty() {
		return m
	}
	convert(m, src)
	return m
}
