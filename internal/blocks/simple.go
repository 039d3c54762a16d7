package blocks

import "encoding/binary"

// The formats of 32 values, each with one scale d and, in some, a minimum m as binary16. With stored integers q the
// values are d·q in Q8_0, d·(q−8) in Q4_0, d·q + m in Q4_1, d·(q−16) in Q5_0, d·q + m in Q5_1, and d·NonLinear[q] in
// IQ4_NL.
var (
	Q8_0   = &Format{Name: "Q8_0", ID: 8, Length: 32, Size: 34, encode: encodeQ8, decode: decodeQ8}
	Q4_0   = &Format{Name: "Q4_0", ID: 2, Length: 32, Size: 18, encode: symmetric(8, 2), decode: decode32(2, 0, 8)}
	Q4_1   = &Format{Name: "Q4_1", ID: 3, Length: 32, Size: 20, encode: ranged(15, 4), decode: decode32(4, 0, 0)}
	Q5_0   = &Format{Name: "Q5_0", ID: 6, Length: 32, Size: 22, encode: symmetric(16, 6), decode: decode32(6, 2, 16)}
	Q5_1   = &Format{Name: "Q5_1", ID: 7, Length: 32, Size: 24, encode: ranged(31, 8), decode: decode32(8, 4, 0)}
	IQ4_NL = &Format{Name: "IQ4_NL", ID: 20, Length: 32, Size: 18, encode: encodeIQ4, decode: decodeIQ4}
)

// NonLinear is the table of IQ4_NL and IQ4_XS.
var NonLinear = [16]int8{-127, -104, -83, -65, -49, -35, -22, -10, 1, 13, 25, 38, 53, 69, 89, 113}

func decodeQ8(dst []float32, b []byte) {
	for ; len(dst) > 0; dst, b = dst[32:], b[34:] {
		d := half(b)
		for i, q := range b[2:34] {
			dst[i] = d * float32(int8(q))
		}
	}
}

// encodeQ8 takes d = max|x|/127 and rounds x/d, ties away from zero; d is rounded to binary16 only to be stored.
func encodeQ8(dst []byte, x []float32) {
	for ; len(x) > 0; dst, x = dst[34:], x[32:] {
		d := peak(x[:32]) / 127
		id := inverse(d)
		putHalf(dst, d)
		for i, v := range x[:32] {
			dst[2+i] = byte(int8(away(v * id)))
		}
	}
}

// decode32 decodes blocks whose nibbles begin at byte at: byte i holds value i in its low and value i+16 in its high
// nibble. If high > 0, bit i of the word at byte high is the fifth bit of value i. With middle 0 the values are d·q +
// m, else d·(q − middle).
func decode32(at, high, middle int) func(dst []float32, b []byte) {
	size := at + 16
	return func(dst []float32, b []byte) {
		for ; len(dst) > 0; dst, b = dst[32:], b[size:] {
			var fifth uint32
			if high > 0 {
				fifth = binary.LittleEndian.Uint32(b[high:])
			}
			d := half(b)
			for i, q := range b[at:size] {
				lo := int(q&15) | int(fifth>>i&1)<<4
				hi := int(q>>4) | int(fifth>>(i+16)&1)<<4
				dst[i], dst[i+16] = d*float32(lo-middle), d*float32(hi-middle)
			}
			if middle == 0 {
				m := half(b[2:])
				for i := range dst[:32] {
					dst[i] += m
				}
			}
		}
	}
}

// symmetric encodes d·(q − middle): d = v/−middle for the value v of largest magnitude, the first of equals.
func symmetric(middle, at int) func(dst []byte, x []float32) {
	return func(dst []byte, x []float32) {
		for ; len(x) > 0; dst, x = dst[at+16:], x[32:] {
			d := largest(x[:32]) / float32(-middle)
			id := inverse(d)
			putHalf(dst, d)
			nibbles(dst, at, x, func(v float32) int {
				return min(2*middle-1, int(float32(v*id)+float32(middle)+0.5))
			})
		}
	}
}

// ranged encodes d·q + m: m is the minimum, and d the range divided by top.
func ranged(top, at int) func(dst []byte, x []float32) {
	return func(dst []byte, x []float32) {
		for ; len(x) > 0; dst, x = dst[at+16:], x[32:] {
			lo, hi := x[0], x[0]
			for _, v := range x[:32] {
				lo, hi = min(lo, v), max(hi, v)
			}
			d := (hi - lo) / float32(top)
			id := inverse(d)
			putHalf(dst, d)
			putHalf(dst[2:], lo)
			nibbles(dst, at, x, func(v float32) int { return min(top, int(float32((v-lo)*id)+0.5)) })
		}
	}
}

// nibbles packs 32 values of q at byte at; a fifth bit goes to the four bytes before it.
func nibbles(dst []byte, at int, x []float32, q func(v float32) int) {
	var fifth uint32
	for i := range 16 {
		lo, hi := q(x[i]), q(x[i+16])
		dst[at+i] = byte(lo&15 | hi&15<<4)
		fifth |= uint32(lo>>4&1)<<i | uint32(hi>>4&1)<<(i+16)
	}
	if at >= 6 {
		binary.LittleEndian.PutUint32(dst[at-4:], fifth)
	}
}

func decodeIQ4(dst []float32, b []byte) {
	for ; len(dst) > 0; dst, b = dst[32:], b[18:] {
		d := half(b)
		for i, q := range b[2:18] {
			dst[i] = d * float32(NonLinear[q&15])
			dst[i+16] = d * float32(NonLinear[q>>4])
		}
	}
}

// encodeIQ4 tries scales that put the value of largest magnitude near an end of the table, and keeps the one with the
// least error weighted by x².
func encodeIQ4(dst []byte, x []float32) {
	for ; len(x) > 0; dst, x = dst[18:], x[32:] {
		d := scaleIQ4(x[:32])
		id := inverse(d)
		putHalf(dst, d)
		for i := range 16 {
			dst[2+i] = byte(nearestIQ4(x[i]*id) | nearestIQ4(x[i+16]*id)<<4)
		}
	}
}

func scaleIQ4(x []float32) (best float32) {
	v := largest(x)
	if v == 0 {
		return 0
	}
	most := float32(0)
	try := func(id float32) {
		var qx, qq float32
		for _, v := range x {
			q, w := float32(NonLinear[nearestIQ4(v*id)]), v*v
			qx += w * q * v
			qq += w * q * q
		}
		if qq > 0 && qx*qx > most*qq {
			most, best = qx*qx/qq, qx/qq
		}
	}
	try(-float32(NonLinear[0]) / v)
	for t := -7; t <= 7; t++ {
		try((float32(t) + float32(NonLinear[0])) / v)
	}
	return best
}

// nearestIQ4 is the index of the entry nearest to x.
func nearestIQ4(x float32) int {
	i := 0
	for i < 15 && x-float32(NonLinear[i]) > float32(NonLinear[i+1])-x {
		i++
	}
	return i
}

// peak is the largest magnitude.
func peak(x []float32) float32 {
	var m float32
	for _, v := range x {
		m = max(m, v, -v)
	}
	return m
}

// largest is the value of largest magnitude, with its sign: the first of equals.
func largest(x []float32) (v float32) {
	for _, e := range x {
		if max(e, -e) > max(v, -v) {
			v = e
		}
	}
	return v
}

// inverse is 1/d, and 0 for 0.
func inverse(d float32) float32 {
	if d == 0 {
		return 0
	}
	return 1 / d
}
