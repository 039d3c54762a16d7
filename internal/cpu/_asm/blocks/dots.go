package main

import (
	. "github.com/mmcloughlin/avo/build"
	. "github.com/mmcloughlin/avo/operand"
	"github.com/mmcloughlin/avo/reg"

	"github.com/gollava/gollava/internal/cpu/_asm/simd"
)

// dots writes the kernel that multiplies rows of blocks with four vectors of 8-bit blocks: codes and scales are
// unpacked once for all. Each vector meets the operations of dot, in its order.
func (f *format) dots() {
	parts := itoa(f.parts)
	k := f.begin("dots", "(n, rows int, w *byte, q *int8, d, s *float32, out *float32)",
		"\tout[4·j+r] = Σ over the n·"+parts+" blocks i of 32 of row j: "+
			"scale·d[i][r]·(Σ codes·q[r]) ± minimum·s[i][r]", "",
		"to the bit what dot computes of vector r, of the four that lie block by block side by side:",
		"q is [n][4][32·"+parts+"], d and s are [n][4]["+parts+"].")
	rows, out := simd.Arg("rows"), simd.Arg("out")
	k.b = simd.Arg("w")
	ones := YMM()
	VMOVDQU(bytes32("ones", func(i int) byte { return byte(1 - i%2) }), ones)
	TESTQ(rows, rows)
	JZ(LabelRef("done"))
	Label("row")
	q, d, s, left := simd.Arg("q"), simd.Arg("d"), simd.Arg("s"), simd.Arg("n")
	var acc, low [tile]vec // of a format with one scale, low[0] has a lane for each vector
	for r := range tile {
		acc[r] = YMM()
		VXORPS(acc[r], acc[r], acc[r])
		if f.minimum && (r == 0 || f.parts > 1) {
			low[r] = YMM()
			VXORPS(low[r], low[r], low[r])
		}
	}
	TESTQ(left, left)
	JZ(LabelRef("sum"))
	Label("block")
	scales := f.scalesOf(k, d, s, low)
	for part := range f.parts {
		c := f.codes(k, part)
		magnitude := c
		if f.signed {
			magnitude = YMM()
			VPABSB(c, magnitude)
		}
		for r := range tile {
			x, at := YMM(), Mem{Base: q, Disp: 32 * (r*f.parts + part)}
			if f.signed {
				VMOVDQU(at, x)
				VPSIGNB(c, x, x)
				VPMADDUBSW(x, magnitude, x)
			} else {
				VPMADDUBSW(at, c, x)
			}
			VPMADDWD(ones, x, x)
			VCVTDQ2PS(x, x)
			VFMADD231PS(x, scales(r, part), acc[r])
		}
	}
	ADDQ(U32(f.size), k.b)
	ADDQ(U32(32*tile*f.parts), q)
	ADDQ(U32(4*tile*f.parts), d)
	ADDQ(U32(4*tile*f.parts), s)
	DECQ(left)
	JNZ(LabelRef("block"))
	Label("sum")
	f.sum(acc, low, out)
	ADDQ(U32(4*tile), out)
	DECQ(rows)
	JNZ(LabelRef("row"))
	Label("done")
	VZEROUPPER()
	RET()
}

// scalesOf prepares a block's scales times those of the vectors, adds its minima to low, and returns the scales of a
// vector and a part.
func (f *format) scalesOf(k *kernel, d, s reg.Register, low [tile]vec) func(r, part int) vec {
	if f.parts == 1 {
		all, dx := k.halfAt(0), YMM()
		VBROADCASTF128(simd.At(d, 0), dx)
		VMULPS(dx, all, all) // vector r's in lanes r and 4+r
		if f.minimum {
			m := k.halfAt(2)
			VFMADD231PS(simd.At(s, 0), m.AsX(), low[0].AsX())
		}
		return func(r, _ int) vec {
			scale := YMM()
			VPERMILPS(U8(r*0x55), all, scale)
			return scale
		}
	}
	k.unpackScales(d, tile)
	for r := range tile {
		if f.minimum {
			VFNMADD231PS(simd.At(s, 32*r), k.minima, low[r])
		}
	}
	return func(r, part int) vec {
		scale := YMM()
		if !f.six {
			VBROADCASTSS(k.scales.Offset(32*r+4*part), scale)
			return scale
		}
		first, second := XMM(), XMM()
		VBROADCASTSS(k.scales.Offset(64*r+8*part), first)
		VBROADCASTSS(k.scales.Offset(64*r+8*part+4), second)
		VINSERTF128(U8(1), second, first.AsY(), scale)
		return scale
	}
}

// sum writes the sums of the four accumulators to out.
func (f *format) sum(acc, low [tile]vec, out reg.Register) {
	var x [tile]vec
	for r := range tile {
		switch {
		case f.minimum && f.parts == 1:
			one := XMM()
			VINSERTPS(U8(r<<6|0b1110), low[0].AsX(), low[0].AsX(), one)
			VADDPS(one.AsY(), acc[r], acc[r])
		case f.minimum:
			VADDPS(low[r], acc[r], acc[r])
		}
		x[r] = XMM()
		VEXTRACTF128(U8(1), acc[r], x[r])
		VADDPS(x[r], acc[r].AsX(), x[r])
	}
	for r := 0; r < tile; r += 2 { // lanes 0+2 of both, then 1+3 of both
		high := XMM()
		VUNPCKHPS(x[r+1], x[r], high)
		VUNPCKLPS(x[r+1], x[r], x[r])
		VADDPS(high, x[r], x[r])
	}
	high := XMM()
	VMOVHLPS(x[0], x[2], high)
	VMOVLHPS(x[2], x[0], x[0])
	VADDPS(high, x[0], x[0])
	VMOVUPS(x[0], simd.At(out, 0))
}

// round writes the kernel that rounds activations.
func round() {
	TEXT("roundBlocksAVX2", NOSPLIT, "func(n int, q *int8, d, s, x *float32, step int)")
	Doc("roundBlocksAVX2 rounds n blocks of 32 of x, block i to q[32·step·i:], d[step·i] and s[step·i], as",
		"roundRow does:", "",
		"\td = max|x|/127, q = round(x/d), s = d·Σq", "",
		"to the bit for finite x; d is not finite where x is not.")
	Pragma("noescape")
	q, d, s, x, n, step := simd.Arg("q"), simd.Arg("d"), simd.Arg("s"), simd.Arg("x"), simd.Arg("n"), simd.Arg("step")
	SHLQ(U8(2), step) // in bytes, of d and s, and of q
	wide := GP64()
	MOVQ(step, wide)
	SHLQ(U8(3), wide)
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
	VPADDD(right, sum, sum)
	total := XMM()
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
	VPACKSSDW(v[1], v[0], v[0])
	VPACKSSDW(v[3], v[2], v[2])
	VPACKSSWB(v[2], v[0], v[0])
	VPERMD(v[0], order, v[0])
	VMOVDQU(v[0], Mem{Base: q})
	ADDQ(U32(128), x)
	ADDQ(wide, q)
	ADDQ(step, d)
	ADDQ(step, s)
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
