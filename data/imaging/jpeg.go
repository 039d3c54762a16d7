package imaging

import (
	"bytes"
	"encoding/binary"
)

// Markers of ITU-T T.81, table B.1.
const (
	mSOF0, mSOF1, mSOF2     = 0xc0, 0xc1, 0xc2
	mDHT, mJPG, mDAC        = 0xc4, 0xc8, 0xcc
	mSOF15                  = 0xcf
	mRST0, mSOI, mEOI, mSOS = 0xd0, 0xd8, 0xd9, 0xda
	mDQT, mDRI              = 0xdb, 0xdd
	mAPP0, mAPP1, mAPP14    = 0xe0, 0xe1, 0xee
)

func isFrame(marker byte) bool {
	return marker >= mSOF0 && marker <= mSOF15 && marker != mDHT && marker != mJPG && marker != mDAC
}

func isJPEG(data []byte) bool { return bytes.HasPrefix(data, []byte{0xff, mSOI, 0xff}) }

// segment finds the next marker at or after at, and its body where it has one; next is where to go on.
func segment(data []byte, at int) (marker byte, body []byte, next int, err error) {
	for {
		for at < len(data) && data[at] != 0xff {
			at++
		}
		for at < len(data) && data[at] == 0xff {
			at++
		}
		if at >= len(data) {
			return 0, nil, at, fail(Truncated, "the data ends where a marker is due")
		}
		marker, at = data[at], at+1
		if marker == mEOI {
			return marker, nil, at, nil
		}
		if marker == 0 || marker == 1 || marker >= mRST0 && marker <= mSOI {
			continue // left over from a scan
		}
		if at+2 > len(data) {
			return 0, nil, at, fail(Truncated, "the data ends within marker %#02x", marker)
		}
		n := int(binary.BigEndian.Uint16(data[at:]))
		if n < 2 {
			return 0, nil, at, fail(BadHeader, "marker %#02x has a length of %d", marker, n)
		}
		if at+n > len(data) {
			return 0, nil, at, fail(Truncated, "the data ends within marker %#02x", marker)
		}
		return marker, data[at+2 : at+n], at + n, nil
	}
}

func headerJPEG(data []byte) (Info, error) {
	var info Info
	for at := 2; ; {
		marker, body, next, err := segment(data, at)
		switch {
		case err != nil:
			return info, err
		case marker == mEOI || marker == mSOS:
			return info, fail(BadHeader, "no frame header before marker %#02x", marker)
		case isFrame(marker):
			if len(body) < 6 {
				return info, fail(BadHeader, "a frame header of %d bytes", len(body))
			}
			info.H, info.W = int(binary.BigEndian.Uint16(body[1:])), int(binary.BigEndian.Uint16(body[3:]))
			return info, nil
		case marker == mAPP1 && info.Orientation == 0:
			if tiff, ok := bytes.CutPrefix(body, []byte("Exif\x00\x00")); ok {
				info.Orientation = exifOrientation(tiff)
			}
		}
		at = next
	}
}

// component is one of the colours of a JPEG picture.
type component struct {
	plane
	id             byte
	h, v           int // sampling factors
	blocksX        int // blocks in a row and in a column, padded to whole MCUs
	blocksY        int
	ownX, ownY     int // the same without padding: what a scan of this component alone holds
	table          byte
	quant          *[64]int32 // in zigzag order, as it was when the component's first scan began
	coefficients   []int16    // of a progressive picture, 64 a block, in natural order
	prediction     int32      // DC of the block before
	dcTree, acTree *huffman   // of the current scan
}

// jpegDecoder decodes sequential and progressive Huffman-coded JPEGs of 8 bits to the same bytes as libjpeg-turbo with
// its defaults: the accurate integer inverse DCT and smooth chroma upsampling.
type jpegDecoder struct {
	data        []byte
	at          int
	w, h        int
	progressive bool
	comps       []component
	hMax, vMax  int
	mcusX       int
	mcusY       int
	quant       [4]*[64]int32
	trees       [2][4]*huffman // DC, AC
	restart     int
	jfif, adobe bool
	transform   byte // Adobe's colour transform
	scans       int
}

// maxScans bounds the work that a small progressive file can ask for; encoders write about ten.
const maxScans = 256

func decodeJPEG(data []byte, _ Limits) (*RGB, error) {
	d := &jpegDecoder{data: data, at: 2}
	if err := d.segments(); err != nil {
		return nil, err
	}
	for i := range d.comps {
		c := &d.comps[i]
		if c.quant == nil {
			return nil, fail(Corrupt, "component %d is in no scan", i)
		}
		if d.progressive {
			c.reconstruct()
		}
	}
	return d.rgb()
}

// segments reads up to the end of the picture.
func (d *jpegDecoder) segments() error {
	for {
		marker, body, next, err := segment(d.data, d.at)
		if err != nil {
			if !d.progressive && d.scans > 0 && d.complete() {
				return nil // only the end marker is missing
			}
			return err
		}
		d.at = next
		switch {
		case marker == mEOI:
			if d.scans == 0 {
				return fail(Corrupt, "it holds no scan")
			}
			return nil
		case marker == mDQT:
			err = d.quantTables(body)
		case marker == mDHT:
			err = d.huffmanTables(body)
		case marker == mDRI && len(body) >= 2:
			d.restart = int(binary.BigEndian.Uint16(body))
		case marker == mAPP0:
			d.jfif = d.jfif || bytes.HasPrefix(body, []byte("JFIF\x00"))
		case marker == mAPP14 && len(body) >= 12 && bytes.HasPrefix(body, []byte("Adobe")):
			d.adobe, d.transform = true, body[11]
		case isFrame(marker):
			err = d.frame(marker, body)
		case marker == mSOS:
			err = d.scan(body)
		}
		if err != nil {
			return err
		}
	}
}

