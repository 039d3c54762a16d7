package imaging

// gifFrames lists the frames of a GIF without decoding them. Those before a fault come with the error.
func gifFrames(data []byte) (list []gifFrame, err error) {
	cut := func() error { return fail(Truncated, "the data ends within it") }
	first, err := firstFrame(data)
	if err != nil {
		return nil, err
	}
	global := first
	global.palette = nil
	at := 13
	if data[10]&0x80 != 0 {
		n := 3 << (data[10]&7 + 1)
		global.palette = data[at : at+n]
		at += n
	}
	blocks := func() bool { // skips sub-blocks
		for at < len(data) {
			n := int(data[at])
			if at += 1 + n; n == 0 {
				return true
			}
		}
		return false
	}
	f := gifFrame{}
	for at < len(data) {
		switch at++; data[at-1] {
		case 0x21:
			if at+6 <= len(data) && data[at] == 0xf9 {
				f.disposal, f.transparent = int(data[at+2]>>2&7), data[at+2]&1 != 0
				if f.fill = 0; f.transparent {
					f.fill = data[at+5]
				}
			}
			if at++; !blocks() {
				return list, cut()
			}
		case 0x2c:
			if len(data)-at < 9 {
				return list, cut()
			}
			u := func(i int) int { return int(data[at+i]) | int(data[at+i+1])<<8 }
			f.screenW, f.screenH, f.x, f.y, f.w, f.h = first.screenW, first.screenH, u(0), u(2), u(4), u(6)
			flags := data[at+8]
			at += 9
			f.interlaced, f.palette = flags&0x40 != 0, global.palette
			if flags&0x80 != 0 {
				n := 3 << (flags&7 + 1)
				if len(data)-at < n {
					return list, cut()
				}
				f.palette = data[at : at+n]
				at += n
			}
			if at >= len(data) {
				return list, cut()
			}
			f.literal, f.data = int(data[at]), data[at+1:]
			if at++; !blocks() {
				return list, cut()
			}
			list, f = append(list, f), gifFrame{}
		case 0x3b:
			return list, nil
		default:
			return list, fail(Corrupt, "block %#02x is none of a GIF", data[at-1])
		}
	}
	return list, cut()
}
