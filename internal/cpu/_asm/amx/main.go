// Command amx generates the kernels that multiply with Intel's matrix unit, and those that bring matrices into its form.
package main

import (
	"fmt"

	. "github.com/mmcloughlin/avo/build"
	. "github.com/mmcloughlin/avo/operand"
	"github.com/mmcloughlin/avo/reg"

	"github.com/gollava/gollava/internal/cpu/_asm/simd"
)

func main() {
	simd.Header()
	for _, parts := range [][2]int{{3, 3}, {3, 1}, {1, 3}, {1, 1}} {
		for down := 2; down > 0; down-- {
			for across := 2; across > 0; across-- {
				blocks(parts[0], parts[1], down, across)
			}
		}
	}
	multiplyAdds()
	for _, parts := range []int{3, 1} {
		splitRows(parts)
		for across := 2; across > 0; across-- {
			splitPairs(parts, across)
		}
	}
	Generate()
}

const tileBytes = 1024 // 16 rows of 64 bytes

// rowsAhead is how many rows of C each step fetches: the 16 steps of 512 elements fetch a block.
const rowsAhead = 2

// blocks writes the kernel of blocks of down×across tiles of C, for matrices split into parts. The tiles 0 to 3 are C's, 4 and 5 A's, 6 and 7 B's.
func blocks(partsA, partsB, down, across int) {
	name := fmt.Sprintf("blocks%dx%dParts%d%dAMX", 16*down, 16*across, partsA, partsB)
	TEXT(name, NOSPLIT, "func(shapes *[64]byte, tiles, steps int, a *float32, aTile int, b *float32, d *float32, dRow int, c *float32, cRow int)")
	Doc(fmt.Sprintf("%s computes tiles blocks of up to %d rows, as shapes has them, and %d columns, one below the other: c = d + a·b,", name, 16*down, 16*across),
		"where d may be nil, for 0, or c. A step is 32 elements of the inner dimension: of a, and then of b,",
		fmt.Sprintf("\ta [steps][%d parts][%d rows][32]bfloat16, aTile float32s from one block to the next", partsA, 16*down),
		fmt.Sprintf("\tb [steps][%d parts][16][%d columns][2]bfloat16", partsB, 16*across),
		"The products of parts whose numbers, from 0, add up to less than 3 are added.")
	Pragma("noescape")
	a, b, c, d, steps := reg.RSI, reg.RDI, reg.RDX, reg.RBX, reg.RCX
	rowA, rowB, rowC, rowD, count, atA, atB, atC := reg.RAX, reg.R8, reg.R9, reg.R10, reg.R11, reg.R12, reg.R13, reg.R15
	Load(Param("shapes"), rowA)
	simd.TileConfig(reg.RAX)
	Load(Param("tiles"), count)
	Load(Param("a"), a)
	Load(Param("d"), d)
	Load(Param("c"), c)
	Load(Param("cRow"), rowC)
	Load(Param("dRow"), rowD)
	SHLQ(U8(2), rowC)
	SHLQ(U8(2), rowD)
	MOVQ(U64(64), rowA)
	MOVQ(U64(uint64(64*across)), rowB)

	Label("block")
	each := func(f func(i, j int)) {
		for i := range down {
			for j := range across {
				f(i, j)
			}
		}
	}
	acc := func(i, j int) int { return 2*i + j }
	lower := func(p reg.GPPhysical, row reg.GPPhysical) { // 16 rows
		LEAQ(Mem{Base: p, Index: row, Scale: 8}, p)
		LEAQ(Mem{Base: p, Index: row, Scale: 8}, p)
	}
	TESTQ(d, d)
	JZ(LabelRef("zero"))
	for i := range down {
		for j := range across {
			simd.TileLoad(d, rowD, 64*j, acc(i, j))
		}
		lower(d, rowD)
	}
	JMP(LabelRef("multiply"))
	Label("zero")
	each(func(i, j int) { simd.TileZero(acc(i, j)) })

	Label("multiply")
	Load(Param("steps"), steps)
	Load(Param("b"), b)
	MOVQ(a, atA)
	MOVQ(b, atB)
	MOVQ(c, atC)
	Label("step")
	for range rowsAhead { // what will be written, a few rows in every step
		for j := range across {
			PREFETCHT0(simd.At(atC, 64*j))
		}
		ADDQ(rowC, atC)
	}
	haveA, haveB := -1, -1
	for _, p := range order(partsA, partsB) {
		if p[0] != haveA {
			for i := range down {
				simd.TileLoad(atA, rowA, (p[0]*down+i)*tileBytes, 4+i)
			}
		}
		if p[1] != haveB {
			for j := range across {
				simd.TileLoad(atB, rowB, p[1]*across*tileBytes+64*j, 6+j)
			}
		}
		haveA, haveB = p[0], p[1]
		each(func(i, j int) { simd.TileMultiply(6+j, 4+i, acc(i, j)) })
	}
	ADDQ(U32(uint32(partsA*down*tileBytes)), atA)
	ADDQ(U32(uint32(partsB*across*tileBytes)), atB)
	DECQ(steps)
	JNZ(LabelRef("step"))

	for i := range down {
		for j := range across {
			simd.TileStore(acc(i, j), c, rowC, 64*j)
		}
		lower(c, rowC)
	}
	Load(Param("aTile"), atA)
	LEAQ(Mem{Base: a, Index: atA, Scale: 4}, a)
	DECQ(count)
	JNZ(LabelRef("block"))
	simd.TileRelease()
	RET()
}

