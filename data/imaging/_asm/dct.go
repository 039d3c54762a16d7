package main

import (
	. "github.com/mmcloughlin/avo/build"
	. "github.com/mmcloughlin/avo/operand"
	"github.com/mmcloughlin/avo/reg"
)

// inverseDCT keeps the eight rows of a block, or its columns, in eight registers: the names are those of jpeg_dct.go.
func inverseDCT() {
	TEXT("inverseDCTAVX2", NOSPLIT, "func(b *[64]int32, dst *byte, stride int)")
	Doc("inverseDCTAVX2 is inverseDCT; it leaves b as it is.")
	Pragma("noescape")
	b, dst, stride := arg("b"), arg("dst"), arg("stride")
	v := []reg.VecPhysical{reg.Y0, reg.Y1, reg.Y2, reg.Y3, reg.Y4, reg.Y5, reg.Y6, reg.Y7}
	for i, r := range v {
		VMOVDQU(at(b, 32*i), r)
	}
	transform(v, dwords("round11", 1<<10), 11)
	transpose(v)
	transform(v, dwords("round18", 1<<17+128<<18), 18)
	transpose(v)
	for i := 0; i < 8; i += 2 { // two rows as words: 0a 1a 0b 1b
		VPACKSSDW(v[i+1], v[i], v[i])
	}
	for i := 0; i < 8; i += 4 { // four rows as bytes: halves a of all, then halves b
		VPACKUSWB(v[i+2], v[i], v[i])
		high := reg.X8
		VEXTRACTI128(Imm(1), v[i], high)
		low := v[i].AsX().(reg.VecPhysical)
		VPUNPCKLDQ(high, low, reg.X9)
		VPUNPCKHDQ(high, low, reg.X10)
		for _, r := range []reg.VecPhysical{reg.X9, reg.X10} {
			VMOVQ(r, at(dst, 0))
			ADDQ(stride, dst)
			VPEXTRQ(Imm(1), r, at(dst, 0))
			ADDQ(stride, dst)
		}
	}
	VZEROUPPER()
	RET()
}

var factors = map[int32]Mem{}

// times sets to to x·f.
func times(x reg.VecPhysical, f int32, to reg.VecPhysical) {
	m, ok := factors[f]
	if !ok {
		name := "factor"
		for n := f; n != 0; n /= 10 {
			d := n % 10
			if d < 0 {
				d = -d
			}
			name += string(rune('0' + d))
		}
		if f < 0 {
			name += "Minus"
		}
		m = dwords(name, f)
		factors[f] = m
	}
	VPMULLD(m, x, to)
}

// transform replaces x0 to x7 by (result + round) >> shift of the 8-point inverse DCT, in eight places at once.
func transform(x []reg.VecPhysical, round Mem, shift uint8) {
	const (
		fix0298, fix0390, fix0541, fix0765, fix0899, fix1175 = 2446, 3196, 4433, 6270, 7373, 9633
		fix1501, fix1847, fix1961, fix2053, fix2562, fix3072 = 12299, 15137, 16069, 16819, 20995, 25172
	)
	a, b, c, d := reg.Y8, reg.Y9, reg.Y10, reg.Y11
	// The odd half, into x1, x3, x5, x7 as o3, o2, o1, o0.
	VPADDD(x[7], x[3], a) // for z3
	VPADDD(x[5], x[1], b) // for z4
	VPADDD(a, b, c)
	times(c, fix1175, c) // z5
	times(a, -fix1961, a)
	times(b, -fix0390, b)
	VPADDD(c, a, a) // z3
	VPADDD(c, b, b) // z4
	VPADDD(x[7], x[1], c)
	VPADDD(x[5], x[3], d)
	times(c, -fix0899, c) // z1
	times(d, -fix2562, d) // z2
	times(x[7], fix0298, x[7])
	times(x[5], fix2053, x[5])
	times(x[3], fix3072, x[3])
	times(x[1], fix1501, x[1])
	for _, add := range [][2]reg.VecPhysical{{c, x[7]}, {a, x[7]}, {d, x[5]}, {b, x[5]}, {d, x[3]}, {a, x[3]}, {c, x[1]}, {b, x[1]}} {
		VPADDD(add[0], add[1], add[1])
	}
	// The even half, into a, b, c, d as e0 to e3, with what rounds.
	VPADDD(x[2], x[6], a)
	times(a, fix0541, a) // z
	times(x[6], -fix1847, x[6])
	times(x[2], fix0765, x[2])
	VPADDD(a, x[6], x[6]) // t2
	VPADDD(a, x[2], x[2]) // t3
	VPADDD(x[0], x[4], b)
	VPSUBD(x[4], x[0], c)
	VPSLLD(Imm(13), b, b) // t0
	VPSLLD(Imm(13), c, c) // t1
	VPADDD(round, b, b)
	VPADDD(round, c, c)
	VPADDD(b, x[2], a) // e0
	VPSUBD(x[2], b, d) // e3
	VPADDD(c, x[6], b) // e1
	VPSUBD(x[6], c, c) // e2
	e := []reg.VecPhysical{a, b, c, d}
	o := []reg.VecPhysical{x[7], x[5], x[3], x[1]}
	// Output i is e[i] + o[3-i], and 7-i their difference. x0, x2, x4 and x6 are free.
	VPADDD(e[0], o[3], x[0])
	VPSUBD(o[3], e[0], reg.Y12) // to be x7, which holds o0
	VPADDD(e[1], o[2], reg.Y13) // to be x1, which holds o3
	VPSUBD(o[2], e[1], x[6])
	VPADDD(e[2], o[1], x[2])
	VPSUBD(o[1], e[2], reg.Y14) // to be x5
	VPADDD(e[3], o[0], reg.Y15) // to be x3
	VPSUBD(o[0], e[3], x[4])
	for i, r := range []reg.VecPhysical{x[0], reg.Y13, x[2], reg.Y15, x[4], reg.Y14, x[6], reg.Y12} {
		VPSRAD(Imm(uint64(shift)), r, x[i])
	}
}

// transpose makes columns of rows.
func transpose(x []reg.VecPhysical) {
	t := []reg.VecPhysical{reg.Y8, reg.Y9, reg.Y10, reg.Y11, reg.Y12, reg.Y13, reg.Y14, reg.Y15}
	for i := 0; i < 8; i += 2 {
		VPUNPCKLDQ(x[i+1], x[i], t[i])
		VPUNPCKHDQ(x[i+1], x[i], t[i+1])
	}
	for i := 0; i < 8; i += 4 {
		VPUNPCKLQDQ(t[i+2], t[i], x[i])
		VPUNPCKHQDQ(t[i+2], t[i], x[i+1])
		VPUNPCKLQDQ(t[i+3], t[i+1], x[i+2])
		VPUNPCKHQDQ(t[i+3], t[i+1], x[i+3])
	}
	for i := range 4 {
		VPERM2I128(Imm(0x20), x[i+4], x[i], t[i])
		VPERM2I128(Imm(0x31), x[i+4], x[i], t[i+4])
	}
	for i, r := range t {
		VMOVDQA(r, x[i])
	}
}
