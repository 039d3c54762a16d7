package blocks

import (
	"encoding/binary"
	"math"
)

// INT8 holds what LLM.int8 does, code·scale with one float32 scale for each row (Dettmers et al. 2022): a block has the
// scale and 32 codes. Rows of any number of blocks are so of one size for a kernel, at the price of one bit a weight.
var INT8 = &Format{Name: "INT8", ID: -1, Length: 32, Size: 36, encode: encodeInt8, decode: decodeInt8}

func decodeInt8(dst []float32, b []byte) {
	for ; len(dst) > 0; dst, b = dst[32:], b[36:] {
		d := math.Float32frombits(binary.LittleEndian.Uint32(b))
		for i, q := range b[4:36] {
			dst[i] = d * float32(int8(q))
		}
	}
}

// encodeInt8 gives each block a scale of its own, max|x|/127, which is finer than one for a row; codes are rounded to
// even.
func encodeInt8(dst []byte, x []float32) {
	for ; len(x) > 0; dst, x = dst[36:], x[32:] {
		d := peak(x[:32]) / 127
		id := inverse(d)
		binary.LittleEndian.PutUint32(dst, math.Float32bits(d))
		for i, v := range x[:32] {
			dst[4+i] = byte(int8(math.RoundToEven(float64(v * id))))
		}
	}
}

// PackInt8 makes blocks of a weight [out, in] of LLM.int8, exactly: scb is the largest magnitude of each row, and in is
// a multiple of 32.
func PackInt8(codes []byte, scb []float32) []byte {
	in := len(codes) / max(len(scb), 1)
	out := make([]byte, 0, INT8.Bytes(len(codes)))
	for o, s := range scb {
		for row := codes[o*in : (o+1)*in]; len(row) > 0; row = row[32:] {
			out = binary.LittleEndian.AppendUint32(out, math.Float32bits(s*float32(1./127)))
			out = append(out, row[:32]...)
		}
	}
	return out
}

// UnpackInt8 is the inverse of [PackInt8] for a weight of so many rows: the codes, and a magnitude that gives each
// row's scale. It reports false if blocks of a row have different scales, or no magnitude gives it.
func UnpackInt8(b []byte, rows int) (codes []byte, scb []float32, ok bool) {
	codes, scb = make([]byte, 0, len(b)/36*32), make([]float32, rows)
	for o := range scb {
		row := b[o*len(b)/rows : (o+1)*len(b)/rows]
		for at := 0; at < len(row); at += 36 {
			if [4]byte(row[at:]) != [4]byte(row) {
				return nil, nil, false
			}
			codes = append(codes, row[at+4:at+36]...)
		}
		if len(row) > 0 {
			scale := math.Float32frombits(binary.LittleEndian.Uint32(row))
			if scb[o], ok = magnitude(scale); !ok {
				return nil, nil, false
			}
		}
	}
	return codes, scb, true
}

// magnitude is the number that times 1/127 is scale in float32, which is next to scale·127 if there is one.
func magnitude(scale float32) (s float32, ok bool) {
	bits := math.Float32bits(scale * 127)
	for _, by := range []uint32{0, 1, ^uint32(0)} {
		if s = math.Float32frombits(bits + by); s*float32(1./127) == scale {
			return s, true
		}
	}
	return 0, false
}
