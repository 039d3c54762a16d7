package main

import (
	"fmt"

	. "github.com/mmcloughlin/avo/build"
	. "github.com/mmcloughlin/avo/operand"
	"github.com/mmcloughlin/avo/reg"

	"github.com/gollava/gollava/internal/cpu/_asm/simd"
)

// tile writes the kernel of m rows by n registers of columns. Every element is one chain of fused multiply-adds in order of k, whatever
// the tile that it falls into. With pairs, every element of A and B is two bfloat16, whose products are both added.
func tile(w *simd.Width, m, n int, pairs bool) {
	cols := n * w.Floats
	name := fmt.Sprintf("tile%dx%d%s", m, cols, w.Name)
	add := "s = fma(%s, %s, s)"
	if pairs {
		name = fmt.Sprintf("tile%dx%dBF16", m, cols)
		add = "s += first(%[1]s)*first(%[2]s) + second(%[1]s)*second(%[2]s)"
	}
	TEXT(name, NOSPLIT, "func(tiles, k int, a *float32, aTile, aRow, aCol int, b *float32, bRow int, d *float32, dRow int, c *float32, cRow, cols int)")
	Doc(fmt.Sprintf("%s computes tiles blocks of %d rows and cols ≤ %d columns, one below the other; strides count elements.", name, m, cols),
		"d may be nil, for 0, or c. b must be readable for all columns of the tile:",
		"",
		fmt.Sprintf("\tfor i := range tiles*%d {", m),
		"\t\tfor j := range cols {",
		"\t\t\ts := float32(0)",
		"\t\t\tfor p := range k {",
		"\t\t\t\t"+fmt.Sprintf(add, fmt.Sprintf("a[i/%[1]d*aTile+i%%%[1]d*aRow+p*aCol]", m), "b[p*bRow+j]"),
		"\t\t\t}",
		"\t\t\tc[i*cRow+j] = s + d[i*dRow+j]",
		"\t\t}",
		"\t}")
	Pragma("noescape")

	acc := func(i, j int) reg.VecPhysical { return w.R[i*n+j] }
	B := w.R[m*n : m*n+n]
	spare := w.R[m*n+n:]
	if len(spare) > 4 {
		spare = spare[:4]
	}

	tiles, a, d, c := simd.Arg("tiles"), simd.Arg("a"), simd.Arg("d"), simd.Arg("c")
	aRow, aCol, bRow := simd.Arg("aRow"), simd.Arg("aCol"), simd.Arg("bRow")
	for _, r := range []reg.GPVirtual{aRow, aCol, bRow} {
		SHLQ(U8(2), r)
	}

	Label("tile")
	for i := range m * n {
		w.Zero(i)
	}
	// Rows of A are addressed as base, base + aRow and base + 2·aRow, from every third row on.
	var base []reg.GPVirtual
	for i := 0; i < m; i += 3 {
		r := GP64()
		if i == 0 {
			MOVQ(a, r)
		} else {
			LEAQ(Mem{Base: base[len(base)-1], Index: aRow, Scale: 2}, r)
			ADDQ(aRow, r)
		}
		base = append(base, r)
	}
	{ // The rows that will be written.
		p, step := GP64(), GP64()
		MOVQ(c, p)
		Load(Param("cRow"), step)
		for i := range m {
			PREFETCHT0(simd.At(p, 0))
			if cols*4 > 64 {
				PREFETCHT0(simd.At(p, cols*4-4))
			}
			if i < m-1 {
				LEAQ(Mem{Base: p, Index: step, Scale: 4}, p)
			}
		}
	}
	b, k := simd.Arg("b"), simd.Arg("k")
	step := func() {
		for j := range n {
			VMOVUPS(simd.At(b, j*w.Bytes()), B[j])
		}
		ADDQ(bRow, b)
		for i := range m {
			x := spare[i%len(spare)]
			at := Mem{Base: base[i/3]}
			if i%3 > 0 {
				at.Index, at.Scale = aRow, uint8(i%3)
			}
			VBROADCASTSS(at, x)
			for j := range n {
				if pairs {
					simd.AddPairs(B[j], x, acc(i, j))
				} else {
					VFMADD231PS(B[j], x, acc(i, j))
				}
			}
		}
		for _, r := range base {
			ADDQ(aCol, r)
		}
	}
	const unroll = 4
	SUBQ(Imm(unroll), k)
	JL(LabelRef("rest"))
	Label("four")
	for range unroll {
		step()
	}
	SUBQ(Imm(unroll), k)
	JGE(LabelRef("four"))
	Label("rest")
	ADDQ(Imm(unroll), k)
	JZ(LabelRef("add"))
	Label("one")
	step()
	DECQ(k)
	JNZ(LabelRef("one"))

	Label("add")
	cRow, dRow, width := simd.Arg("cRow"), simd.Arg("dRow"), simd.Arg("cols")
	SHLQ(U8(2), cRow)
	SHLQ(U8(2), dRow)
	CMPQ(width, Imm(uint64(cols)))
	JL(LabelRef("narrow"))
	TESTQ(d, d)
	JZ(LabelRef("store"))
	for i := range m {
		for j := range n {
			VADDPS(simd.At(d, j*w.Bytes()), acc(i, j), acc(i, j))
		}
		ADDQ(dRow, d)
	}
	Label("store")
	for i := range m {
		for j := range n {
			VMOVUPS(acc(i, j), simd.At(c, j*w.Bytes()))
		}
		ADDQ(cRow, c)
	}
	Label("next")
	aTile := simd.Arg("aTile")
	LEAQ(Mem{Base: a, Index: aTile, Scale: 4}, a)
	DECQ(tiles)
	JNZ(LabelRef("tile"))
	VZEROUPPER()
	RET()

	Label("narrow")
	load, store := w.Mask(width, cols, B)
	TESTQ(d, d)
	JZ(LabelRef("narrowStore"))
	for i := range m {
		for j := range n {
			load(j, simd.At(d, j*w.Bytes()), spare[0])
			VADDPS(spare[0], acc(i, j), acc(i, j))
		}
		ADDQ(dRow, d)
	}
	Label("narrowStore")
	for i := range m {
		for j := range n {
			store(j, acc(i, j), simd.At(c, j*w.Bytes()))
		}
		ADDQ(cRow, c)
	}
	JMP(LabelRef("next"))
}
