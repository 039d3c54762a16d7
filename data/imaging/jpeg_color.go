package imaging

// plane is one component of a JPEG picture, at its own resolution.
type plane struct {
	w, h   int // samples that belong to the picture, without the padding of the last blocks
	stride int
	pix    []byte
	rx, ry int // pixels of the picture that a sample covers, along x and along y
}

func (p *plane) row(y int) []byte { return p.pix[y*p.stride : y*p.stride+p.w] }

// upsample returns row y of the picture, interpolated as libjpeg's jdsample.c does where a sample covers two pixels
// ("fancy", triangular), and with samples repeated for any other ratio. It is at least as long as the picture is wide;
// buf, with room for rx times w bytes, may hold it.
func (p *plane) upsample(buf []byte, y int) []byte {
	near := p.row(y / p.ry)
	switch {
	case p.rx == 1 && p.ry == 1:
		return near
	case p.rx == 2 && p.ry == 1 && p.w > 2:
		stretch(buf, near)
	case p.rx == 1 && p.ry == 2:
		far, bias := p.beside(y)
		for x, v := range near {
			buf[x] = byte((3*int(v) + int(far[x]) + bias) >> 2)
		}
	case p.rx == 2 && p.ry == 2 && p.w > 2:
		far, _ := p.beside(y)
		stretchSums(buf, near, far)
	default:
		for x := range buf {
			buf[x] = near[x/p.rx]
		}
	}
	return buf
}

// beside returns, for ry = 2, the second nearest sample row of picture row y (the picture's edges repeat their own),
// and what libjpeg adds before it halves twice.
func (p *plane) beside(y int) (row []byte, bias int) {
	if y%2 == 0 {
		return p.row(max(y/2-1, 0)), 1
	}
	return p.row(min(y/2+1, p.h-1)), 2
}

// stretch doubles a row: each pixel is ¾ of the nearest sample and ¼ of the next but one, rounded down and up in turns.
func stretch(dst, src []byte) {
	a := int(src[0])
	dst[0] = src[0]
	for i, v := range src[1:] {
		b := int(v)
		p := dst[2*i+1 : 2*i+3 : 2*i+3]
		p[0], p[1] = byte((3*a+b+2)>>2), byte((3*b+a+1)>>2)
		a = b
	}
	dst[2*len(src)-1] = byte(a)
}

// stretchSums does the same with the sums of two rows, weighted 3 and 1.
func stretchSums(dst, near, far []byte) {
	far = far[:len(near)]
	a := 3*int(near[0]) + int(far[0])
	dst[0] = byte((4*a + 8) >> 4)
	from := 1
	if n := (len(near) - 2) &^ 15; hasAVX2 && n > 0 {
		b := 3*int(near[1]) + int(far[1])
		dst[1] = byte((3*a + b + 7) >> 4)
		stretchAVX2(&dst[2], &near[1], &far[1], n)
		a, from = 3*int(near[n])+int(far[n]), n+1
	}
	for i := from; i < len(near); i++ {
		b := 3*int(near[i]) + int(far[i])
		p := dst[2*i-1 : 2*i+1 : 2*i+1]
		p[0], p[1] = byte((3*a+b+7)>>4), byte((3*b+a+8)>>4)
		a = b
	}
	dst[2*len(near)-1] = byte((4*a + 7) >> 4)
}

// A colour is summed up in one word: green from bit 0 with 16 bits after the point, red from bit 26, blue from bit 36,
// ten bits each before the point and 256 added, so that none goes below zero. These tables hold what a chroma sample
// adds, in libjpeg's fixed point of 16 bits.
var ofCb, ofCr = func() (cb, cr [256]uint64) {
	for i := range 256 {
		c := i - 128
		red, blue := (91881*c+1<<15)>>16, (116130*c+1<<15)>>16
		cb[i] = uint64(256<<16+1<<15-22554*c) + uint64(256+blue)<<36
		cr[i] = uint64(-46802*c) + uint64(256+red)<<26
	}
	return cb, cr
}()

// fromYCC converts a row of luma and chroma, as JFIF defines them, to RGB.
func fromYCC(dst, luma, cb, cr []byte) {
	if n := (len(dst)/3 - 2) &^ 7; hasAVX2 && n > 0 { // two pixels are left for what the kernel writes too many
		fromYCCAVX2(&dst[0], &luma[0], &cb[0], &cr[0], n)
		dst, luma, cb, cr = dst[3*n:], luma[n:], cb[n:], cr[n:]
	}
	fromYCCLoop(dst, luma, cb, cr)
}

// fromYCCLoop is fromYCC.
func fromYCCLoop(dst, luma, cb, cr []byte) {
	const (
		one   = 1<<16 | 1<<26 | 1<<36
		above = 3<<24 | 3<<34 | 3<<44 // the bits above 255
		in    = 1<<24 | 1<<34 | 1<<44 // where they say that the sum, 256 taken off, is a byte
	)
	luma, cb, cr = luma[:len(dst)/3], cb[:len(dst)/3], cr[:len(dst)/3]
	b, r := &ofCb, &ofCr
	for x, y := range luma {
		s := uint64(y)*one + b[cb[x]] + r[cr[x]]
		p := dst[:3]
		dst = dst[3:]
		if s&above == in {
			p[2], p[1], p[0] = byte(s>>36), byte(s>>16), byte(s>>26)
			continue
		}
		p[2], p[1], p[0] = clipped[(s>>36-256)&1023], clipped[(s>>16-256)&1023], clipped[(s>>26-256)&1023]
	}
}

func clip8(v int32) byte { return byte(min(max(v, 0), 255)) }
