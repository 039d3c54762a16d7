package main

import (
	. "github.com/mmcloughlin/avo/build"
	. "github.com/mmcloughlin/avo/operand"
	"github.com/mmcloughlin/avo/reg"

	"github.com/gollava/gollava/internal/cpu/_asm/simd"
)

// lines is the number of lines of memory that a block's products read in advance.
const lines = 2

// multiplyVNNI writes the kernel that multiplies a panel of sixteen rows with m rows of activations. VPDPBUSD adds four
// products to each lane, of which one factor has no sign: the codes of weights. Those of signed classes have 128 added,
// and what that adds to the sums, 128·Σq, is where they begin, with the other sign.
func (c *class) multiplyVNNI(m int) {
	name := "panel" + c.digits + "x" + itoa(m) + "VNNI"
	TEXT(name, NOSPLIT, "func(n int, codes *int8, scales *float32, q *int8, d, s *float32, k int, c *float32, step, more int, next uintptr)")
	what := "k and d and s have k/32 elements"
	if c.signed {
		what = "k, d has k/32 and s, int32s as roundOffsetAVX2 writes them, k/16 elements"
	}
	Doc(name+" multiplies a panel of sixteen rows as panel"+c.digits+"x"+itoa(m)+"AVX2 does one of eight, to the bit,", "",
		"for "+itoa(m)+" rows r, of which q has "+what+". It prefetches "+itoa(lines)+" lines a block from next on, among the products:",
		"the processor waits if more are on their way than it can note.")
	Pragma("noescape")
	n, codes, scales, q := simd.Arg("n"), simd.Arg("codes"), simd.Arg("scales"), simd.Arg("q")
	d, s := simd.Arg("d"), simd.Arg("s")
	next := simd.Arg("next")
	var k, k3, floats, floats3 reg.Register
	if m > 1 {
		k, floats = simd.Arg("k"), GP64()
		MOVQ(k, floats)
		SHRQ(U8(3), floats)
	}
	if m > 2 {
		k3, floats3 = GP64(), GP64()
		LEAQ(Mem{Base: k, Index: k, Scale: 2}, k3)
		LEAQ(Mem{Base: floats, Index: floats, Scale: 2}, floats3)
	}
	row := func(base, step, three reg.Register, times uint8, r, disp int) Mem {
		at := Mem{Base: base, Disp: disp}
		switch r {
		case 1, 2:
			at.Index, at.Scale = step, uint8(r)*times
		case 3:
			at.Index, at.Scale = three, times
		}
		return at
	}
	acc := make([]vec, m)
	for r := range m {
		acc[r] = ZMM()
		VPXORD(acc[r], acc[r], acc[r])
	}
	out := func() func(r int) Mem {
		c := simd.Arg("c")
		if m == 1 {
			return func(int) Mem { return Mem{Base: c} }
		}
		step, step3 := simd.Arg("step"), GP64()
		SHLQ(U8(2), step)
		if m > 2 {
			LEAQ(Mem{Base: step, Index: step, Scale: 2}, step3)
		}
		return func(r int) Mem { return row(c, step, step3, 1, r, 0) }
	}
	more := simd.Arg("more")
	TESTQ(more, more)
	JZ(LabelRef("start"))
	at := out()
	for r := range m {
		VMOVUPS(at(r), acc[r])
	}
	Label("start")
	TESTQ(n, n)
	JZ(LabelRef("done"))
	Label("block")
	scale := [2]vec{ZMM(), ZMM()} // and minima
	for i := range c.scales() {
		VMOVUPS(simd.At(scales, 64*i), scale[i])
	}
	sums := make([][2]vec, m) // of the first and of the second 16 values
	for r := range m {
		sums[r] = [2]vec{ZMM(), ZMM()}
		if c.signed {
			for h := range 2 {
				VPBROADCASTD(row(s, floats, floats3, 2, r, 4*h), sums[r][h])
			}
		} else {
			VPXORD(sums[r][0], sums[r][0], sums[r][0])
			sums[r][1] = sums[r][0]
		}
	}
	for g := range 8 {
		w := ZMM()
		VMOVDQU32(simd.At(codes, 64*g), w)
		if g%4 == 1 {
			PREFETCHT0(simd.At(next, 64*(g/4)))
		}
		for r := range m {
			VPDPBUSD_BCST(row(q, k, k3, 1, r, 4*g), w, sums[r][g/4])
		}
	}
	add := func(r, h int) {
		x := ZMM()
		VCVTDQ2PS(sums[r][h], sums[r][h])
		VBROADCASTSS(row(d, floats, floats3, 1, r, 0), x)
		VMULPS(scale[h], x, x)
		if !c.signed {
			VFMADD231PS_BCST(row(s, floats, floats3, 1, r, 0), scale[1], acc[r])
		}
		VFMADD231PS(sums[r][h], x, acc[r])
	}
	for r := range m {
		switch {
		case c.halves:
			add(r, 0)
			add(r, 1)
		case c.signed:
			VPADDD(sums[r][1], sums[r][0], sums[r][0])
			add(r, 0)
		default:
			add(r, 0)
		}
	}
	ADDQ(Imm(64*lines), next)
	ADDQ(U32(512), codes)
	ADDQ(U32(64*c.scales()), scales)
	ADDQ(U32(32), q)
	ADDQ(U32(4), d)
	if c.signed {
		ADDQ(U32(8), s)
	} else {
		ADDQ(U32(4), s)
	}
	DECQ(n)
	JNZ(LabelRef("block"))
	Label("done")
	at = out()
	for r := range m {
		VMOVUPS(acc[r], at(r))
	}
	VZEROUPPER()
	RET()
}
