package main

import (
	. "github.com/mmcloughlin/avo/build"
	. "github.com/mmcloughlin/avo/operand"
	"github.com/mmcloughlin/avo/reg"

	"github.com/gollava/gollava/internal/cpu/_asm/simd"
)

// transpose writes the kernel that packs eight rows of a matrix as eight columns.
func transpose(bfloat16 bool) {
	name, of, size := "transpose8", "float32", 4
	if bfloat16 {
		name, of, size = "transpose8BF16", "uint16", 2
	}
	TEXT(name, NOSPLIT, "func(k int, dst *float32, dRow int, src *"+of+", sRow int)")
	read := "src[j*sRow+p]"
	if bfloat16 {
		read = "widen(" + read + ")"
	}
	Doc(name+" turns 8 rows of k elements into columns; k is a multiple of 8; strides count elements. It needs AVX2:",
		"",
		"\tfor p := range k {",
		"\t\tfor j := range 8 {",
		"\t\t\tdst[p*dRow+j] = "+read,
		"\t\t}",
		"\t}")
	Pragma("noescape")
	k, dst, dRow, src, sRow := simd.Arg("k"), simd.Arg("dst"), simd.Arg("dRow"), simd.Arg("src"), simd.Arg("sRow")
	SHLQ(U8(2), dRow)
	if bfloat16 {
		SHLQ(U8(1), sRow)
	} else {
		SHLQ(U8(2), sRow)
	}
	s3, s6, d3 := GP64(), GP64(), GP64()
	LEAQ(Mem{Base: sRow, Index: sRow, Scale: 2}, d3)
	LEAQ(Mem{Base: src, Index: d3, Scale: 1}, s3)
	LEAQ(Mem{Base: s3, Index: d3, Scale: 1}, s6)
	LEAQ(Mem{Base: dRow, Index: dRow, Scale: 2}, d3)
	r := simd.AVX2.R
	Label("loop")
	at := func(i int) Mem {
		m := Mem{Base: []reg.GPVirtual{src, s3, s6}[i/3]}
		if i%3 > 0 {
			m.Index, m.Scale = sRow, uint8(i%3)
		}
		return m
	}
	for i := range 8 {
		if bfloat16 {
			VPMOVZXWD(at(i), r[i])
			VPSLLD(U8(16), r[i], r[i])
		} else {
			VMOVUPS(at(i), r[i])
		}
	}
	for i := 0; i < 8; i += 2 { // pairs of rows, interleaved: 0 1 of each lane, and 2 3
		VUNPCKLPS(r[i+1], r[i], r[8+i])
		VUNPCKHPS(r[i+1], r[i], r[9+i])
	}
	for h := range 2 { // fours of rows
		a, b := 8+4*h, 10+4*h
		VUNPCKLPD(r[b], r[a], r[4*h])
		VUNPCKHPD(r[b], r[a], r[4*h+1])
		VUNPCKLPD(r[b+1], r[a+1], r[4*h+2])
		VUNPCKHPD(r[b+1], r[a+1], r[4*h+3])
	}
	for i := range 4 { // lanes
		VPERM2F128(U8(0x20), r[4+i], r[i], r[8+i])
		VPERM2F128(U8(0x31), r[4+i], r[i], r[12+i])
	}
	low := GP64()
	LEAQ(Mem{Base: dst, Index: dRow, Scale: 4}, low)
	for i := range 8 {
		to := Mem{Base: []reg.GPVirtual{dst, low}[i/4]}
		switch i % 4 {
		case 1, 2:
			to.Index, to.Scale = dRow, uint8(i%4)
		case 3:
			to.Index, to.Scale = d3, 1
		}
		VMOVUPS(r[8+i], to)
	}
	LEAQ(Mem{Base: low, Index: dRow, Scale: 4}, dst)
	for _, s := range []reg.GPVirtual{src, s3, s6} {
		ADDQ(Imm(uint64(8*size)), s)
	}
	SUBQ(Imm(8), k)
	JG(LabelRef("loop"))
	VZEROUPPER()
	RET()
}
