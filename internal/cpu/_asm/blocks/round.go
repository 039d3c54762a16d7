package main

import (
	. "github.com/mmcloughlin/avo/build"
	. "github.com/mmcloughlin/avo/operand"

	"github.com/gollava/gollava/internal/cpu/_asm/simd"
)

// round writes the kernel that rounds activations, for codes of weights with or without 128 added.
func round(offset bool) {
	name, sums, size := "roundBlocksAVX2", "s = d·Σq", 4
	if offset {
		name, sums, size = "roundOffsetAVX2", "s = −128·Σq of each 16, two int32", 8
	}
	TEXT(name, NOSPLIT, "func(n int, q *int8, d, s, x *float32)")
	Doc(name+" rounds n blocks of 32 of x as roundRow does:", "",
		"\td = max|x|/127, q = round(x/d), "+sums, "",
		"to the bit for finite x; d is not finite where x is not.")
	Pragma("noescape")
	q, d, s, x, n := simd.Arg("q"), simd.Arg("d"), simd.Arg("s"), simd.Arg("x"), simd.Arg("n")
	magnitude, order := YMM(), YMM()
	VPCMPEQD(magnitude, magnitude, magnitude)
	VPSRLD(U8(1), magnitude, magnitude)
	VMOVDQU(words32("dwords", []uint32{0, 4, 1, 5, 2, 6, 3, 7}), order)
	most, least := words32("largest", []uint32{0x42fe0000}), words32("smallest", []uint32{0x03800000}) // 127, 2⁻¹²⁰
	TESTQ(n, n)
	JZ(LabelRef("done"))
	Label("block")
	m := YMM()
	for i := range 4 {
		if i == 0 {
			VANDPS(simd.At(x, 0), magnitude, m)
			continue
		}
		v := YMM()
		VANDPS(simd.At(x, 32*i), magnitude, v)
		VPMAXSD(v, m, m) // as integers, magnitudes have their order, with NaN at the end
	}
	half := XMM()
	VEXTRACTI128(U8(1), m, half)
	VPMAXSD(half, m.AsX(), half)
	for _, swap := range []int{0x4e, 0xb1} {
		other := XMM()
		VPSHUFD(U8(swap), half, other)
		VPMAXSD(other, half, half)
	}
	scale, inverse, mask, top := XMM(), XMM(), XMM(), XMM()
	VMOVUPS(most.Offset(0), top)
	VDIVPS(top, half, scale)
	VDIVPS(half, top, inverse)
	VMOVUPS(least.Offset(0), mask)
	VCMPPS(U8(0x1e), mask, scale, mask) // greater, false for NaN
	VANDPS(mask, inverse, inverse)
	VMOVSS(scale, simd.At(d, 0))
	by := YMM()
	VBROADCASTSS(inverse, by)
	var v [4]vec
	for i := range v {
		v[i] = YMM()
		VMULPS(simd.At(x, 32*i), by, v[i])
		VCVTPS2DQ(v[i], v[i])
	}
	sum, right := YMM(), YMM()
	VPADDD(v[1], v[0], sum)
	VPADDD(v[3], v[2], right)
	total := XMM()
	if offset {
		VPHADDD(right, sum, sum)
		VPHADDD(sum, sum, sum)
		VEXTRACTI128(U8(1), sum, total)
		VPADDD(total, sum.AsX(), total)
		VPSLLD(U8(7), total, total)
		negative := XMM()
		VPXOR(negative, negative, negative)
		VPSUBD(total, negative, total)
		VMOVQ(total, simd.At(s, 0))
	} else {
		VPADDD(right, sum, sum)
		VEXTRACTI128(U8(1), sum, total)
		VPADDD(total, sum.AsX(), total)
		for _, swap := range []int{0x4e, 0xb1} {
			other := XMM()
			VPSHUFD(U8(swap), total, other)
			VPADDD(other, total, total)
		}
		VCVTDQ2PS(total, total)
		VMULSS(total, scale, total)
		VMOVSS(total, simd.At(s, 0))
	}
	VPACKSSDW(v[1], v[0], v[0])
	VPACKSSDW(v[3], v[2], v[2])
	VPACKSSWB(v[2], v[0], v[0])
	VPERMD(v[0], order, v[0])
	VMOVDQU(v[0], Mem{Base: q})
	ADDQ(U32(128), x)
	ADDQ(Imm(32), q)
	ADDQ(Imm(4), d)
	ADDQ(Imm(uint64(size)), s)
	DECQ(n)
	JNZ(LabelRef("block"))
	Label("done")
	VZEROUPPER()
	RET()
}

// words32 is a constant of eight words, which repeat those given.
func words32(name string, words []uint32) Mem {
	return bytes32(name, func(i int) byte { return byte(words[i/4%len(words)] >> (8 * (i % 4))) })
}
