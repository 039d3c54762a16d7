package imaging

import (
	"bytes"
	"compress/lzw"
	"encoding/binary"
	"errors"
	"io"
)

// gifFrame is a frame of a GIF: where it lies on the screen and what is needed to decode it.
type gifFrame struct {
	screenW, screenH int
	x, y, w, h       int
	palette          []byte // three bytes a colour; nil: shades of grey
	interlaced       bool
	fill             byte // index around the frame: the transparent one, or 0
	literal          int  // LZW literal width in bits
	transparent      bool // fill is the transparent index
	disposal         int  // of the frame when the next comes: 2 clears it, 3 takes it back
	data             []byte
}

func isGIF(data []byte) bool {
	return bytes.HasPrefix(data, []byte("GIF87a")) || bytes.HasPrefix(data, []byte("GIF89a"))
}

// firstFrame walks to the first image descriptor.
func firstFrame(data []byte) (f gifFrame, err error) {
	cut := fail(Truncated, "the data ends before the first frame")
	if len(data) < 13 {
		return f, cut
	}
	f.screenW, f.screenH = int(binary.LittleEndian.Uint16(data[6:])), int(binary.LittleEndian.Uint16(data[8:]))
	at := 13
	palette := func(flags byte) bool {
		if flags&0x80 == 0 {
			return true
		}
		n := 3 << (flags&7 + 1)
		if len(data)-at < n {
			return false
		}
		f.palette = data[at : at+n]
		at += n
		return true
	}
	if !palette(data[10]) {
		return f, cut
	}
	for at < len(data) {
		switch at++; data[at-1] {
		case 0x21: // extension: kind, then blocks until an empty one
			if at+2 <= len(data) && data[at] == 0xf9 && at+6 <= len(data) && data[at+2]&1 != 0 {
				f.fill = data[at+5]
			}
			for at++; ; {
				if at >= len(data) {
					return f, cut
				}
				n := int(data[at])
				at += 1 + n
				if n == 0 {
					break
				}
			}
		case 0x2c:
			if len(data)-at < 9 {
				return f, cut
			}
			u := func(i int) int { return int(binary.LittleEndian.Uint16(data[at+i:])) }
			f.x, f.y, f.w, f.h = u(0), u(2), u(4), u(6)
			flags := data[at+8]
			at += 9
			f.interlaced = flags&0x40 != 0
			if !palette(flags) || at >= len(data) {
				return f, cut
			}
			f.literal = int(data[at])
			f.data = data[at+1:]
			return f, nil
		case 0x3b:
			return f, fail(Corrupt, "it holds no frame")
		}
	}
	return f, cut
}

func headerGIF(data []byte) (Info, error) {
	f, err := firstFrame(data)
	if err != nil && len(data) < 13 {
		return Info{}, err
	}
	return Info{W: max(f.screenW, f.x+f.w), H: max(f.screenH, f.y+f.h)}, nil
}

// decodeGIF reads the first frame, laid on its screen. Transparent pixels keep the colour that the palette has for
// them.
func decodeGIF(data []byte, _ Limits) (*RGB, error) {
	f, err := firstFrame(data)
	if err != nil {
		return nil, err
	}
	m := New(max(f.screenW, f.x+f.w), max(f.screenH, f.y+f.h))
	m.Fill(f.colour(f.fill))
	return m, f.draw(m, false)
}

// colour is the palette's.
func (f *gifFrame) colour(i byte) (c [3]byte) {
	if f.palette == nil {
		c = [3]byte{i, i, i}
	} else if 3*int(i) < len(f.palette) {
		c = [3]byte(f.palette[3*int(i):])
	}
	return c
}

// draw decodes the frame onto m. over leaves what is below transparent pixels.
func (f *gifFrame) draw(m *RGB, over bool) error {
	if f.literal < 1 || f.literal > 8 {
		return fail(Corrupt, "LZW codes of %d bits", f.literal)
	}
	var table [256][3]byte
	for i := range table {
		table[i] = f.colour(byte(i))
	}
	r := lzw.NewReader(&blocks{data: f.data}, lzw.LSB, f.literal)
	defer r.Close()
	line := make([]byte, f.w)
	for _, pass := range passes(f.interlaced) {
		for y := pass.first; y < f.h; y += pass.step {
			if _, err := io.ReadFull(r, line); err != nil {
				return gifError(err)
			}
			dst := m.row(f.y + y)[3*f.x:]
			for x, i := range line {
				if over && f.transparent && i == f.fill {
					continue
				}
				copy(dst[3*x:3*x+3], table[i][:])
			}
		}
	}
	return nil
}

type pass struct{ first, step int }

func passes(interlaced bool) []pass {
	if interlaced {
		return []pass{{0, 8}, {4, 8}, {2, 4}, {1, 2}}
	}
	return []pass{{0, 1}}
}

func gifError(err error) error {
	kind := Corrupt
	if errors.Is(err, io.ErrUnexpectedEOF) || errors.Is(err, io.EOF) {
		kind = Truncated
	}
	return &Error{Kind: kind, Err: err}
}

// blocks reads the bytes of GIF sub-blocks: a length and so many bytes, until a length of 0.
type blocks struct {
	data []byte
	left int // of the current block
}

func (b *blocks) ReadByte() (byte, error) {
	if b.left == 0 {
		if len(b.data) == 0 {
			return 0, io.ErrUnexpectedEOF
		}
		b.left, b.data = int(b.data[0]), b.data[1:]
		if b.left == 0 {
			b.data = nil
			return 0, io.EOF
		}
	}
	if len(b.data) == 0 {
		return 0, io.ErrUnexpectedEOF
	}
	c := b.data[0]
	b.data, b.left = b.data[1:], b.left-1
	return c, nil
}

func (b *blocks) Read(p []byte) (int, error) {
	for i := range p {
		c, err := b.ReadByte()
		if err != nil {
			return i, err
		}
		p[i] = c
	}
	return len(p), nil
}
