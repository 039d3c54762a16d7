package blocks

import (
	"encoding/binary"
	"math"
)

// half reads an IEEE 754 binary16 number, little-endian. The exponent and mantissa are moved to float32's places and
// rescaled by a multiplication, which also normalises subnormals.
func half(b []byte) float32 {
	h := uint32(binary.LittleEndian.Uint16(b))
	u := h & 0x7fff << 13
	if u >= 0x7c00<<13 { // infinity or NaN
		u |= 0xff << 23
	} else {
		u = math.Float32bits(math.Float32frombits(u) * 0x1p112)
	}
	return math.Float32frombits(u | h&0x8000<<16)
}

// putHalf writes x rounded to binary16, to nearest even; NaN stays a quiet NaN.
func putHalf(b []byte, x float32) { binary.LittleEndian.PutUint16(b, Half(x)) }

// Half is the bits of x rounded to IEEE 754 binary16, to nearest even. What is too large becomes infinity, NaN stays a
// quiet NaN.
func Half(x float32) uint16 {
	u := math.Float32bits(x)
	sign, u := uint16(u>>16&0x8000), u&0x7fffffff
	switch {
	case u > 0x7f800000:
		return sign | 0x7e00 | uint16(u>>13&0x3ff)
	case u >= 0x477ff000: // 65520 and above round to infinity
		return sign | 0x7c00
	case u < 0x38800000: // subnormal: adding ½ lets the float32 unit round at binary16's last place, 2⁻²⁴
		return sign | uint16(math.Float32bits(math.Float32frombits(u)+0.5)-0x3f000000)
	}
	return sign | uint16((u-0x38000000+0xfff+u>>13&1)>>13)
}

// away rounds to the nearest integer, ties away from zero.
func away(x float32) float32 { return float32(math.Round(float64(x))) }

// F16 and BF16 are single values: IEEE 754 binary16, and the upper half of a float32, rounded to nearest even; NaN
// stays a quiet NaN.
var (
	F16 = &Format{Name: "F16", ID: 1, Length: 1, Size: 2,
		encode: func(dst []byte, x []float32) {
			for i, v := range x {
				putHalf(dst[2*i:], v)
			}
		},
		decode: func(dst []float32, b []byte) {
			for i := range dst {
				dst[i] = half(b[2*i:])
			}
		}}
	BF16 = &Format{Name: "BF16", ID: 30, Length: 1, Size: 2,
		encode: func(dst []byte, x []float32) {
			for i, v := range x {
				u := math.Float32bits(v)
				if v != v {
					u |= 0x400000
				} else {
					u += 0x7fff + u>>16&1
				}
				binary.LittleEndian.PutUint16(dst[2*i:], uint16(u>>16))
			}
		},
		decode: func(dst []float32, b []byte) {
			for i := range dst {
				dst[i] = math.Float32frombits(uint32(binary.LittleEndian.Uint16(b[2*i:])) << 16)
			}
		}}
)
