package blocks

import "math"

// Packed is a weight [out, in] as GPTQ and AWQ checkpoints keep it: unsigned fields in 32-bit words, with scale and
// zero point for each output and group of inputs.
type Packed struct {
	In, Out, Bits int // bits 2, 3, 4 or 8; of AWQ 4
	Weight, Zeros []int32
	Scales        []float32 // [groups, out]
	Group         []int32   // [in]: the group of each input
	AWQ           bool      // AWQ's layout, in which zero points are stored as they are
	ZerosAsIs     bool      // gptq_v2: as AWQ in that; else they are stored one less
}

// Decode writes the weight, row by row: (q − zero)·scale, exact in float32.
func (p *Packed) Decode(dst []float32) {
	mask := int32(1)<<p.Bits - 1
	for i := range p.In {
		g := int(p.Group[i])
		for o := range p.Out {
			var q, z int32
			if p.AWQ {
				q, z = awqField(p.Weight, i*p.Out+o), awqField(p.Zeros, g*p.Out+o)
			} else {
				q = gptqField(p.Weight, i, p.Bits, p.Out, o)
				z = gptqField(p.Zeros[g*p.Out*p.Bits/32:], o, p.Bits, 1, 0)
				if !p.ZerosAsIs {
					z = (z + 1) & mask
				}
			}
			dst[o*p.In+i] = float32(q-z) * p.Scales[g*p.Out+o]
		}
	}
}

// gptqField is field i of a column of words that lie stride apart. Fields of 3 bits fill three words with 32 of them,
// across their borders.
func gptqField(words []int32, i, bits, stride, column int) int32 {
	bit := i * bits
	w := func(k int) uint64 { return uint64(uint32(words[k*stride+column])) }
	v := w(bit/32) >> (bit % 32)
	if bit%32+bits > 32 {
		v |= w(bit/32+1) << (32 - bit%32)
	}
	return int32(v & (1<<bits - 1))
}

// awqField is the four bits of output i, eight of which share a word in an order of their own.
func awqField(words []int32, i int) int32 {
	order := [8]int{0, 4, 1, 5, 2, 6, 3, 7}
	return int32(uint32(words[i/8]) >> (4 * order[i%8]) & 15)
}

// DecodeInt8 writes the weight [out, in] of LLM.int8: code·(scb/127), a scale for each row.
func DecodeInt8(dst []float32, codes []byte, scb []float32) {
	in := len(codes) / max(len(scb), 1)
	for o, s := range scb {
		s *= float32(1. / 127)
		for i, c := range codes[o*in : (o+1)*in] {
			dst[o*in+i] = float32(int8(c)) * s
		}
	}
}

// EncodeInt8 is its inverse for rows that were rounded to float16: scb is the largest magnitude of each row, codes are
// rounded to even.
func EncodeInt8(codes []byte, scb, x []float32) {
	in := len(x) / max(len(scb), 1)
	for o := range scb {
		row := x[o*in : (o+1)*in]
		scb[o] = peak(row)
		k := float32(127) / scb[o]
		for i, v := range row {
			codes[o*in+i] = byte(int8(math.RoundToEven(float64(v * k))))
		}
	}
}
