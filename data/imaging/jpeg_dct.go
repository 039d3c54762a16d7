package imaging

import "encoding/binary"

// Constants of the inverse DCT of Loeffler, Ligtenberg and Moschytz (ICASSP 1989), with 13 bits after the point, named
// as libjpeg's jidctint.c names them.
const (
	fix0298 = 2446  // 0.298631336
	fix0390 = 3196  // 0.390180644
	fix0541 = 4433  // 0.541196100
	fix0765 = 6270  // 0.765366865
	fix0899 = 7373  // 0.899976223
	fix1175 = 9633  // 1.175875602
	fix1501 = 12299 // 1.501321110
	fix1847 = 15137 // 1.847759065
	fix1961 = 16069 // 1.961570560
	fix2053 = 16819 // 2.053119869
	fix2562 = 20995 // 2.562915447
	fix3072 = 25172 // 3.072711026
)

// reconstruct turns the coefficients of a progressive picture into samples.
func (c *component) reconstruct() {
	for y := range c.ownY {
		for x := range c.ownX {
			var b [64]int32
			var used uint64
			coefficients := (*[64]int16)(c.coefficients[64*(y*c.blocksX+x):])
			for i, q := range c.quant {
				at := natural[i] & 63
				if v := coefficients[at]; v != 0 {
					b[at] = int32(v) * q
					used |= 1 << at
				}
			}
			inverseDCT(&b, used, c.pix[8*(y*c.stride+x):], c.stride)
		}
	}
}

// inverseDCT writes the 8×8 samples of the coefficients b to dst, rows stride bytes apart, with every rounding where
// libjpeg's "islow" method has it: columns first, keeping two bits after the point. Bit i of used is clear only where
// b[i] is zero. b may be overwritten.
func inverseDCT(b *[64]int32, used uint64, dst []byte, stride int) {
	if used&^1 == 0 {
		v := uint64(clip8((b[0]+4)>>3+128)) * 0x0101010101010101
		for range 8 {
			binary.LittleEndian.PutUint64(dst, v)
			dst = dst[min(stride, len(dst)):]
		}
		return
	}
	if hasAVX2 {
		inverseDCTAVX2(b, &dst[0], stride)
		return
	}
	inverseDCTLoop(b, used, dst, stride)
}

// inverseDCTLoop is inverseDCT where more than the first coefficient is used.
func inverseDCTLoop(b *[64]int32, used uint64, dst []byte, stride int) {
	const column, upper, left = 0x0101010101010101, 1<<32 - 1, 0x0f0f0f0f0f0f0f0f
	for x := range 8 {
		col := used >> x & column
		if col == 0 {
			continue
		}
		if col == 1 {
			v := (b[x]<<13 + 1<<10) >> 11 // b[x] << 2, and where that overflows what the longer way would give
			for y := x; y < 64; y += 8 {
				b[y] = v
			}
			continue
		}
		var e0, e1, e2, e3, o0, o1, o2, o3 int32
		if col <= upper {
			e0, e1, e2, e3 = evenHalf(b[x], b[x+16])
			o0, o1, o2, o3 = oddHalf(b[x+8], b[x+24])
		} else {
			e0, e1, e2, e3 = even(b[x], b[x+16], b[x+32], b[x+48])
			z1, z2, z3, z4 := rotate(b[x+8], b[x+24], b[x+40], b[x+56])
			o0, o1 = b[x+56]*fix0298+z1+z3, b[x+40]*fix2053+z2+z4
			o2, o3 = b[x+24]*fix3072+z2+z3, b[x+8]*fix1501+z1+z4
		}
		const half = 1 << 10
		b[x], b[x+56] = (e0+o3+half)>>11, (e0-o3+half)>>11
		b[x+8], b[x+48] = (e1+o2+half)>>11, (e1-o2+half)>>11
		b[x+16], b[x+40] = (e2+o1+half)>>11, (e2-o1+half)>>11
		b[x+24], b[x+32] = (e3+o0+half)>>11, (e3-o0+half)>>11
	}
	for y := range 8 {
		p := b[8*y : 8*y+8 : 8*y+8]
		var e0, e1, e2, e3, o0, o1, o2, o3 int32
		if used&^left == 0 {
			e0, e1, e2, e3 = evenHalf(p[0], p[2])
			o0, o1, o2, o3 = oddHalf(p[1], p[3])
		} else {
			e0, e1, e2, e3 = even(p[0], p[2], p[4], p[6])
			z1, z2, z3, z4 := rotate(p[1], p[3], p[5], p[7])
			o0, o1 = p[7]*fix0298+z1+z3, p[5]*fix2053+z2+z4
			o2, o3 = p[3]*fix3072+z2+z3, p[1]*fix1501+z1+z4
		}
		const half = 1<<17 + 128<<18 // and the level shift
		q := dst[y*stride : y*stride+8 : y*stride+8]
		q[0], q[7] = clip8((e0+o3+half)>>18), clip8((e0-o3+half)>>18)
		q[1], q[6] = clip8((e1+o2+half)>>18), clip8((e1-o2+half)>>18)
		q[2], q[5] = clip8((e2+o1+half)>>18), clip8((e2-o1+half)>>18)
		q[3], q[4] = clip8((e3+o0+half)>>18), clip8((e3-o0+half)>>18)
	}
}

// even is the half of an 8-point inverse DCT that takes inputs 0, 2, 4 and 6; the other takes 1, 3, 5 and 7. Output i
// is the sum of result i of one and result 3-i of the other, output 7-i their difference.
func even(x0, x2, x4, x6 int32) (e0, e1, e2, e3 int32) {
	z := (x2 + x6) * fix0541
	t2, t3 := z-x6*fix1847, z+x2*fix0765
	t0, t1 := (x0+x4)<<13, (x0-x4)<<13
	return t0 + t3, t1 + t2, t1 - t2, t0 - t3
}

// evenHalf is even where inputs 4 and 6 are zero.
func evenHalf(x0, x2 int32) (e0, e1, e2, e3 int32) {
	t0, t2, t3 := x0<<13, x2*fix0541, x2*(fix0541+fix0765)
	return t0 + t3, t0 + t2, t0 - t2, t0 - t3
}

// rotate is what the odd half's results have in common.
func rotate(x1, x3, x5, x7 int32) (z1, z2, z3, z4 int32) {
	z5 := (x7 + x3 + x5 + x1) * fix1175
	return -(x7 + x1) * fix0899, -(x5 + x3) * fix2562, z5 - (x7+x3)*fix1961, z5 - (x5+x1)*fix0390
}

// oddHalf is the odd half where inputs 5 and 7 are zero.
func oddHalf(x1, x3 int32) (o0, o1, o2, o3 int32) {
	z5 := (x3 + x1) * fix1175
	z3, z4 := z5-x3*fix1961, z5-x1*fix0390
	return z3 - x1*fix0899, z4 - x3*fix2562, z3 + x3*(fix3072-fix2562), z4 + x1*(fix1501-fix0899)
}
