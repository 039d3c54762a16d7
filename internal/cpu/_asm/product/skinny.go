package main

import (
	"fmt"

	. "github.com/mmcloughlin/avo/build"
	. "github.com/mmcloughlin/avo/operand"
	"github.com/mmcloughlin/avo/reg"

	"github.com/gollava/gollava/internal/cpu/_asm/simd"
)

// How many bytes ahead of its use memory is fetched. With rows of one or two pages the streams break off too often for Xeons to see them; on
// Zen 4, which sees them, what is far ahead is in the way: a Llama of 110M decodes 1.25 to 1.4 times as many tokens on one thread with the near distance.
const far, near = 1536, 256

// dots writes the kernel of m vectors times the rows of a matrix, which it reads once, rows (4 or 8) at a time. These lie apart, and each
// is followed by the next of its part: so many streams that never leave off, which the processor fetches ahead of their use at the rate of
// the memory, where rows that lie side by side begin a new one at each row.
//
// A register holds twice as many bfloat16 as float32: those at even places become float32 by a shift, those at odd places by a mask. So
// that they meet their partners, the vectors hold the even places first.
func dots(w *simd.Width, m, rows int, bfloat16 bool, distance int) {
	name, of, read, size, step := fmt.Sprintf("dots%dx%d%s", m, rows, w.Name), "float32", "a[i*aRow+p], b[q*bFar+j*bRow+p]", 4, w.Floats
	if bfloat16 {
		step = 2 * w.Floats
		name, of, size = fmt.Sprintf("dots%dx%dBF16%s", m, rows, w.Name), "uint16", 2
		read = fmt.Sprintf("a[i*aRow+p/%[1]d*%[1]d+p%%2*%[2]d+p%%%[1]d/2], widen(b[q*bFar+j*bRow+p])", step, w.Floats)
	}
	if distance == near {
		name += "Near"
	}
	TEXT(name, NOSPLIT, "func(n, k int, a *float32, aRow int, b *"+of+", bRow, bFar int, c *float32, cRow, cFar int)")
	Doc(fmt.Sprintf("%s multiplies %d vectors with %d times n > 0 rows; k is a multiple of %d, above 0; strides count elements. The terms are", name, m, rows, step),
		"added in another order, which depends on k only and is the same for any number of vectors and rows:",
		"",
		fmt.Sprintf("\tfor i := range %d {", m),
		fmt.Sprintf("\t\tfor q := range %d {", rows),
		"\t\t\tfor j := range n {",
		"\t\t\t\ts := float32(0)",
		"\t\t\t\tfor p := range k {",
		"\t\t\t\t\ts = fma("+read+", s)",
		"\t\t\t\t}",
		"\t\t\t\tc[i*cRow+q*cFar+j] = s",
		"\t\t\t}",
		"\t\t}",
		"\t}")
	Pragma("noescape")
	acc := func(i, j int) reg.VecPhysical { return w.R[i*rows+j] }
	spare := w.R[m*rows:]
	var b, odd, mask reg.VecPhysical
	if bfloat16 {
		b, odd, mask, spare = spare[0], spare[1], spare[2], spare[3:]
		ones := GP64()
		MOVQ(U64(0xffff0000), ones)
		VMOVD(ones.As32(), mask.AsX())
		VPBROADCASTD(mask.AsX(), mask)
	} else {
		b, spare = spare[0], spare[1:]
	}

	shift := U8(map[int]uint8{2: 1, 4: 2}[size])
	n, aRow, bFar, b0, c := simd.Arg("n"), simd.Arg("aRow"), simd.Arg("bFar"), simd.Arg("b"), simd.Arg("c")
	SHLQ(U8(2), aRow)
	SHLQ(shift, bFar)
	Label("rows")
	for i := range m * rows {
		w.Zero(i)
	}
	a, k := simd.Arg("a"), simd.Arg("k")
	var p []reg.GPVirtual // every third row
	for j := 0; j < rows; j += 3 {
		r := GP64()
		if j == 0 {
			MOVQ(b0, r)
		} else {
			LEAQ(Mem{Base: p[len(p)-1], Index: bFar, Scale: 2}, r)
			ADDQ(bFar, r)
		}
		p = append(p, r)
	}
	vector := func(i, u int) Mem {
		at := Mem{Base: a, Disp: u * w.Bytes()}
		if i > 0 {
			at.Index, at.Scale = aRow, uint8(i)
		}
		return at
	}
	row := func(j int) Mem {
		at := Mem{Base: p[j/3]}
		if j%3 > 0 {
			at.Index, at.Scale = bFar, uint8(j%3)
		}
		return at
	}
	ahead := func(j int) { // every register of AVX-512 is a cache line
		if at := row(j); w == simd.AVX512 {
			at.Disp += distance
			PREFETCHT0(at)
		}
	}
	floats := func() { // a register of each row
		for i := range m {
			VMOVUPS(vector(i, 0), spare[i])
		}
		for j := range rows {
			VMOVUPS(row(j), b)
			ahead(j)
			for i := range m {
				VFMADD231PS(b, spare[i], acc(i, j))
			}
		}
	}
	halves := func() { // a register of each row
		x := func(i, u int) Op { return vector(i, u) }
		if len(spare) >= 2*m {
			for i := range 2 * m {
				VMOVUPS(vector(i/2, i%2), spare[i])
			}
			x = func(i, u int) Op { return spare[2*i+u] }
		}
		for j := range rows {
			VMOVUPS(row(j), b)
			ahead(j)
			if w == simd.AVX512 {
				VPANDD(mask, b, odd)
			} else {
				VPAND(mask, b, odd)
			}
			VPSLLD(U8(16), b, b)
			for i := range m {
				VFMADD231PS(x(i, 0), b, acc(i, j))
				VFMADD231PS(x(i, 1), odd, acc(i, j))
			}
		}
	}
	advance := func(by int) {
		ADDQ(U32(4*by), a)
		for _, r := range p {
			ADDQ(U32(by*size), r)
		}
	}
	Label("one")
	if bfloat16 {
		halves()
	} else {
		floats()
	}
	advance(step)
	SUBQ(Imm(uint64(step)), k)
	JG(LabelRef("one"))
	to, row0, cRow, cFar := GP64(), GP64(), simd.Arg("cRow"), simd.Arg("cFar")
	MOVQ(c, row0)
	SHLQ(U8(2), cRow)
	SHLQ(U8(2), cFar)
	for i := range m {
		for j := range rows {
			r := acc(i, j)
			if w == simd.AVX512 {
				VEXTRACTF64X4(U8(1), r, b.AsY())
				VADDPS(b.AsY(), r.AsY(), r.AsY())
			}
		}
		MOVQ(row0, to)
		for j := 0; j < rows; j += 4 {
			r := func(e int) reg.VecPhysical { return acc(i, j+e) }
			VHADDPS(r(1).AsY(), r(0).AsY(), r(0).AsY())
			VHADDPS(r(3).AsY(), r(2).AsY(), r(2).AsY())
			VHADDPS(r(2).AsY(), r(0).AsY(), r(0).AsY())
			VEXTRACTF128(U8(1), r(0).AsY(), r(1).AsX())
			VADDPS(r(1).AsX(), r(0).AsX(), r(0).AsX())
			VMOVSS(r(0).AsX(), simd.At(to, 0))
			VEXTRACTPS(U8(1), r(0).AsX(), Mem{Base: to, Index: cFar, Scale: 1})
			LEAQ(Mem{Base: to, Index: cFar, Scale: 2}, to)
			VEXTRACTPS(U8(2), r(0).AsX(), simd.At(to, 0))
			VEXTRACTPS(U8(3), r(0).AsX(), Mem{Base: to, Index: cFar, Scale: 1})
			LEAQ(Mem{Base: to, Index: cFar, Scale: 2}, to)
		}
		ADDQ(cRow, row0)
	}
	ADDQ(Imm(4), c)
	bRow := simd.Arg("bRow")
	SHLQ(shift, bRow)
	ADDQ(bRow, b0)
	DECQ(n)
	JNZ(LabelRef("rows"))
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
