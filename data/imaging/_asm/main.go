// Command _asm generates the AVX2 kernels of package imaging.
package main

import (
	. "github.com/mmcloughlin/avo/build"
	. "github.com/mmcloughlin/avo/operand"
	"github.com/mmcloughlin/avo/reg"
)

func main() {
	ConstraintExpr("amd64,!purego")
	down()
	across()
	colours()
	stretch()
	inverseDCT()
	Generate()
}

func arg(name string) reg.GPVirtual { return Load(Param(name), GP64()).(reg.GPVirtual) }

func at(base reg.Register, disp int) Mem { return Mem{Base: base, Disp: disp} }

// dwords is a constant of eight 32-bit words.
func dwords(name string, v int32) Mem {
	m := GLOBL(name, RODATA|NOPTR)
	for i := range 8 {
		DATA(4*i, U32(uint32(v)))
	}
	return m
}

// words is a constant of sixteen 16-bit words.
func words(name string, v uint16) Mem {
	m := GLOBL(name, RODATA|NOPTR)
	for i := range 16 {
		DATA(2*i, U16(v))
	}
	return m
}

// table is a constant of 32 bytes, -1 for what a shuffle leaves zero.
func table(name string, bytes [32]int) Mem {
	m := GLOBL(name, RODATA|NOPTR)
	for i, b := range bytes {
		DATA(i, U8(uint8(b)))
	}
	return m
}

func down() {
	TEXT("downAVX2", NOSPLIT, "func(dst *byte, n int, rows *[]byte, weight *int32, taps int)")
	Doc("downAVX2 is mixDown for n ≥ 32 bytes; the last 32 may be computed twice.")
	Pragma("noescape")
	dst, n, rows, weight, taps := arg("dst"), arg("n"), arg("rows"), arg("weight"), arg("taps")
	half := YMM()
	VMOVDQU(dwords("half22", 1<<21), half)
	i, last := GP64(), GP64()
	XORQ(i, i)
	MOVQ(n, last)
	SUBQ(Imm(32), last)
	Label("block")
	sums := []reg.VecVirtual{YMM(), YMM(), YMM(), YMM()}
	for _, s := range sums {
		VMOVDQA(half, s)
	}
	row, w, t, p := GP64(), GP64(), GP64(), GP64()
	MOVQ(rows, row)
	MOVQ(weight, w)
	MOVQ(taps, t)
	Label("tap")
	MOVQ(at(row, 0), p)
	factor, x := YMM(), YMM()
	VPBROADCASTD(at(w, 0), factor)
	for k, s := range sums {
		VPMOVZXBD(Mem{Base: p, Index: i, Scale: 1, Disp: 8 * k}, x)
		VPMULLD(factor, x, x)
		VPADDD(x, s, s)
	}
	ADDQ(Imm(24), row)
	ADDQ(Imm(4), w)
	DECQ(t)
	JNZ(LabelRef("tap"))
	for _, s := range sums {
		VPSRAD(Imm(22), s, s)
	}
	order := YMM()
	VMOVDQU(func() Mem {
		m := GLOBL("packed", RODATA|NOPTR)
		for i, v := range []uint32{0, 4, 1, 5, 2, 6, 3, 7} {
			DATA(4*i, U32(v))
		}
		return m
	}(), order)
	VPACKSSDW(sums[1], sums[0], sums[0])
	VPACKSSDW(sums[3], sums[2], sums[2])
	VPACKUSWB(sums[2], sums[0], sums[0])
	VPERMD(sums[0], order, sums[0])
	VMOVDQU(sums[0], Mem{Base: dst, Index: i, Scale: 1})
	CMPQ(i, last)
	JGE(LabelRef("done"))
	ADDQ(Imm(32), i)
	CMPQ(i, last)
	CMOVQGT(last, i)
	JMP(LabelRef("block"))
	Label("done")
	VZEROUPPER()
	RET()
}

