package main

import (
	. "github.com/mmcloughlin/avo/build"
	. "github.com/mmcloughlin/avo/operand"
	"github.com/mmcloughlin/avo/reg"

	"github.com/gollava/gollava/internal/cpu/_asm/simd"
)

// ahead is the number of bytes that a row kernel reads in advance of every row.
const ahead = 512

// rowing is what a row kernel has at hand: eight rows of weights and one of activations.
type rowing struct {
	*packing
	q, d, s reg.Register // the activations of the block
	ones    vec          // 16-bit
	acc     vec          // a sum for each row
}

// rowKernel writes the kernel that multiplies eight rows of blocks with one row of rounded activations. Codes are not
// moved to the lanes of their rows, as in a panel: the sums of a block's products are.
func (f *format) rowKernel() {
	if f.row == nil {
		return
	}
	k := f.begin("row", simd.AVX2, "(n, stride int, w *byte, q *int8, d, s, c *float32)",
		"\tc[j] = the product of row j with a row of rounded activations", "",
		"for eight rows of n blocks, which begin stride bytes apart at w. It has the bits of pack and panel.")
	p := &rowing{packing: &packing{kernel: k}, ones: YMM(), acc: YMM()}
	VMOVDQU(bytes32("ones", func(i int) byte { return byte(1 - i%2) }), p.ones)
	VXORPS(p.acc, p.acc, p.acc)
	if f.parts > 1 {
		local := AllocLocal(64 * f.parts)
		scales := GP64()
		LEAQ(local, scales)
		p.packing.scales = scales
	}
	n, stride := simd.Arg("n"), simd.Arg("stride")
	p.rows = rowsAt(simd.AVX2, simd.Arg("w"), stride)
	p.q, p.d = simd.Arg("q"), simd.Arg("d")
	if !f.class.signed {
		p.s = simd.Arg("s")
	}
	TESTQ(n, n)
	JZ(LabelRef("done"))
	Label("block")
	f.row(p)
	p.rows.next(f.size)
	ADDQ(U32(32*f.parts), p.q)
	ADDQ(U32(4*f.parts), p.d)
	if !f.class.signed {
		ADDQ(U32(4*f.parts), p.s)
	}
	DECQ(n)
	JNZ(LabelRef("block"))
	Label("done")
	VMOVUPS(p.acc, Mem{Base: simd.Arg("c")})
	VZEROUPPER()
	RET()
}

// prefetch reads the bytes of all rows at a place of the block in advance.
func (p *rowing) prefetch(disp int) {
	for r := range 8 {
		PREFETCHT0(p.rows.at(r, disp+ahead))
	}
}

// sixteen is 16 activations from the block's i-th on, in both halves of a register.
func (p *rowing) sixteen(i int) vec {
	x := YMM()
	VBROADCASTI128(simd.At(p.q, i), x)
	return x
}

// add adds a part's sums of products, of which lane j is row j's, with their scales and minima or nil.
func (p *rowing) add(sums vec, part int, scale, minimum Op) {
	VCVTDQ2PS(sums, sums)
	x := YMM()
	VBROADCASTSS(simd.At(p.d, 4*part), x)
	VMULPS(scale, x, x)
	if minimum != nil {
		y := YMM()
		VBROADCASTSS(simd.At(p.s, 4*part), y)
		VFMADD231PS(minimum, y, p.acc)
	}
	VFMADD231PS(sums, x, p.acc)
}

// words16 adds up what four registers hold of their rows, the low half of rows 0 to 3 and the high half of rows 4 to 7,
// eight 16-bit sums each.
func (p *rowing) words16(x [4]vec) vec {
	VPHADDW(x[1], x[0], x[0])
	VPHADDW(x[3], x[2], x[2])
	VPHADDW(x[2], x[0], x[0])
	VPMADDWD(p.ones, x[0], x[0])
	return x[0]
}

// rowNibbles multiplies codes in the halves of 16 bytes.
func (p *rowing) rowNibbles(disp int, scale, minimum vec) {
	p.prefetch(0)
	low, high := p.sixteen(0), p.sixteen(16)
	x := p.rows.load(disp)
	for i, v := range x {
		h := p.high(v)
		VPAND(p.fill(15), v, v)
		VPMADDUBSW(low, v, v)
		VPMADDUBSW(high, h, h)
		VPADDW(h, v, x[i])
	}
	p.add(p.words16(x), 0, scale, minimum)
}

func rowQ4_0(p *rowing) {
	scale, minimum := p.rows.halves(0), YMM()
	VMULPS(words32("minus8", []uint32{0xc1000000}), scale, minimum)
	p.rowNibbles(2, scale, minimum)
}

func rowQ4_1(p *rowing) {
	x := p.rows.word(0, 0)
	p.rowNibbles(4, half(x, false), half(x, true))
}

func rowQ8_0(p *rowing) {
	sums := p.rowBytes(2)
	p.add(sums, 0, p.rows.halves(0), nil)
}

func rowInt8(p *rowing) {
	sums := p.rowBytes(4)
	p.add(sums, 0, p.rows.word(0, 0), nil)
}

// rowBytes multiplies codes of eight bits, which begin at a place of the block.
func (p *rowing) rowBytes(disp int) vec {
	p.prefetch(0)
	q := YMM()
	VMOVDQU(simd.At(p.q, 0), q)
	var x [8]vec
	for r := range x {
		x[r] = YMM()
		magnitude := YMM()
		VMOVDQU(p.rows.at(r, disp), x[r])
		VPABSB(x[r], magnitude)
		VPSIGNB(x[r], q, x[r])
		VPMADDUBSW(x[r], magnitude, x[r])
		VPMADDWD(p.ones, x[r], x[r])
		if r%2 == 1 {
			VPHADDD(x[r], x[r-1], x[r-1])
		}
		if r%4 == 3 {
			VPHADDD(x[r-1], x[r-3], x[r-3])
		}
	}
	high := YMM()
	VPERM2I128(U8(0x31), x[4], x[0], high)
	VPERM2I128(U8(0x20), x[4], x[0], x[0])
	VPADDD(high, x[0], x[0])
	return x[0]
}

// rowQ4K multiplies the eight parts of a block of Q4_K.
func rowQ4K(p *rowing) {
	p.scalesOfK()
	for j := range 4 {
		p.prefetch(32 * j)
		var low, high [4]vec
		q := [4]vec{p.sixteen(64 * j), p.sixteen(64*j + 16), p.sixteen(64*j + 32), p.sixteen(64*j + 48)}
		for i := range low {
			for h := range 2 {
				v := YMM()
				VBROADCASTI128(p.rows.at(i, 16+32*j+16*h), v)
				VINSERTI128(U8(1), p.rows.at(4+i, 16+32*j+16*h), v, v)
				up := p.high(v)
				VPAND(p.fill(15), v, v)
				VPMADDUBSW(q[h], v, v)
				VPMADDUBSW(q[2+h], up, up)
				if h == 0 {
					low[i], high[i] = v, up
				} else {
					VPADDW(v, low[i], low[i])
					VPADDW(up, high[i], high[i])
				}
			}
			if i%2 == 1 {
				VPHADDW(low[i], low[i-1], low[i-1])
				VPHADDW(high[i], high[i-1], high[i-1])
			}
		}
		for i, x := range [][4]vec{low, high} {
			VPHADDW(x[2], x[0], x[0])
			VPMADDWD(p.ones, x[0], x[0])
			part := 2*j + i
			p.add(x[0], part, simd.At(p.packing.scales, 64*part), simd.At(p.packing.scales, 64*part+32))
		}
	}
}
