package main

import (
	"fmt"

	. "github.com/mmcloughlin/avo/build"
	. "github.com/mmcloughlin/avo/operand"
	"github.com/mmcloughlin/avo/reg"

	"github.com/gollava/gollava/internal/cpu/_asm/simd"
)

// strip writes the kernel that packs up to n registers of columns of a matrix stored by rows.
func strip(w *simd.Width, n int) {
	width := n * w.Floats
	name := fmt.Sprintf("strip%d%s", width, w.Name)
	TEXT(name, NOSPLIT, "func(k int, dst *float32, dRow int, src *float32, sRow int, cols int)")
	Doc(fmt.Sprintf("%s copies cols ≤ %d columns of k rows and appends zeros; strides count elements. Where dRow < %d, the next row overwrites the zeros:", name, width, width),
		"",
		"\tfor p := range k {",
		fmt.Sprintf("\t\tfor j := range %d {", width),
		"\t\t\tdst[p*dRow+j] = 0",
		"\t\t\tif j < cols {",
		"\t\t\t\tdst[p*dRow+j] = src[p*sRow+j]",
		"\t\t\t}",
		"\t\t}",
		"\t}")
	Pragma("noescape")
	k, dst, dRow, src, sRow, cols := simd.Arg("k"), simd.Arg("dst"), simd.Arg("dRow"), simd.Arg("src"), simd.Arg("sRow"), simd.Arg("cols")
	SHLQ(U8(2), dRow)
	SHLQ(U8(2), sRow)
	TESTQ(k, k)
	JZ(LabelRef("end"))
	CMPQ(cols, Imm(uint64(width)))
	JL(LabelRef("narrow"))
	loop := func(label string, load func(j int, from Mem, to reg.VecPhysical)) {
		Label(label)
		for j := range n {
			load(j, simd.At(src, j*w.Bytes()), w.R[j])
		}
		for j := range n {
			VMOVUPS(w.R[j], simd.At(dst, j*w.Bytes()))
		}
		ADDQ(sRow, src)
		ADDQ(dRow, dst)
		DECQ(k)
		JNZ(LabelRef(label))
	}
	loop("row", func(j int, from Mem, to reg.VecPhysical) { VMOVUPS(from, to) })
	VZEROUPPER()
	RET()
	Label("narrow")
	load, _ := w.Mask(cols, width, w.R[n:2*n])
	loop("narrowRow", load)
	Label("end")
	VZEROUPPER()
	RET()
}

// widen writes the kernel that turns bfloat16 into float32.
func widen() {
	TEXT("widenAVX2", NOSPLIT, "func(k int, dst *float32, dRow int, src *uint16, sRow int)")
	Doc("widenAVX2 widens 16 columns of k > 0 rows of bfloat16; strides count elements:",
		"",
		"\tfor p := range k {",
		"\t\tfor j := range 16 {",
		"\t\t\tdst[p*dRow+j] = math.Float32frombits(uint32(src[p*sRow+j]) << 16)",
		"\t\t}",
		"\t}")
	Pragma("noescape")
	k, dst, dRow, src, sRow := simd.Arg("k"), simd.Arg("dst"), simd.Arg("dRow"), simd.Arg("src"), simd.Arg("sRow")
	SHLQ(U8(2), dRow)
	SHLQ(U8(1), sRow)
	r := simd.AVX2.R
	Label("row")
	for j := range 2 {
		VPMOVZXWD(simd.At(src, 16*j), r[j])
		VPSLLD(U8(16), r[j], r[j])
		VMOVUPS(r[j], simd.At(dst, 32*j))
	}
	ADDQ(sRow, src)
	ADDQ(dRow, dst)
	DECQ(k)
	JNZ(LabelRef("row"))
	VZEROUPPER()
	RET()
}