func across() {
	TEXT("acrossAVX2", NOSPLIT, "func(dstA, dstB *byte, n int, srcA, srcB *byte, at *int32, weight *int16, groups int)")
	Doc("acrossAVX2 mixes n pixels of the rows A and B: pixel o from those of the source at byte at[o] and after, four at a",
		"time, whose weights are weight[8·(o·groups+g):]: the low 15 bits of four, and then the bits above these. It writes",
		"one byte more than 3n, and reads 16 bytes from the first of every four pixels on.")
	Pragma("noescape")
	dst := [2]reg.GPVirtual{arg("dstA"), arg("dstB")}
	n, from, weight, groups := arg("n"), arg("at"), arg("weight"), arg("groups")
	src := [2]reg.GPVirtual{arg("srcA"), arg("srcB")}
	pick, half, order := YMM(), XMM(), XMM()
	// In one lane red of the pixels 0 and 1, 2 and 3, then green; in the other blue.
	VMOVDQU(table("pairs", [32]int{
		0, -1, 3, -1, 6, -1, 9, -1, 1, -1, 4, -1, 7, -1, 10, -1,
		2, -1, 5, -1, 8, -1, 11, -1, -1, -1, -1, -1, -1, -1, -1, -1}), pick)
	VMOVDQU(dwords("half22x", 1<<21), half)
	// Of the bytes red and green of A and then of B, and blue of A and then, two further, of B.
	VMOVDQU(table("pixels", [32]int{0, 1, 4, -1, 2, 3, 6, -1}), order)
	Label("pixel")
	p, g := [2]reg.GPVirtual{GP64(), GP64()}, GP64()
	MOVLQSX(at(from, 0), p[0])
	MOVQ(p[0], p[1])
	ADDQ(src[0], p[0])
	ADDQ(src[1], p[1])
	MOVQ(groups, g)
	low, high := [2]reg.VecVirtual{YMM(), YMM()}, [2]reg.VecVirtual{YMM(), YMM()}
	for i := range 2 {
		VPXOR(low[i], low[i], low[i])
		VPXOR(high[i], high[i], high[i])
	}
	Label("group")
	w, v := YMM(), YMM()
	VPBROADCASTQ(at(weight, 0), w)
	VPBROADCASTQ(at(weight, 8), v)
	for i := range 2 {
		x, y := YMM(), YMM()
		VBROADCASTI128(at(p[i], 0), x)
		VPSHUFB(pick, x, x)
		VPMADDWD(x, w, y)
		VPMADDWD(x, v, x)
		VPADDD(y, low[i], low[i])
		VPADDD(x, high[i], high[i])
		ADDQ(Imm(12), p[i])
	}
	ADDQ(Imm(16), weight)
	DECQ(g)
	JNZ(LabelRef("group"))
	for i := range 2 {
		VPSLLD(Imm(15), high[i], high[i])
		VPADDD(high[i], low[i], low[i])
	}
	VPHADDD(low[1], low[0], low[0]) // red, green of A, then of B; in the other lane blue and nothing
	blue := XMM()
	VEXTRACTI128(Imm(1), low[0], blue)
	sums := low[0].AsX()
	for _, r := range []reg.Register{sums, blue} {
		VPADDD(half, r, r)
		VPSRAD(Imm(22), r, r)
	}
	VPACKSSDW(blue, sums, sums)
	VPACKUSWB(sums, sums, sums)
	VPSHUFB(order, sums, sums)
	VMOVD(sums, at(dst[0], 0))
	VPEXTRD(Imm(1), sums, at(dst[1], 0))
	ADDQ(Imm(3), dst[0])
	ADDQ(Imm(3), dst[1])
	ADDQ(Imm(4), from)
	DECQ(n)
	JNZ(LabelRef("pixel"))
	VZEROUPPER()
	RET()
}