// multiplyAdds writes the loop that measures what the unit can do at best.
func multiplyAdds() {
	TEXT("multiplyAddsAMX", NOSPLIT, "func(shapes *[64]byte, n int)")
	Doc("multiplyAddsAMX runs n rounds of four products of tiles, as shapes has them, that do not wait for one another.")
	Pragma("noescape")
	n := reg.RCX
	Load(Param("shapes"), reg.RAX)
	simd.TileConfig(reg.RAX)
	Load(Param("n"), n)
	Label("loop")
	for acc := range 4 {
		simd.TileMultiply(6+acc%2, 4+acc/2, acc)
	}
	DECQ(n)
	JNZ(LabelRef("loop"))
	simd.TileRelease()
	RET()
}

// order is the pairs of parts to multiply, such that few tiles are loaded twice.
func order(partsA, partsB int) (list [][2]int) {
	for _, p := range [][2]int{{0, 2}, {0, 1}, {0, 0}, {2, 0}, {1, 0}, {1, 1}} {
		if p[0] < partsA && p[1] < partsB {
			list = append(list, p)
		}
	}
	return list
}

// splitter is the constants that splitting takes: half of a bfloat16's last place, and a mask of its bits.
type splitter struct {
	half, high reg.VecPhysical
}

func newSplitter() splitter {
	s := splitter{reg.Z30, reg.Z31}
	r := GP32()
	MOVL(U32(0x8000), r)
	VPBROADCASTD(r, s.half)
	MOVL(U32(0xffff0000), r)
	VPBROADCASTD(r, s.high)
	return s
}

// next takes the next part off x: part is x rounded to bfloat16, as a float32, and x is what is left. The last part is not rounded, so that what is not a
// number stays so.
func (s splitter) next(x, part reg.VecPhysical, last bool) {
	if last {
		VPANDD(s.high, x, part)
		return
	}
	VPADDD(s.half, x, part)
	VPANDD(s.high, part, part)
	VSUBPS(part, x, x)
}

var odd Mem

// oddWords is the numbers of the upper halves of 16, and 16 more, float32s.
func oddWords() Mem {
	if odd.Symbol.Name == "" {
		odd = GLOBL("odd", RODATA|NOPTR)
		for i := range 32 {
			DATA(2*i, U16(uint16(2*i+1)))
		}
	}
	return odd
}

// splitRows writes the kernel that brings rows of A into tiles.
func splitRows(parts int) {
	name := fmt.Sprintf("splitRows%dAMX", parts)
	TEXT(name, NOSPLIT, "func(rows int, dst *float32, dPart int, src *float32, sRow int)")
	Doc(fmt.Sprintf("%s splits rows of 32 float32 into %d bfloat16 each; strides count float32s:", name, parts),
		fmt.Sprintf("\tdst [%d parts, dPart apart][rows][32]bfloat16", parts))
	Pragma("noescape")
	rows, dst, dPart, src, sRow := simd.Arg("rows"), simd.Arg("dst"), simd.Arg("dPart"), simd.Arg("src"), simd.Arg("sRow")
	SHLQ(U8(2), dPart)
	SHLQ(U8(2), sRow)
	s := newSplitter()
	words := reg.Z29
	VMOVDQU16(oddWords(), words)
	Label("row")
	x, y := reg.Z0, reg.Z1
	VMOVUPS(simd.At(src, 0), x)
	VMOVUPS(simd.At(src, 64), y)
	for p := range parts {
		u, v := reg.Z2, reg.Z3
		s.next(x, u, p == parts-1)
		s.next(y, v, p == parts-1)
		VPERMT2W(v, words, u)
		VMOVDQU32(u, []Mem{{Base: dst}, {Base: dst, Index: dPart, Scale: 1}, {Base: dst, Index: dPart, Scale: 2}}[p])
	}
	ADDQ(sRow, src)
	ADDQ(Imm(64), dst)
	DECQ(rows)
	JNZ(LabelRef("row"))
	VZEROUPPER()
	RET()
}

// splitPairs writes the kernel that brings rows of B into tiles.
func splitPairs(parts, across int) {
	name := fmt.Sprintf("splitPairs%dx%dAMX", parts, 16*across)
	TEXT(name, NOSPLIT, "func(dst *float32, src *float32, sRow int)")
	Doc(fmt.Sprintf("%s splits 32 rows of %d float32, sRow apart, into %d bfloat16 each, those of two rows side by side:", name, 16*across, parts),
		fmt.Sprintf("\tdst [%d parts][16][%d columns][2]bfloat16", parts, 16*across))
	Pragma("noescape")
	dst, src, sRow := simd.Arg("dst"), simd.Arg("src"), simd.Arg("sRow")
	SHLQ(U8(2), sRow)
	s := newSplitter()
	n := GP64()
	MOVQ(U64(16), n)
	Label("pair")
	for j := range across {
		x, y := []reg.VecPhysical{reg.Z0, reg.Z4}[j], []reg.VecPhysical{reg.Z1, reg.Z5}[j]
		u, v := []reg.VecPhysical{reg.Z2, reg.Z6}[j], []reg.VecPhysical{reg.Z3, reg.Z7}[j]
		VMOVUPS(simd.At(src, 64*j), x)
		VMOVUPS(Mem{Base: src, Index: sRow, Scale: 1, Disp: 64 * j}, y)
		for p := range parts {
			s.next(x, u, p == parts-1)
			s.next(y, v, p == parts-1)
			VPSRLD(U8(16), u, u)
			VPORD(v, u, u)
			VMOVDQU32(u, simd.At(dst, p*across*tileBytes+64*j))
		}
	}
	LEAQ(Mem{Base: src, Index: sRow, Scale: 2}, src)
	ADDQ(U32(uint32(64*across)), dst)
	DECQ(n)
	JNZ(LabelRef("pair"))
	VZEROUPPER()
	RET()
}
