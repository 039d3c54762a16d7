package blocks

import (
	"encoding/binary"
	"math"
	"slices"
)

// Parts are a tensor in 4 bits as bitsandbytes' checkpoints keep it: in tensors of their own.
type Parts struct {
	Table     [16]float32 // quant_map
	BlockSize int         // values in a block
	Codes     []byte      // two values a byte, the first in the high half
	Absmax    []float32   // of each block; empty with double quantisation

	Codes8     []byte    // double quantisation: the code of each block's absmax
	Scales8    []float32 // nested_absmax, of each 256 blocks
	Table8     []float32 // nested_quant_map
	Offset     float32   // nested_offset
	BlockSize8 int       // nested_blocksize
}

// Nested reports whether the scales are quantised too.
func (p *Parts) Nested() bool { return p.Codes8 != nil }

// peak is the absmax of block i.
func (p *Parts) peak(i int) float32 {
	if !p.Nested() {
		return p.Absmax[i]
	}
	return float32(p.Table8[p.Codes8[i]]*p.Scales8[i/p.BlockSize8]) + p.Offset
}

// Decode writes all values.
func (p *Parts) Decode(dst []float32) {
	for i := 0; len(dst) > 0; i++ {
		n := min(p.BlockSize, len(dst))
		unpack4(dst[:n], p.Codes, i*p.BlockSize, &p.Table, p.peak(i))
		dst = dst[n:]
	}
}

// Split encodes a whole tensor.
func Split(table *[16]float32, x []float32, blockSize int, nested bool) *Parts {
	p := &Parts{Table: *table, BlockSize: blockSize, Codes: make([]byte, (len(x)+1)/2)}
	code := coder(table)
	if len(x)%2 == 1 {
		p.Codes[len(x)/2] = code(0)
	}
	sum := 0.0
	for at := 0; at < len(x); at += blockSize {
		part := x[at:min(at+blockSize, len(x))]
		absmax := peak(part)
		scale, whole := max(absmax, 1e-38), len(part) == blockSize
		if !whole { // a short block is divided, and never has a scale of 0
			absmax = scale
		}
		r := 1 / scale
		for i, v := range part {
			y := v / scale
			if whole {
				y = v * r
			}
			p.Codes[(at+i)/2] |= code(max(-1, min(1, y))) << (4 - (at+i)%2*4)
		}
		p.Absmax, sum = append(p.Absmax, absmax), sum+float64(absmax)
	}
	if nested {
		p.nest(float32(sum / float64(max(len(p.Absmax), 1))))
	}
	return p
}

// nest quantises the scales around their mean.
func (p *Parts) nest(offset float32) {
	p.Offset, p.BlockSize8, p.Table8 = offset, 256, Scale8()[:]
	p.Codes8 = []byte{}
	for g := 0; g < len(p.Absmax); g += 256 {
		part := p.Absmax[g:min(len(p.Absmax), g+256)]
		scale := float32(0)
		for _, a := range part {
			scale = max(scale, a-offset, offset-a)
		}
		for _, a := range part {
			c := byte(0) // as bitsandbytes does where all are the offset
			if scale > 0 {
				c = nearest8((a - offset) / scale)
			}
			p.Codes8 = append(p.Codes8, c)
		}
		p.Scales8 = append(p.Scales8, scale)
	}
	p.Absmax = nil
}

// Pack writes the parts as blocks of f, one of NF4, FP4, NF4D and FP4D with the parts' table, or returns nil if f
// cannot hold them exactly.
func (p *Parts) Pack(f *Format, n int) []byte {
	out := make([]byte, f.Bytes(n))
	put := func(b []byte, v float32) { binary.LittleEndian.PutUint32(b, math.Float32bits(v)) }
	if !p.Fits(f) {
		return nil
	}
	if f.Length == flat {
		for i := 0; i*flat < n; i++ {
			put(out[i*f.Size:], p.peak(i*flat/p.BlockSize))
			copy(out[i*f.Size+4:(i+1)*f.Size], p.Codes[i*flat/2:])
		}
		return out
	}
	for i := 0; i*nested < n; i++ {
		g := groupAt(out, i, n)
		put(out[i*f.Size:], p.Offset)
		put(out[i*f.Size+4:], p.Scales8[i])
		copy(g.absmax, p.Codes8[i*256:])
		copy(g.codes, p.Codes[i*nested/2:])
	}
	return out
}

// Fits reports whether blocks of f hold the parts exactly, their table aside.
func (p *Parts) Fits(f *Format) bool {
	if f.Length == flat {
		return p.BlockSize%flat == 0
	}
	return p.Nested() && p.BlockSize == flat && p.BlockSize8 == 256 && slices.Equal(p.Table8, Scale8()[:])
}

// Unpack takes blocks of f, one of NF4, FP4, NF4D and FP4D, apart. b holds n values.
func Unpack(f *Format, b []byte, n int) *Parts {
	p := &Parts{Table: NormalFloat, BlockSize: flat}
	if f == FP4 || f == FP4D {
		p.Table = Float4
	}
	if f.Length == flat {
		for i := 0; i*flat < n; i++ {
			p.Absmax = append(p.Absmax, math.Float32frombits(binary.LittleEndian.Uint32(b[i*f.Size:])))
			p.Codes = append(p.Codes, b[i*f.Size+4:(i+1)*f.Size]...)
		}
		p.Codes = p.Codes[:(n+1)/2]
		return p
	}
	p.BlockSize8, p.Table8, p.Codes8 = 256, Scale8()[:], []byte{}
	for i := 0; i*nested < n; i++ {
		g := groupAt(b, i, n)
		p.Offset, p.Scales8 = g.offset, append(p.Scales8, g.scale)
		p.Codes8, p.Codes = append(p.Codes8, g.absmax...), append(p.Codes, g.codes...)
	}
	return p
}
