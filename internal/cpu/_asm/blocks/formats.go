package main

import (
	. "github.com/mmcloughlin/avo/build"
	. "github.com/mmcloughlin/avo/operand"
	"github.com/mmcloughlin/avo/reg"

	"github.com/gollava/gollava/internal/cpu/_asm/simd"
)

// format is how blocks of one type hold their values.
type format struct {
	name      string
	size      int    // bytes of a block
	parts     int    // of 32 values, each with a scale of its own
	minimum   bool   // values have an offset
	signed    bool   // codes may be negative
	six       bool   // Q6_K: a scale for every 16 values
	fifth     int    // byte at which a word with fifth bits begins; 0: none
	wide      bool   // the scale is a float32
	table     bool   // codes are looked up in IQ4_NL's table
	constants []byte // that codes needs

	codes func(k *kernel, part int) vec // emits part's 32 codes as bytes
	class *class
	pack  func(p *packing) // emits the panel of a block of each of eight rows
	row   func(p *rowing)  // emits the products of a block of each of eight rows with one row, if not nil
}

var formats = []*format{
	{name: "Q8_0", size: 34, parts: 1, class: bytes, pack: packQ8_0, row: rowQ8_0, signed: true, codes: func(k *kernel, _ int) vec {
		q := YMM()
		VMOVDQU(simd.At(k.b, 2), q)
		return q
	}},
	{name: "INT8", size: 36, parts: 1, class: bytes, pack: packInt8, row: rowInt8, signed: true, wide: true, codes: func(k *kernel, _ int) vec {
		q := YMM()
		VMOVDQU(simd.At(k.b, 4), q)
		return q
	}},
	{name: "Q4_0", size: 18, parts: 1, class: nibbles, pack: packQ4_0, row: rowQ4_0, signed: true, constants: []byte{15, 8}, codes: func(k *kernel, _ int) vec {
		q := k.nibbles(2)
		VPSUBB(k.fill(8), q, q)
		return q
	}},
	{name: "Q4_1", size: 20, parts: 1, class: nibbles, pack: packQ4_1, row: rowQ4_1, minimum: true, constants: []byte{15}, codes: func(k *kernel, _ int) vec { return k.nibbles(4) }},
	{name: "Q5_0", size: 22, parts: 1, class: fives, pack: packQ5_0, signed: true, fifth: 2, constants: []byte{15, 16}, codes: func(k *kernel, _ int) vec {
		q := k.five(6)
		VPSUBB(k.fill(16), q, q)
		return q
	}},
	{name: "Q5_1", size: 24, parts: 1, class: fives, pack: packQ5_1, minimum: true, fifth: 4, constants: []byte{15, 16}, codes: func(k *kernel, _ int) vec { return k.five(8) }},
	{name: "IQ4_NL", size: 18, parts: 1, class: bytes, pack: packTable, signed: true, table: true, constants: []byte{15}, codes: func(k *kernel, _ int) vec {
		q := k.nibbles(2)
		VPSHUFB(q, k.table, q)
		return q
	}},
	{name: "Q4_K", size: 144, parts: 8, class: nibbles, pack: packQ4K, row: rowQ4K, minimum: true, constants: []byte{15}, codes: func(k *kernel, part int) vec {
		return k.half(16+part/2*32, part%2)
	}},
	{name: "Q5_K", size: 176, parts: 8, class: fives, pack: packQ5K, minimum: true, constants: []byte{15, 16}, codes: func(k *kernel, part int) vec {
		q, h := k.half(48+part/2*32, part%2), k.shifted(16, 4-part, 16)
		VPOR(h, q, q)
		return q
	}},
	{name: "Q6_K", size: 210, parts: 8, class: sixes, pack: (*packing).packSix, signed: true, six: true, constants: []byte{15, 32, 0x30}, codes: func(k *kernel, part int) vec {
		n, i := part/4, part%4
		q, h := k.half(64*n+32*(i%2), i/2), k.shifted(128+32*n, 4-2*i, 0x30)
		VPOR(h, q, q)
		VPSUBB(k.fill(32), q, q)
		return q
	}},
}

// nibbles are the low halves of the 16 bytes at a place of the block, and then the high ones.
func (k *kernel) nibbles(at int) vec {
	q, high := YMM(), YMM()
	VBROADCASTI128(simd.At(k.b, at), q)
	VPSRLW(U8(4), q, high)
	VPBLENDD(U8(0xf0), high, q, q)
	VPAND(k.fill(15), q, q)
	return q
}

// five is nibbles with fifth bits.
func (k *kernel) five(at int) vec {
	q, h := k.nibbles(at), YMM()
	VPBROADCASTD(simd.At(k.b, k.fifth), h)
	VPSHUFB(k.shuffle, h, h)
	VPAND(k.bits, h, h)
	VPCMPEQB(k.bits, h, h)
	VPAND(k.fill(16), h, h)
	VPOR(h, q, q)
	return q
}

// half is the low (0) or high (1) halves of the 32 bytes at a place of the block.
func (k *kernel) half(at, which int) vec {
	q := YMM()
	VMOVDQU(simd.At(k.b, at), q)
	if which == 1 {
		VPSRLW(U8(4), q, q)
	}
	VPAND(k.fill(15), q, q)
	return q
}

// shifted is the 32 bytes at a place, shifted left (or right) and masked.
func (k *kernel) shifted(at, left int, mask byte) vec {
	q := YMM()
	VMOVDQU(simd.At(k.b, at), q)
	switch {
	case left > 0:
		VPSLLW(U8(left), q, q)
	case left < 0:
		VPSRLW(U8(-left), q, q)
	}
	VPAND(k.fill(mask), q, q)
	return q
}

// unpackScales writes a block's scales, and the 8 minima after them or, of Q6_K, 16 scales, to the stack.
func (k *kernel) unpackScales() {
	if k.six {
		scale := k.halfAt(208)
		for i := range 2 {
			v := YMM()
			VPMOVSXBD(simd.At(k.b, 192+8*i), v)
			VCVTDQ2PS(v, v)
			VMULPS(scale, v, v)
			VMOVUPS(v, k.scales.Offset(32*i))
		}
		return
	}
	a := [3]reg.GPVirtual{GP32(), GP32(), GP32()}
	for i := range a {
		MOVL(simd.At(k.b, 4+4*i), a[i])
	}
	pair := func(low, high reg.GPVirtual, shift int) vec { // low&63 in four bytes, and four made of nibbles of a[2] and upper bits of high
		x, y := GP32(), GP32()
		MOVL(a[2], x)
		if shift > 0 {
			SHRL(U8(shift), x)
		}
		ANDL(U32(0x0f0f0f0f), x)
		MOVL(high, y)
		SHRL(U8(2), y)
		ANDL(U32(0x30303030), y)
		ORL(y, x)
		l := GP32()
		MOVL(low, l)
		ANDL(U32(0x3f3f3f3f), l)
		both := x.As64()
		SHLQ(U8(32), both)
		ORQ(l.As64(), both)
		b, v := XMM(), YMM()
		VMOVQ(both, b)
		VPMOVZXBD(b, v)
		VCVTDQ2PS(v, v)
		return v
	}
	scales, minima := pair(a[0], a[0], 0), pair(a[1], a[1], 4)
	VMULPS(k.halfAt(0), scales, scales)
	VMULPS(k.halfAt(2), minima, minima)
	VMOVUPS(minima, k.scales.Offset(32))
	VMOVUPS(scales, k.scales)
}
