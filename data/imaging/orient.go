package imaging

// orient turns and mirrors the picture as EXIF orientation o (1…8) asks, and returns it.
func (m *RGB) orient(o int) *RGB {
	if o <= 1 || o > 8 {
		return m
	}
	out := New(m.W, m.H)
	if o >= 5 { // a quarter turn
		out.W, out.H = m.H, m.W
	}
	for y := range out.H {
		for x := range out.W {
			sx, sy := x, y // where pixel (x, y) comes from
			if o >= 5 {
				sx, sy = y, x
			}
			if o == 2 || o == 3 || o == 7 || o == 8 {
				sx = m.W - 1 - sx
			}
			if o == 3 || o == 4 || o == 6 || o == 7 {
				sy = m.H - 1 - sy
			}
			copy(out.Pix[3*(y*out.W+x):][:3], m.Pix[3*(sy*m.W+sx):])
		}
	}
	return out
}

// exifOrientation finds tag 0x0112 in the first directory of a TIFF header, and returns 1 where it is not there or
// senseless.
func exifOrientation(tiff []byte) int {
	if len(tiff) < 8 {
		return 1
	}
	u16 := func(i int) int { return int(tiff[i])<<8 | int(tiff[i+1]) }
	u32 := func(i int) int { return u16(i)<<16 | u16(i+2) }
	switch string(tiff[:4]) {
	case "MM\x00*":
	case "II*\x00":
		u16 = func(i int) int { return int(tiff[i]) | int(tiff[i+1])<<8 }
		u32 = func(i int) int { return u16(i) | u16(i+2)<<16 }
	default:
		return 1
	}
	at := u32(4)
	if at < 0 || at > len(tiff)-2 {
		return 1
	}
	n := u16(at)
	for e := at + 2; n > 0 && e <= len(tiff)-12; n, e = n-1, e+12 {
		if u16(e) == 0x0112 {
			if o := u16(e + 8); u16(e+2) == 3 && o >= 1 && o <= 8 {
				return o
			}
			return 1
		}
	}
	return 1
}
