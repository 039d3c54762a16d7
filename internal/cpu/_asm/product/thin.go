package main

import (
	"fmt"

	. "github.com/mmcloughlin/avo/build"
	. "github.com/mmcloughlin/avo/operand"
	"github.com/mmcloughlin/avo/reg"

	"github.com/gollava/gollava/internal/cpu/_asm/simd"
)

// dots writes the kernel of m vectors times the rows of a matrix, which it reads once, four rows at a time.
func dots(w *simd.Width, m int, bfloat16 bool) {
	name, of, read, size := fmt.Sprintf("dots%d%s", m, w.Name), "float32", "b[j*bRow+p]", 4
	if bfloat16 {
		name, of, read, size = fmt.Sprintf("dots%dBF16%s", m, w.Name), "uint16", "widen(b[j*bRow+p])", 2
	}
	TEXT(name, NOSPLIT, "func(n, k int, a *float32, aRow int, b *"+of+", bRow int, c *float32, cRow int)")
	Doc(fmt.Sprintf("%s multiplies %d vectors with n rows; n is a multiple of 4, and k one of %d, above 0; strides count elements. The terms are", name, m, w.Floats),
		"added in another order, which depends on k only:",
		"",
		fmt.Sprintf("\tfor i := range %d {", m),
		"\t\tfor j := range n {",
		"\t\t\ts := float32(0)",
		"\t\t\tfor p := range k {",
		"\t\t\t\ts = fma(a[i*aRow+p], "+read+", s)",
		"\t\t\t}",
		"\t\t\tc[i*cRow+j] = s",
		"\t\t}",
		"\t}")
	Pragma("noescape")
	const rows = 4
	unroll := 1
	if m == 1 {
		unroll = 2 // eight sums in flight
	}
	acc := func(u, i, j int) reg.VecPhysical { return w.R[(u*m+i)*rows+j] }
	x := w.R[unroll*m*rows:][:m]
	b := w.R[unroll*m*rows+m]

	n, aRow, bRow, b0, c := simd.Arg("n"), simd.Arg("aRow"), simd.Arg("bRow"), simd.Arg("b"), simd.Arg("c")
	SHLQ(U8(2), aRow)
	SHLQ(U8(map[int]uint8{2: 1, 4: 2}[size]), bRow)
	Label("rows")
	for i := range unroll * m * rows {
		w.Zero(i)
	}
	a, k := simd.Arg("a"), simd.Arg("k")
	p, p3, next := GP64(), GP64(), GP64()
	MOVQ(b0, p)
	LEAQ(Mem{Base: p, Index: bRow, Scale: 2}, p3)
	ADDQ(bRow, p3)
	LEAQ(Mem{Base: p3, Index: bRow, Scale: 1}, next)
	step := func(u int) {
		for i := range m {
			at := Mem{Base: a, Disp: u * w.Bytes()}
			if i > 0 {
				at.Index, at.Scale = aRow, []uint8{0, 1, 2, 0, 4}[i]
			}
			VMOVUPS(at, x[i])
		}
		for j := range rows {
			at := Mem{Base: []reg.GPVirtual{p, p3}[j/3], Disp: u * w.Floats * size}
			if j%3 > 0 {
				at.Index, at.Scale = bRow, uint8(j%3)
			}
			if bfloat16 {
				VPMOVZXWD(at, b)
				VPSLLD(U8(16), b, b)
			} else {
				VMOVUPS(at, b)
			}
			for i := range m {
				VFMADD231PS(b, x[i], acc(u, i, j))
			}
		}
	}
	advance := func(by int) {
		ADDQ(U32(by*w.Bytes()), a)
		ADDQ(U32(by*w.Floats*size), p)
		ADDQ(U32(by*w.Floats*size), p3)
	}
	if unroll > 1 {
		SUBQ(Imm(uint64(unroll*w.Floats)), k)
		JL(LabelRef("last"))
		Label("two")
		for u := range unroll {
			step(u)
		}
		advance(unroll)
		SUBQ(Imm(uint64(unroll*w.Floats)), k)
		JGE(LabelRef("two"))
		Label("last")
		ADDQ(Imm(uint64(unroll*w.Floats)), k)
		JZ(LabelRef("sum"))
	}
	Label("one")
	step(0)
	advance(1)
	SUBQ(Imm(uint64(w.Floats)), k)
	JG(LabelRef("one"))
	Label("sum")
	to, cRow := GP64(), simd.Arg("cRow")
	MOVQ(c, to)
	SHLQ(U8(2), cRow)
	for i := range m {
		for j := range rows {
			r := acc(0, i, j)
			if unroll > 1 {
				VADDPS(acc(1, i, j), r, r)
			}
			if w == simd.AVX512 {
				VEXTRACTF64X4(U8(1), r, x[0].AsY())
				VADDPS(x[0].AsY(), r.AsY(), r.AsY())
			}
		}
		r := func(j int) reg.VecPhysical { return acc(0, i, j) }
		VHADDPS(r(1).AsY(), r(0).AsY(), r(0).AsY())
		VHADDPS(r(3).AsY(), r(2).AsY(), r(2).AsY())
		VHADDPS(r(2).AsY(), r(0).AsY(), r(0).AsY())
		VEXTRACTF128(U8(1), r(0).AsY(), r(1).AsX())
		VADDPS(r(1).AsX(), r(0).AsX(), r(0).AsX())
		VMOVUPS(r(0).AsX(), simd.At(to, 0))
		if i < m-1 {
			ADDQ(cRow, to)
		}
	}
	ADDQ(Imm(16), c)
	MOVQ(next, b0)
	SUBQ(Imm(rows), n)
	JG(LabelRef("rows"))
	VZEROUPPER()
	RET()
}