func colours() {
	TEXT("fromYCCAVX2", NOSPLIT, "func(dst, luma, cb, cr *byte, n int)")
	Doc("fromYCCAVX2 is fromYCC for n pixels, a multiple of 8. It writes four bytes more than 3n.")
	Pragma("noescape")
	dst, luma, cb, cr, n := arg("dst"), arg("luma"), arg("cb"), arg("cr"), arg("n")
	load := func(m Mem) reg.VecVirtual { r := YMM(); VMOVDQU(m, r); return r }
	center, half := load(dwords("center", 128)), load(dwords("half16", 1<<15))
	toRed, toBlue := load(dwords("toRed", 91881)), load(dwords("toBlue", 116130))
	greenB, greenR := load(dwords("greenB", -22554)), load(dwords("greenR", -46802))
	compact := load(table("compact", [32]int{
		0, 4, 8, 1, 5, 9, 2, 6, 10, 3, 7, 11, -1, -1, -1, -1,
		0, 4, 8, 1, 5, 9, 2, 6, 10, 3, 7, 11, -1, -1, -1, -1}))
	Label("pixels")
	y, b, r, g, t := YMM(), YMM(), YMM(), YMM(), YMM()
	VPMOVZXBD(at(luma, 0), y)
	VPMOVZXBD(at(cb, 0), b)
	VPMOVZXBD(at(cr, 0), r)
	VPSUBD(center, b, b)
	VPSUBD(center, r, r)
	VPMULLD(greenB, b, g)
	VPMULLD(greenR, r, t)
	VPADDD(t, g, g)
	VPMULLD(toRed, r, r)
	VPMULLD(toBlue, b, b)
	for _, c := range []reg.VecVirtual{r, g, b} {
		VPADDD(half, c, c)
		VPSRAD(Imm(16), c, c)
		VPADDD(y, c, c)
	}
	// Of each lane's four pixels: red, green, blue, four bytes each.
	VPACKSSDW(g, r, r)
	VPACKSSDW(b, b, b)
	VPACKUSWB(b, r, r)
	VPSHUFB(compact, r, r)
	VMOVDQU(r.AsX(), at(dst, 0))
	VEXTRACTI128(Imm(1), r, at(dst, 12))
	ADDQ(Imm(24), dst)
	for _, p := range []reg.GPVirtual{luma, cb, cr} {
		ADDQ(Imm(8), p)
	}
	SUBQ(Imm(8), n)
	JG(LabelRef("pixels"))
	VZEROUPPER()
	RET()
}

func stretch() {
	TEXT("stretchAVX2", NOSPLIT, "func(dst, near, far *byte, n int)")
	Doc("stretchAVX2 is what stretchSums does for the n samples from near and far on, a multiple of 16, each with a sample",
		"before and behind it: dst is where the first one's two pixels go.")
	Pragma("noescape")
	dst, near, far, n := arg("dst"), arg("near"), arg("far"), arg("n")
	load := func(m Mem) reg.VecVirtual { r := YMM(); VMOVDQU(m, r); return r }
	seven, eight := load(words("seven", 7)), load(words("eight", 8))
	sum := func(disp int) reg.VecVirtual { // 3·near + far
		a, b := YMM(), YMM()
		VPMOVZXBW(at(near, disp), a)
		VPMOVZXBW(at(far, disp), b)
		VPADDW(a, b, b)
		VPADDW(a, a, a)
		VPADDW(a, b, b)
		return b
	}
	Label("samples")
	before, s, after := sum(-1), sum(0), sum(1)
	three := YMM()
	VPADDW(s, s, three)
	VPADDW(s, three, three)
	VPADDW(three, before, before)
	VPADDW(three, after, after)
	VPADDW(eight, before, before)
	VPADDW(seven, after, after)
	VPSRLW(Imm(4), before, before)
	VPSRLW(Imm(4), after, after)
	VPSLLW(Imm(8), after, after)
	VPOR(before, after, after)
	VMOVDQU(after, at(dst, 0))
	ADDQ(Imm(32), dst)
	ADDQ(Imm(16), near)
	ADDQ(Imm(16), far)
	SUBQ(Imm(16), n)
	JG(LabelRef("samples"))
	VZEROUPPER()
	RET()
}
