package blocks

import "encoding/binary"

// The formats of 256 values in sub-blocks of 16 or 32, whose scales are small integers with a common binary16 scale.
// Q2_K, Q3_K and IQ4_XS can only be read.
var (
	Q4_K   = &Format{Name: "Q4_K", ID: 12, Length: 256, Size: 144, encode: encodeQ4K, decode: decodeQ4K}
	Q5_K   = &Format{Name: "Q5_K", ID: 13, Length: 256, Size: 176, encode: encodeQ5K, decode: decodeQ5K}
	Q6_K   = &Format{Name: "Q6_K", ID: 14, Length: 256, Size: 210, encode: encodeQ6K, decode: decodeQ6K}
	Q2_K   = &Format{Name: "Q2_K", ID: 10, Length: 256, Size: 84, decode: decodeQ2K}
	Q3_K   = &Format{Name: "Q3_K", ID: 11, Length: 256, Size: 110, decode: decodeQ3K}
	IQ4_XS = &Format{Name: "IQ4_XS", ID: 23, Length: 256, Size: 136, decode: decodeIQ4XS}
)

// scaleMin is the 6-bit scale and minimum of sub-block s, from the 12 bytes that Q4_K and Q5_K pack eight of each into.
func scaleMin(s int, b []byte) (scale, minimum float32) {
	if s < 4 {
		return float32(b[s] & 63), float32(b[s+4] & 63)
	}
	return float32(b[s+4]&15 | b[s-4]>>6<<4), float32(b[s+4]>>4 | b[s]>>6<<4)
}

// putScaleMin is the inverse of scaleMin, on bytes that were 0 before.
func putScaleMin(s int, b []byte, scale, minimum byte) {
	if s < 4 {
		b[s] |= scale
		b[s+4] |= minimum
		return
	}
	b[s+4] = scale&15 | minimum<<4
	b[s-4] |= scale >> 4 << 6
	b[s] |= minimum >> 4 << 6
}

// decodeQ4K: d, dmin, 12 bytes of scales, 128 of nibbles. Of 32 bytes the low nibbles are one sub-block and the high
// ones the next; the values are d·scale·q − dmin·minimum.
func decodeQ4K(dst []float32, b []byte) {
	for ; len(dst) > 0; dst, b = dst[256:], b[144:] {
		d, dmin := half(b), half(b[2:])
		for s := range 8 {
			scale, minimum := scaleMin(s, b[4:])
			scale, minimum = d*scale, dmin*minimum
			out := dst[32*s:][:32]
			for i, q := range b[16+32*(s/2):][:32] {
				out[i] = float32(scale*float32(q>>(s%2*4)&15)) - minimum
			}
		}
	}
}

// decodeQ5K: as Q4_K, with 32 bytes before the nibbles, of which bit s is the fifth bit of sub-block s.
func decodeQ5K(dst []float32, b []byte) {
	for ; len(dst) > 0; dst, b = dst[256:], b[176:] {
		d, dmin := half(b), half(b[2:])
		fifth := b[16:48]
		for s := range 8 {
			scale, minimum := scaleMin(s, b[4:])
			scale, minimum = d*scale, dmin*minimum
			out := dst[32*s:][:32]
			for i, q := range b[48+32*(s/2):][:32] {
				out[i] = float32(scale*float32(q>>(s%2*4)&15|fifth[i]>>s&1<<4)) - minimum
			}
		}
	}
}

// decodeQ6K: 128 bytes of low bits, 64 of high bits, 16 signed scales, d. The values are d·scale·(q − 32), a scale for
// every 16.
func decodeQ6K(dst []float32, b []byte) {
	for ; len(dst) > 0; dst, b = dst[256:], b[210:] {
		d, scales := half(b[208:]), b[192:208]
		for i := range dst[:256] {
			q := int(b[sixLow(i)]>>(i/64%2*4)&15) | int(b[sixHigh(i)]>>(i/32%4*2)&3)<<4
			dst[i] = float32(d*float32(int8(scales[i/16]))) * float32(q-32)
		}
	}
}

// sixLow and sixHigh are the bytes of a Q6_K block that hold value i's lower four and upper two bits.
func sixLow(i int) int  { return i/128*64 + i%64 }
func sixHigh(i int) int { return 128 + i/128*32 + i%32 }

// decodeQ2K: 16 bytes of a scale and a minimum in four bits each, 64 bytes of two-bit q, d, dmin.
func decodeQ2K(dst []float32, b []byte) {
	for ; len(dst) > 0; dst, b = dst[256:], b[84:] {
		d, dmin := half(b[80:]), half(b[82:])
		for i := range dst[:256] {
			s := b[i/16]
			q := b[16+i/128*32+i%32] >> (i / 32 % 4 * 2) & 3
			dst[i] = float32(float32(d*float32(s&15))*float32(q)) - float32(dmin*float32(s>>4))
		}
	}
}

// decodeQ3K: 32 bytes of third bits, 64 of lower bits, 12 of six-bit scales, d. The values are d·(scale − 32)·(q − 4).
func decodeQ3K(dst []float32, b []byte) {
	for ; len(dst) > 0; dst, b = dst[256:], b[110:] {
		d := half(b[108:])
		for i := range dst[:256] {
			s := i / 16 // its low bits are nibble s of the first 8 bytes, its high bits a pair of the last 4
			scale := int(b[96+s%8]>>(s/8*4)&15) | int(b[104+s%4]>>(s/4*2)&3)<<4
			q := int(b[32+i/128*32+i%32]>>(i/32%4*2)&3) | int(b[i%32]>>(i/32)&1)<<2
			dst[i] = float32(d*float32(scale-32)) * float32(q-4)
		}
	}
}

// decodeIQ4XS: d, eight six-bit scales, of which two bytes hold the upper and four the lower bits, 128 bytes of nibbles
// as IQ4_NL's.
func decodeIQ4XS(dst []float32, b []byte) {
	for ; len(dst) > 0; dst, b = dst[256:], b[136:] {
		d, high := half(b), binary.LittleEndian.Uint16(b[2:])
		for s := range 8 {
			scale := int(b[4+s/2]>>(s%2*4)&15) | int(high>>(2*s)&3)<<4
			ds, out := d*float32(scale-32), dst[32*s:][:32]
			for i, q := range b[8+16*s:][:16] {
				out[i] = ds * float32(NonLinear[q&15])
				out[i+16] = ds * float32(NonLinear[q>>4])
			}
		}
	}
}