// update writes the kernel that adds r rows of a matrix, each multiplied by a number for each of m sums.
func update(w *simd.Width, m, r int) {
	name := fmt.Sprintf("update%dx%d%s", m, r, w.Name)
	TEXT(name, NOSPLIT, "func(n, k int, a *float32, aRow, aCol int, b *float32, bRow int, c *float32, cRow int)")
	Doc(fmt.Sprintf("%s adds k rows of n columns to %d rows; n is a multiple of %d, and k one of %d; strides count elements. The sum is one chain in order of p:", name, m, w.Floats, r),
		"",
		fmt.Sprintf("\tfor i := range %d {", m),
		"\t\tfor j := range n {",
		"\t\t\tfor p := range k {",
		"\t\t\t\tc[i*cRow+j] = fma(a[i*aRow+p*aCol], b[p*bRow+j], c[i*cRow+j])",
		"\t\t\t}",
		"\t\t}",
		"\t}")
	Pragma("noescape")
	x := func(i, p int) reg.VecPhysical { return w.R[i*r+p] }
	acc := w.R[m*r:][:m]
	row := w.R[m*r+m]

	k, a, aRow, aCol, b, bRow := simd.Arg("k"), simd.Arg("a"), simd.Arg("aRow"), simd.Arg("aCol"), simd.Arg("b"), simd.Arg("bRow")
	cRow := simd.Arg("cRow")
	for _, s := range []reg.GPVirtual{aRow, aCol, bRow, cRow} {
		SHLQ(U8(2), s)
	}
	b3, b6 := GP64(), GP64()
	Label("rows")
	for p := range r {
		for i := range m {
			at := Mem{Base: a}
			if i > 0 {
				at.Index, at.Scale = aRow, uint8(i)
			}
			VBROADCASTSS(at, x(i, p))
		}
		ADDQ(aCol, a)
	}
	q, c := GP64(), simd.Arg("c")
	n := simd.Arg("n")
	MOVQ(b, q)
	LEAQ(Mem{Base: b, Index: bRow, Scale: 2}, b3)
	ADDQ(bRow, b3)
	LEAQ(Mem{Base: b3, Index: bRow, Scale: 2}, b6)
	ADDQ(bRow, b6)
	Label("columns")
	at := func(base reg.GPVirtual, step reg.GPVirtual, i int) Mem {
		if i == 0 {
			return Mem{Base: base}
		}
		return Mem{Base: base, Index: step, Scale: uint8(i)}
	}
	for i := range m {
		VMOVUPS(at(c, cRow, i), acc[i])
	}
	for p := range r {
		VMOVUPS(at([]reg.GPVirtual{q, b3, b6}[p/3], bRow, p%3), row)
		for i := range m {
			VFMADD231PS(row, x(i, p), acc[i])
		}
	}
	for i := range m {
		VMOVUPS(acc[i], at(c, cRow, i))
	}
	for _, s := range []reg.GPVirtual{q, b3, b6, c} {
		ADDQ(U32(w.Bytes()), s)
	}
	SUBQ(Imm(uint64(w.Floats)), n)
	JG(LabelRef("columns"))
	LEAQ(Mem{Base: b, Index: bRow, Scale: 4}, b)
	if r == 8 {
		LEAQ(Mem{Base: b, Index: bRow, Scale: 4}, b)
	}
	SUBQ(Imm(uint64(r)), k)
	JG(LabelRef("rows"))
	VZEROUPPER()
	RET()
}
