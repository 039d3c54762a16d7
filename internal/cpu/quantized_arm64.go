//go:build !purego

package cpu

import (
	"unsafe"

	"golang.org/x/sys/cpu"

	"github.com/gollava/gollava/internal/backend"
)

var panelsNEON = [3]panelFunc{panel8x1NEON, panel8x2NEON, panel8x4NEON}

var blockTable = [...]blockKernels{
	backend.Q8_0: {decode: decoderOf(backend.Q8_0), panels: panels{8, packQ8_0, &panelsNEON, 16, false, 0}},
	backend.Q4_0: {decode: decoderOf(backend.Q4_0), panels: panels{8, packQ4_0, &panelsNEON, 16, false, 0}},
	backend.Q4_1: {decode: decoderOf(backend.Q4_1), panels: panels{8, packQ4_1, &panelsNEON, 16, false, 0}},
	backend.Q4_K: {decode: decoderOf(backend.Q4_K), panels: panels{8, packQ4_K, &panelsNEON, 16, false, 0}},
	backend.INT8: {decode: decoderOf(backend.INT8), panels: panels{8, packInt8, &panelsNEON, 16, false, 0}},
}

// dotProducts reports whether the processor has SDOT, as all but the first of arm64 have.
func dotProducts() bool { return active != generic && cpu.ARM64.HasASIMDDP }

// kernelsOf are the kernels of a block type, nil if there are none.
func kernelsOf(dt backend.DType) *blockKernels {
	if !dotProducts() || int(dt) >= len(blockTable) || blockTable[dt].decode == nil {
		return nil
	}
	return &blockTable[dt]
}

// roundBlocks rounds n blocks of x as [roundRow] does.
func roundBlocks(n int, q []int8, d, s, x []float32) { roundRow(q, d, s, x[:32*n]) }

func roundOffset(int, []int8, []float32, []float32, []float32) { panic("no kernel adds 128 to codes") }

// decoderOf decodes blocks in plain Go.
func decoderOf(dt backend.DType) func(dst *float32, b *byte, n int) {
	f := dt.Blocks()
	return func(dst *float32, b *byte, n int) {
		f.Decode(unsafe.Slice(dst, n*f.Length), unsafe.Slice(b, n*f.Size), 0, n*f.Length)
	}
}

// part is the memory of a panel for 32 values of each row.
func part(codes *int8, scales *float32, i int) (c *int8, scale, added *[8]float32) {
	return (*int8)(unsafe.Add(unsafe.Pointer(codes), 256*i)), (*[8]float32)(pointer(scales, 16*i)),
		(*[8]float32)(pointer(scales, 16*i+8))
}

// byteAt is the address of the i-th byte after p.
func byteAt(p *byte, i int) *byte { return (*byte)(unsafe.Add(unsafe.Pointer(p), i)) }

// packQ8_0 unpacks a binary16 d and 32 codes: d·q.
func packQ8_0(n, stride int, w *byte, codes *int8, scales *float32, _ int) {
	for i := range n {
		b := byteAt(w, 34*i)
		c, scale, added := part(codes, scales, i)
		*added = [8]float32{}
		halvesNEON(stride, b, &scale[0])
		packBytesNEON(stride, byteAt(b, 2), c)
	}
}

// packInt8 unpacks a float32 d and 32 codes: d·q.
func packInt8(n, stride int, w *byte, codes *int8, scales *float32, _ int) {
	for i := range n {
		b := byteAt(w, 36*i)
		c, scale, added := part(codes, scales, i)
		*added = [8]float32{}
		for r := range scale {
			scale[r] = *(*float32)(unsafe.Pointer(byteAt(b, r*stride)))
		}
		packBytesNEON(stride, byteAt(b, 4), c)
	}
}

// packQ4_0 unpacks a binary16 d and 32 codes in four bits: d·(q − 8).
func packQ4_0(n, stride int, w *byte, codes *int8, scales *float32, _ int) {
	for i := range n {
		b := byteAt(w, 18*i)
		c, scale, added := part(codes, scales, i)
		*added = [8]float32{}
		halvesNEON(stride, b, &scale[0])
		packNibblesNEON(stride, byteAt(b, 2), c, 8)
	}
}

// packQ4_1 unpacks d and m in binary16 and 32 codes in four bits: d·q + m.
func packQ4_1(n, stride int, w *byte, codes *int8, scales *float32, _ int) {
	for i := range n {
		b := byteAt(w, 20*i)
		c, scale, added := part(codes, scales, i)
		halvesNEON(stride, b, &scale[0])
		halvesNEON(stride, byteAt(b, 2), &added[0])
		packNibblesNEON(stride, byteAt(b, 4), c, 0)
	}
}

// packQ4_K unpacks d and dmin in binary16, scales and minima of eight parts in 6 bits, and the parts' codes in 4 bits:
// d·scale·q − dmin·minimum.
func packQ4_K(n, stride int, w *byte, codes *int8, scales *float32, _ int) {
	for i := range n {
		b := byteAt(w, 144*i)
		var d, least [8]float32
		halvesNEON(stride, b, &d[0])
		halvesNEON(stride, byteAt(b, 2), &least[0])
		for r := range 8 {
			packed := (*[12]byte)(unsafe.Pointer(byteAt(b, r*stride+4)))
			for s := range 8 {
				scale, minimum := packed[s%4]&63, packed[s%4+4]&63
				if s >= 4 {
					scale, minimum = packed[s+4]&15|packed[s-4]>>6<<4, packed[s+4]>>4|packed[s]>>6<<4
				}
				_, to, added := part(codes, scales, 8*i+s)
				to[r], added[r] = d[r]*float32(scale), -least[r]*float32(minimum)
			}
		}
		for s := 0; s < 8; s += 2 {
			c, _, _ := part(codes, scales, 8*i+s)
			packNibblePairNEON(stride, byteAt(b, 16+16*s), c)
		}
	}
}
