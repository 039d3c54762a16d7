package imaging

// plane is one component of a JPEG picture, at its own resolution.
type plane struct {
	w, h   int // samples that belong to the picture, without the padding of the last blocks
	stride int
	pix    []byte
	rx, ry int // pixels of the picture that a sample covers, along x and along y
}

func (p *plane) row(y int) []byte { return p.pix[y*p.stride : y*p.stride+p.w] }

// upsample writes row y of the picture, width w, into dst, interpolating as libjpeg's jdsample.c does where a sample covers two
// pixels ("fancy", triangular), and repeating samples for any other ratio. It returns dst, or the row itself where nothing is to do.
// sums is scratch of p.w numbers.
func (p *plane) upsample(dst []byte, y int, sums []int32) []byte {
	near := p.row(y / p.ry)
	switch {
	case p.rx == 1 && p.ry == 1:
		return near
	case p.rx == 2 && p.ry == 1 && p.w > 2:
		stretch(dst, near)
	case p.rx == 1 && p.ry == 2:
		far, bias := p.beside(y)
		for x, v := range near {
			dst[x] = byte((3*int(v) + int(far[x]) + bias) >> 2)
		}
	case p.rx == 2 && p.ry == 2 && p.w > 2:
		far, _ := p.beside(y)
		sums := sums[:len(near)]
		far = far[:len(near)]
		for x, v := range near {
			sums[x] = 3*int32(v) + int32(far[x])
		}
		stretchSums(dst, sums)
	default:
		for x := range dst {
			dst[x] = near[min(x/p.rx, p.w-1)]
		}
	}
	return dst
}

// beside returns, for ry = 2, the second nearest sample row of picture row y (the picture's edges repeat their own), and what
// libjpeg adds before it halves twice.
func (p *plane) beside(y int) (row []byte, bias int) {
	if y%2 == 0 {
		return p.row(max(y/2-1, 0)), 1
	}
	return p.row(min(y/2+1, p.h-1)), 2
}

// stretch doubles a row: each pixel is ¾ of the nearest sample and ¼ of the next but one, rounded down and up in turns.
func stretch(dst, src []byte) {
	n := len(src)
	dst = dst[:min(len(dst), 2*n)]
	dst[0] = src[0]
	for i := 1; i < n; i++ {
		a, b := int(src[i-1]), int(src[i])
		dst[2*i-1] = byte((3*a + b + 2) >> 2)
		if 2*i < len(dst) {
			dst[2*i] = byte((3*b + a + 1) >> 2)
		}
	}
	if len(dst) == 2*n {
		dst[2*n-1] = src[n-1]
	}
}

// stretchSums does the same with sums of two rows, weighted 3 and 1.
func stretchSums(dst []byte, sums []int32) {
	n := len(sums)
	dst = dst[:min(len(dst), 2*n)]
	dst[0] = byte((4*sums[0] + 8) >> 4)
	a := sums[0]
	for i := 1; i < n; i++ {
		b := sums[i]
		dst[2*i-1] = byte((3*a + b + 7) >> 4)
		if 2*i < len(dst) {
			dst[2*i] = byte((3*b + a + 8) >> 4)
		}
		a = b
	}
	if len(dst) == 2*n {
		dst[2*n-1] = byte((4*sums[n-1] + 7) >> 4)
	}
}

// chroma holds what a chroma sample adds to each colour, in libjpeg's fixed point of 16 bits; green's halves are added first.
var chroma = func() (t struct{ redCr, greenCr, greenCb, blueCb [256]int32 }) {
	for i := range int32(256) {
		c := i - 128
		t.redCr[i] = (91881*c + 1<<15) >> 16
		t.blueCb[i] = (116130*c + 1<<15) >> 16
		t.greenCr[i] = -46802 * c
		t.greenCb[i] = -22554*c + 1<<15
	}
	return t
}()

// fromYCC converts a row of luma and chroma, as JFIF defines them, to RGB.
func fromYCC(dst, luma, cb, cr []byte) {
	luma, cb, cr = luma[:len(dst)/3], cb[:len(dst)/3], cr[:len(dst)/3]
	for x, v := range luma {
		y, b, r := int32(v), cb[x], cr[x]
		p := dst[3*x : 3*x+3 : 3*x+3]
		p[0] = clipped[(y+chroma.redCr[r])&1023]
		p[1] = clipped[(y+(chroma.greenCb[b]+chroma.greenCr[r])>>16)&1023]
		p[2] = clipped[(y+chroma.blueCb[b])&1023]
	}
}

func clip8(v int32) byte { return byte(min(max(v, 0), 255)) }