// complete reports whether every component of a sequential picture was in a scan.
func (d *jpegDecoder) complete() bool {
	for _, c := range d.comps {
		if c.quant == nil {
			return false
		}
	}
	return true
}

func (d *jpegDecoder) quantTables(body []byte) error {
	for len(body) > 0 {
		wide, id := int(body[0]>>4), body[0]&15
		size := 64 * (1 + wide)
		if wide > 1 || id > 3 || len(body) < 1+size {
			return fail(Corrupt, "a quantisation table that is none")
		}
		t := new([64]int32)
		for i := range t {
			if wide == 1 {
				t[i] = int32(binary.BigEndian.Uint16(body[1+2*i:]))
			} else {
				t[i] = int32(body[1+i])
			}
		}
		d.quant[id], body = t, body[1+size:]
	}
	return nil
}

// frame reads the frame header and takes memory for the planes.
func (d *jpegDecoder) frame(marker byte, body []byte) error {
	switch {
	case marker > mSOF2:
		return fail(Unsupported,
			"frame type %#02x (arithmetic coding, lossless or hierarchical): save it as a usual JPEG", marker)
	case d.comps != nil:
		return fail(Corrupt, "a second frame header")
	case len(body) < 6 || len(body) != 6+3*int(body[5]):
		return fail(Corrupt, "a frame header of %d bytes", len(body))
	case body[0] != 8:
		return fail(Unsupported, "%d bits a sample", body[0])
	}
	d.progressive = marker == mSOF2
	d.h, d.w = int(binary.BigEndian.Uint16(body[1:])), int(binary.BigEndian.Uint16(body[3:]))
	n := int(body[5])
	if n != 1 && n != 3 && n != 4 {
		return fail(Unsupported, "%d components", n)
	}
	d.comps = make([]component, n)
	for i := range d.comps {
		c, b := &d.comps[i], body[6+3*i:]
		c.id, c.h, c.v, c.table = b[0], int(b[1]>>4), int(b[1]&15), b[2]
		if c.h < 1 || c.h > 4 || c.v < 1 || c.v > 4 || c.table > 3 {
			return fail(Corrupt, "component %d with sampling %d×%d and table %d", i, c.h, c.v, c.table)
		}
		if n == 1 {
			c.h, c.v = 1, 1
		}
		d.hMax, d.vMax = max(d.hMax, c.h), max(d.vMax, c.v)
	}
	up := func(a, b int) int { return (a + b - 1) / b }
	d.mcusX, d.mcusY = up(d.w, 8*d.hMax), up(d.h, 8*d.vMax)
	for i := range d.comps {
		c := &d.comps[i]
		if d.hMax%c.h != 0 || d.vMax%c.v != 0 {
			return fail(Unsupported, "component %d has %d×%d samples where another has %d×%d", i, c.h, c.v, d.hMax,
				d.vMax)
		}
		c.rx, c.ry = d.hMax/c.h, d.vMax/c.v
		c.w, c.plane.h = up(d.w, c.rx), up(d.h, c.ry)
		c.ownX, c.ownY = up(c.w, 8), up(c.plane.h, 8)
		c.blocksX, c.blocksY = d.mcusX*c.h, d.mcusY*c.v
		c.stride = 8 * c.blocksX
		c.pix = make([]byte, c.stride*8*c.blocksY)
		if d.progressive {
			c.coefficients = make([]int16, 64*c.blocksX*c.blocksY)
		}
	}
	return nil
}

// rgb upsamples the planes and converts colours: what the file's colours are is guessed as libjpeg does.
func (d *jpegDecoder) rgb() (*RGB, error) {
	m := New(d.w, d.h)
	rows := make([][]byte, len(d.comps))
	buf := make([][]byte, len(d.comps))
	for i := range buf {
		buf[i] = make([]byte, d.comps[i].w*d.comps[i].rx)
	}
	isRGB := !d.jfif && (d.adobe && d.transform == 0 || !d.adobe && len(d.comps) == 3 && d.comps[0].id == 'R' &&
		d.comps[1].id == 'G' && d.comps[2].id == 'B')
	isCMYK := !d.adobe || d.transform == 0
	ink := make([]byte, 4*d.w)
	for y := range d.h {
		for i := range rows {
			rows[i] = d.comps[i].upsample(buf[i], y)[:d.w]
		}
		dst := m.row(y)
		switch {
		case len(rows) == 1:
			for x, v := range rows[0] {
				dst[3*x], dst[3*x+1], dst[3*x+2] = v, v, v
			}
		case len(rows) == 3 && !isRGB:
			fromYCC(dst, rows[0], rows[1], rows[2])
		case len(rows) == 3:
			for x, v := range rows[0] {
				dst[3*x], dst[3*x+1], dst[3*x+2] = v, rows[1][x], rows[2][x]
			}
		default: // four inks, stored inverted as Adobe does; of YCCK the first three were RGB
			if !isCMYK {
				fromYCC(dst, rows[0], rows[1], rows[2])
			}
			for x, k := range rows[3] {
				p := ink[4*x : 4*x+4 : 4*x+4]
				if isCMYK {
					p[0], p[1], p[2] = ^rows[0][x], ^rows[1][x], ^rows[2][x]
				} else {
					p[0], p[1], p[2] = dst[3*x], dst[3*x+1], dst[3*x+2]
				}
				p[3] = ^k
			}
			fromCMYK(dst, ink)
		}
	}
	return m, nil
}
