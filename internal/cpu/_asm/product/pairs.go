package main

import (
	"fmt"

	. "github.com/mmcloughlin/avo/build"
	. "github.com/mmcloughlin/avo/operand"
	"github.com/mmcloughlin/avo/reg"

	"github.com/gollava/gollava/internal/cpu/_asm/simd"
)

// narrowRows writes the kernel that rounds rows to bfloat16, of which two neighbours are a pair.
func narrowRows() {
	TEXT("narrowRowsBF16", NOSPLIT, "func(rows, steps int, dst *float32, dRow int, src *float32, sRow int)")
	Doc("narrowRowsBF16 rounds the first 32·steps elements of rows, at least one of each, to bfloat16, and fetches what follows them in each",
		"row; strides count float32s:",
		"\tdst [rows, dRow apart][16·steps][2]bfloat16")
	Pragma("noescape")
	rows, dst, dRow, src, sRow := simd.Arg("rows"), simd.Arg("dst"), simd.Arg("dRow"), simd.Arg("src"), simd.Arg("sRow")
	SHLQ(U8(2), dRow)
	SHLQ(U8(2), sRow)
	from, to := GP64(), GP64()
	Label("row")
	MOVQ(src, from)
	MOVQ(dst, to)
	n := simd.Arg("steps")
	length := GP64()
	MOVQ(n, length)
	SHLQ(U8(7), length)
	Label("step")
	PREFETCHT0(Mem{Base: from, Index: length, Scale: 1})
	PREFETCHT0(Mem{Base: from, Index: length, Scale: 1, Disp: 64})
	VMOVUPS(simd.At(from, 0), reg.Z0)
	VMOVUPS(simd.At(from, 64), reg.Z1)
	simd.Narrow(reg.Z1, reg.Z0, reg.Z2)
	VMOVUPS(reg.Z2, simd.At(to, 0))
	ADDQ(Imm(128), from)
	ADDQ(Imm(64), to)
	DECQ(n)
	JNZ(LabelRef("step"))
	ADDQ(sRow, src)
	ADDQ(dRow, dst)
	DECQ(rows)
	JNZ(LabelRef("row"))
	VZEROUPPER()
	RET()
}

var shuffle Mem

// interleaved is the numbers of 32 words such that those of a register's halves alternate.
func interleaved() Mem {
	if shuffle.Symbol.Name == "" {
		shuffle = GLOBL("interleaved", RODATA|NOPTR)
		for i := range 32 {
			DATA(2*i, U16(uint16(i/2+i%2*16)))
		}
	}
	return shuffle
}

// pairRows writes the kernel that makes pairs of the rows of a matrix stored by rows, of float32 or bfloat16.
func pairRows(across int, half bool) {
	name, of, size, does := fmt.Sprintf("pairRows%dBF16", 16*across), "float32", 4, "rounds"
	if half {
		name, of, size, does = fmt.Sprintf("pairHalfRows%d", 16*across), "uint16", 2, "brings"
	}
	TEXT(name, NOSPLIT, "func(pairs int, dst *float32, dRow int, src *"+of+", sRow int)")
	Doc(fmt.Sprintf("%s %s %d columns of 2·pairs rows, at least two and sRow elements apart, to bfloat16, those of two rows side by side:", name, does, 16*across),
		fmt.Sprintf("\tdst [pairs, dRow apart][%d][2]bfloat16", 16*across))
	Pragma("noescape")
	pairs, dst, dRow := simd.Arg("pairs"), simd.Arg("dst"), simd.Arg("dRow")
	src, sRow := simd.Arg("src"), simd.Arg("sRow")
	SHLQ(U8(2), dRow)
	SHLQ(U8(uint8(size/2)), sRow)
	VMOVDQU16(interleaved(), reg.Z31)
	r := simd.AVX512.R
	Label("pair")
	for j := range across {
		low, high, both := r[3*j], r[3*j+1], r[3*j+2]
		first, second := simd.At(src, 16*size*j), Mem{Base: src, Index: sRow, Scale: 1, Disp: 16 * size * j}
		if half {
			VMOVDQU16(first, both.AsY())
			VINSERTI64X4(U8(1), second, both, both)
		} else {
			VMOVUPS(first, low)
			VMOVUPS(second, high)
			simd.Narrow(high, low, both)
		}
		VPERMW(both, reg.Z31, both)
		VMOVDQU32(both, simd.At(dst, 64*j))
	}
	LEAQ(Mem{Base: src, Index: sRow, Scale: 2}, src)
	ADDQ(dRow, dst)
	DECQ(pairs)
	JNZ(LabelRef("pair"))
	VZEROUPPER()
	RET()
}
