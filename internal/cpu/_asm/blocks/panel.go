package main

import (
	. "github.com/mmcloughlin/avo/build"
	. "github.com/mmcloughlin/avo/operand"
	"github.com/mmcloughlin/avo/reg"

	"github.com/gollava/gollava/internal/cpu/_asm/simd"
)

// A panel is R rows of weights, eight with AVX2 and sixteen with AVX-512, unpacked for products with rows of rounded
// activations. For every 32 values of a row it holds
//
//	codes  [8][R][4] bytes: the group of four values g, of row r, value 4·g+i
//	scales [1 or 2][R] float32: those of the rows, and then their minima, or, of Q6_K, those of the first and of the
//	       second 16 values
//
// so that the lanes of a register are rows, and every sum over codes stays in its lane. With AVX-512, codes that may be
// negative are stored with 128 added, since VPDPBUSD takes them without sign.

// class is how codes of some formats are multiplied and added up.
type class struct {
	digits string // in the kernels' names
	signed bool   // codes may be negative
	groups int    // of four values, whose sum of pairs fits in 16 bits
	halves bool   // a scale for every 16 values
}

var (
	nibbles = &class{digits: "4", groups: 8}                             // 0 to 15
	fives   = &class{digits: "5", groups: 4}                             // 0 to 31
	sixes   = &class{digits: "6", groups: 4, signed: true, halves: true} // −32 to 31
	bytes   = &class{digits: "8", groups: 1, signed: true}               // −128 to 127
)

var classes = []*class{nibbles, fives, sixes, bytes}

// scales is the number of scales and minima of 32 values of a row.
func (c *class) scales() int {
	if c.signed && !c.halves {
		return 1
	}
	return 2
}

// rows are as many rows of blocks as a register has float32s.
type rows struct {
	first         []reg.Register // addresses of rows 0, 4, …
	stride, three reg.Register   // bytes from row to row, once and three times
}

// rowsAt are rows of which the first begins at an address, and are stride bytes apart.
func rowsAt(width *simd.Width, first, stride reg.Register) rows {
	w := rows{[]reg.Register{first}, stride, GP64()}
	LEAQ(Mem{Base: stride, Index: stride, Scale: 2}, w.three)
	for len(w.first) < width.Floats/4 {
		x := GP64()
		LEAQ(Mem{Base: w.first[len(w.first)-1], Index: stride, Scale: 4}, x)
		w.first = append(w.first, x)
	}
	return w
}

// next goes to the blocks after those at hand.
func (w *rows) next(size int) {
	for _, x := range w.first {
		ADDQ(U32(size), x)
	}
}

// register is a fresh register for something of each row.
func (w *rows) register() vec {
	if len(w.first) == 4 {
		return ZMM()
	}
	return YMM()
}

// at is byte disp of row r's block.
func (w *rows) at(r, disp int) Mem {
	m := Mem{Base: w.first[r/4], Disp: disp}
	switch r % 4 {
	case 1:
		m.Index, m.Scale = w.stride, 1
	case 2:
		m.Index, m.Scale = w.stride, 2
	case 3:
		m.Index, m.Scale = w.three, 1
	}
	return m
}

// load reads 16 bytes of each row's block: register i has those of rows i, 4+i, ….
func (w *rows) load(disp int) (x [4]vec) {
	for i := range x {
		x[i] = w.register()
		if len(w.first) == 2 {
			VBROADCASTI128(w.at(i, disp), x[i]) // all of the register, or avo keeps its upper half
			VINSERTI128(U8(1), w.at(4+i, disp), x[i], x[i])
			continue
		}
		VBROADCASTI32X4(w.at(i, disp), x[i])
		for lane := 1; lane < 4; lane++ {
			VINSERTI32X4(U8(lane), w.at(4*lane+i, disp), x[i], x[i])
		}
	}
	return x
}

// words are 16 bytes of each row's block as four words: register i has word i of each row.
func (w *rows) words(disp int) (x [4]vec) {
	v := w.load(disp)
	low, high := [2]vec{w.register(), w.register()}, [2]vec{w.register(), w.register()}
	for i := range 2 {
		VPUNPCKLDQ(v[2*i+1], v[2*i], low[i])
		VPUNPCKHDQ(v[2*i+1], v[2*i], high[i])
	}
	for i, pair := range [][2]vec{low, high} {
		x[2*i], x[2*i+1] = w.register(), w.register()
		VPUNPCKLQDQ(pair[1], pair[0], x[2*i])
		VPUNPCKHQDQ(pair[1], pair[0], x[2*i+1])
	}
	return x
}

// word is word i of [rows.words].
func (w *rows) word(disp, i int) vec {
	v, x := w.load(disp), w.register()
	for j := range 2 {
		if i < 2 {
			VPUNPCKLDQ(v[2*j+1], v[2*j], v[2*j])
		} else {
			VPUNPCKHDQ(v[2*j+1], v[2*j], v[2*j])
		}
	}
	if i%2 == 0 {
		VPUNPCKLQDQ(v[2], v[0], x)
	} else {
		VPUNPCKHQDQ(v[2], v[0], x)
	}
	return x
}

// halves are the binary16 numbers at a place of each row's block, as float32. Row r's is read as word r of 16 bytes, so
// that none before row 0 or after row 7 is.
func (w *rows) halves(disp int) vec {
	eight := func(first int) vec {
		x := YMM()
		VMOVDQU(w.at(first, disp), x.AsX())
		for r := 1; r < 8; r++ {
			VPBLENDW(U8(1<<r), w.at(first+r, disp-2*r), x.AsX(), x.AsX())
		}
		return x
	}
	x, y := eight(0), w.register()
	if len(w.first) == 4 {
		VINSERTI128(U8(1), eight(8).AsX(), x, x)
		VCVTPH2PS(x, y)
	} else {
		VCVTPH2PS(x.AsX(), y)
	}
	return y
}

// like is a fresh register of the size of x.
func like(x vec) vec {
	if x.Size() == 64 {
		return ZMM()
	}
	return YMM()
}

// and, or and xor write x AND y, and so on, to z.
func and(x Op, y, z vec) { pick(z, VPAND, VPANDD)(x, y, z) }
func or(x Op, y, z vec)  { pick(z, VPOR, VPORD)(x, y, z) }
func xor(x Op, y, z vec) { pick(z, VPXOR, VPXORD)(x, y, z) }

// pick is the instruction of the size of x.
func pick(x vec, narrow func(x, y, z Op), wide func(ops ...Op)) func(x, y, z Op) {
	if x.Size() == 64 {
		return func(x, y, z Op) { wide(x, y, z) }
	}
	return narrow
}

// half is a binary16 number in the low or high half of each word of x, as float32.
func half(x vec, high bool) vec {
	y := like(x)
	if x.Size() == 64 {
		if high {
			VPSRLD(U8(16), x, y)
			x = y
		}
		narrow := YMM()
		VPMOVDW(x, narrow)
		VCVTPH2PS(narrow, y)
		return y
	}
	if high {
		VPSRLD(U8(16), x, y)
	} else {
		VPSLLD(U8(16), x, y)
		VPSRLD(U8(16), y, y)
	}
	VPACKUSDW(y, y, y)
	VPERMQ(U8(0b1000), y, y)
	VCVTPH2PS(y.AsX(), y)
	return y
}

// byteOf is byte i of each word of x as float32, signed or not.
func byteOf(x vec, i int, signed bool) vec {
	y := like(x)
	from := x
	if i < 3 {
		VPSLLD(U8(24-8*i), from, y)
		from = y
	}
	if signed {
		VPSRAD(U8(24), from, y)
	} else {
		VPSRLD(U8(24), from, y)
	}
	VCVTDQ2PS(y, y)
	return y
}

// packing is what a pack kernel has at hand.
type packing struct {
	*kernel
	rows          rows
	codes, scales reg.Register
}

// put stores group g of a part's codes.
func (p *packing) put(x vec, part, g int) {
	to := simd.At(p.codes, (8*part+g)*p.width.Bytes())
	if p.width == simd.AVX2 {
		VMOVDQU(x, to)
		return
	}
	if p.class.signed {
		xor(p.fill(128), x, x)
	}
	VMOVDQU32(x, to)
}

// scale stores the scales (0), or minima or second scales (1), of a part.
func (p *packing) scale(x vec, part, which int) {
	VMOVUPS(x, simd.At(p.scales, (p.class.scales()*part+which)*p.width.Bytes()))
}

// low and high are the lower and upper halves of bytes.
func (p *packing) low(x vec) vec {
	y := like(x)
	and(p.fill(15), x, y)
	return y
}

func (p *packing) high(x vec) vec {
	y := like(x)
	VPSRLW(U8(4), x, y)
	and(p.fill(15), y, y)
	return y
}

// bits are the bits mask of the bytes of x, shifted left or, if negative, right.
func (p *packing) bitsOf(x vec, left int, mask byte) vec {
	y := like(x)
	switch {
	case left > 0:
		VPSLLW(U8(left), x, y)
		x = y
	case left < 0:
		VPSRLW(U8(-left), x, y)
		x = y
	}
	and(p.fill(mask), x, y)
	return y
}

// nibblesAt stores the codes in 16 bytes at a place of the block, the lower halves first. change is made on each
// register of them, the group of which it is told.
func (p *packing) nibblesAt(disp int, change func(x vec, g int)) {
	for g, x := range p.rows.words(disp) {
		for i, y := range []vec{p.low(x), p.high(x)} {
			if change != nil {
				change(y, 4*i+g)
			}
			p.put(y, 0, 4*i+g)
		}
	}
}

// fifth adds to codes of group g the bits of words x.
func (p *packing) fifth(x vec) func(codes vec, g int) {
	return func(codes vec, g int) {
		y := like(x)
		if g == 0 {
			VPSHUFB(p.shuffle, x, y)
		} else {
			VPSRLD(U8(4*g), x, y)
			VPSHUFB(p.shuffle, y, y)
		}
		if p.width == simd.AVX2 {
			VPAND(p.bits, y, y)
			VPCMPEQB(p.bits, y, y)
			VPAND(p.fill(16), y, y)
		} else {
			set := K()
			VPTESTMB(p.bits, y, set)
			VMOVDQU8_Z(p.fill(16), set, y)
		}
		or(y, codes, codes)
	}
}

// centred stores scales of a format whose values are scale·(code − middle).
func (p *packing) centred(scale vec, middle uint32) {
	p.scale(scale, 0, 0)
	VMULPS(words32(map[uint32]string{8: "minus8", 16: "minus16"}[middle], []uint32{map[uint32]uint32{8: 0xc1000000, 16: 0xc1800000}[middle]}), scale, scale)
	p.scale(scale, 0, 1)
}

// affine stores scales and minima that are the halves of words x.
func (p *packing) affine(x vec) {
	p.scale(half(x, false), 0, 0)
	p.scale(half(x, true), 0, 1)
}

// scalesOfK stores the scales and minima of Q4_K and Q5_K.
func (p *packing) scalesOfK() {
	x := p.rows.words(0)
	d, m := half(x[0], false), half(x[0], true)
	VXORPS(words32("sign", []uint32{1 << 31}), m, m)
	store := func(low, high, nibbles, by vec, which int) {
		six := like(low)
		and(words32("byte3f", []uint32{0x3f3f3f3f}), low, six)
		upper := like(low)
		VPSRLD(U8(2), high, upper)
		and(words32("byte30", []uint32{0x30303030}), upper, upper)
		or(nibbles, upper, upper)
		for part := range 8 {
			y := byteOf([]vec{six, upper}[part/4], part%4, false)
			VMULPS(by, y, y)
			p.scale(y, part, which)
		}
	}
	store(x[1], x[1], p.low(x[3]), d, 0)
	store(x[2], x[2], p.high(x[3]), m, 1)
}

// packQ4K stores the codes of Q4_K, or those of Q5_K, whose fifth bits are at byte 16.
func (p *packing) packK(codes int, five bool) {
	p.scalesOfK()
	for h := range 2 {
		var bits [4]vec
		if five {
			bits = p.rows.words(16 + 16*h)
		}
		for j := range 4 {
			for g, x := range p.rows.words(codes + 32*j + 16*h) {
				for i, y := range []vec{p.low(x), p.high(x)} {
					if five {
						or(p.bitsOf(bits[g], 4-2*j-i, 16), y, y)
					}
					p.put(y, 2*j+i, 4*h+g)
				}
			}
		}
	}
}

// packSix stores Q6_K.
func (p *packing) packSix() {
	d := half(p.rows.word(194, 3), true)
	for i, x := range p.rows.words(192) {
		for j := range 4 {
			y := byteOf(x, j, true)
			VMULPS(d, y, y)
			p.scale(y, 2*i+j/2, j%2)
		}
	}
	for n := range 2 {
		for h := range 2 {
			upper := p.rows.words(128 + 32*n + 16*h)
			for j := range 2 {
				for g, x := range p.rows.words(64*n + 32*j + 16*h) {
					for i, y := range []vec{p.low(x), p.high(x)} {
						part := j + 2*i
						or(p.bitsOf(upper[g], 4-2*part, 0x30), y, y)
						VPSUBB(p.fill(32), y, y)
						p.put(y, 4*n+part, 4*h+g)
					}
				}
			}
		}
	}
}

// pack writes the kernel that unpacks rows of blocks.
func (f *format) packKernel(width *simd.Width) {
	what := []string{"\tcodes, scales = the panel of n blocks of each of " + counts[width] + " rows, which begin stride bytes apart at w"}
	if width == simd.AVX2 {
		what = append(what, "", "and prefetches as many bytes of each row, ahead bytes further.")
	}
	k := f.begin("pack", width, "(n, stride int, w *byte, codes *int8, scales *float32, ahead int)", what...)
	if width == simd.AVX512 && f.class.signed {
		k.hold(128)
	}
	p := &packing{kernel: k, codes: simd.Arg("codes"), scales: simd.Arg("scales")}
	p.holdFifth("group", func(i int) byte { return byte(i / 4 * 4 % 16) }, func(i int) byte { return 1 << (i % 4) })
	n, stride := simd.Arg("n"), simd.Arg("stride")
	p.rows = rowsAt(width, simd.Arg("w"), stride)
	ahead := rows{stride: stride, three: p.rows.three}
	if width == simd.AVX2 {
		distance := simd.Arg("ahead")
		for _, x := range p.rows.first {
			y := GP64()
			LEAQ(Mem{Base: x, Index: distance, Scale: 1}, y)
			ahead.first = append(ahead.first, y)
		}
	}
	TESTQ(n, n)
	JZ(LabelRef("done"))
	Label("block")
	for r := range 4 * len(ahead.first) {
		for line := 0; line < f.size; line += 64 {
			PREFETCHT0(ahead.at(r, line))
		}
	}
	f.pack(p)
	p.rows.next(f.size)
	ahead.next(f.size)
	ADDQ(U32(8*width.Bytes()*f.parts), p.codes)
	ADDQ(U32(f.class.scales()*width.Bytes()*f.parts), p.scales)
	DECQ(n)
	JNZ(LabelRef("block"))
	Label("done")
	VZEROUPPER()
	RET()
}

// multiply writes the kernel that multiplies a panel with m rows of activations.
func (c *class) multiply(m int) {
	name := "panel" + c.digits + "x" + itoa(m) + "AVX2"
	TEXT(name, NOSPLIT, "func(n int, codes *int8, scales *float32, q *int8, d, s *float32, k int, c *float32, step, more int, next uintptr)")
	sums := "scale·d[r][i]·(Σ codes·q[r])"
	if !c.signed {
		sums += " + minimum·s[r][i]"
	}
	Doc(name+" multiplies a panel with rows of rounded activations, and adds to c if more is not 0:", "",
		"\tc[step·r+j] = Σ over the n blocks i of 32 of row j: "+sums, "",
		"for "+itoa(m)+" rows r, of which q has k and d and s have k/32 elements. The integer sums are exact, the others go",
		"block by block.")
	Pragma("noescape")
	n, codes, scales, q, d := simd.Arg("n"), simd.Arg("codes"), simd.Arg("scales"), simd.Arg("q"), simd.Arg("d")
	var s, k, k3, floats, floats3 reg.Register
	if !c.signed {
		s = simd.Arg("s")
	}
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
	row := func(base, step, three reg.Register, r, disp int) Mem {
		switch r {
		case 1:
			return Mem{Base: base, Index: step, Scale: 1, Disp: disp}
		case 2:
			return Mem{Base: base, Index: step, Scale: 2, Disp: disp}
		case 3:
			return Mem{Base: base, Index: three, Scale: 1, Disp: disp}
		}
		return Mem{Base: base, Disp: disp}
	}
	ones := YMM()
	VMOVDQU(bytes32("ones", func(i int) byte { return byte(1 - i%2) }), ones)
	acc := make([]vec, m)
	for r := range m {
		acc[r] = YMM()
		VXORPS(acc[r], acc[r], acc[r])
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
		return func(r int) Mem { return row(c, step, step3, r, 0) }
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
	short, long := make([]vec, m), make([]vec, m)
	finish := func(which int) {
		for r := range m {
			x := YMM()
			VCVTDQ2PS(long[r], long[r])
			VBROADCASTSS(row(d, floats, floats3, r, 0), x)
			VMULPS(simd.At(scales, 32*which), x, x)
			if !c.signed {
				y := YMM()
				VBROADCASTSS(row(s, floats, floats3, r, 0), y)
				VFMADD231PS(simd.At(scales, 32), y, acc[r])
			}
			VFMADD231PS(long[r], x, acc[r])
		}
	}
	for g := range 8 {
		w := YMM()
		VMOVDQU(simd.At(codes, 32*g), w)
		magnitude := w
		if c.signed {
			magnitude = YMM()
			VPABSB(w, magnitude)
		}
		for r := range m {
			x := YMM()
			VPBROADCASTD(row(q, k, k3, r, 4*g), x)
			if c.signed {
				VPSIGNB(w, x, x)
			}
			VPMADDUBSW(x, magnitude, x)
			if g%c.groups == 0 {
				short[r] = x
			} else {
				VPADDW(x, short[r], short[r])
			}
			if (g+1)%c.groups > 0 {
				continue
			}
			VPMADDWD(ones, short[r], short[r])
			if first := g < c.groups || c.halves; first {
				long[r] = short[r]
			} else {
				VPADDD(short[r], long[r], long[r])
			}
		}
		if c.halves && g == 3 {
			finish(0)
		}
	}
	if c.halves {
		finish(1)
	} else {
		finish(0)
	}
	ADDQ(U32(256), codes)
	ADDQ(U32(32*c.scales()), scales)
	ADDQ(U32(32), q)
	ADDQ(U32(4), d)
	if !c.signed {
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

func packQ8_0(p *packing) { p.packBytes(2, p.rows.halves(0)) }

func packInt8(p *packing) { p.packBytes(4, p.rows.word(0, 0)) }

// packBytes stores scales, and codes of eight bits that begin at a place of the block.
func (p *packing) packBytes(disp int, scale vec) {
	p.scale(scale, 0, 0)
	for h := range 2 {
		for g, x := range p.rows.words(disp + 16*h) {
			p.put(x, 0, 4*h+g)
		}
	}
}

func packTable(p *packing) {
	p.scale(p.rows.halves(0), 0, 0)
	p.nibblesAt(2, func(x vec, _ int) { VPSHUFB(x, p.table, x) })
}

func packQ4_0(p *packing) {
	p.centred(p.rows.halves(0), 8)
	p.nibblesAt(2, nil)
}

func packQ4_1(p *packing) {
	p.affine(p.rows.word(0, 0))
	p.nibblesAt(4, nil)
}

func packQ5_0(p *packing) {
	p.centred(p.rows.halves(0), 16)
	p.nibblesAt(6, p.fifth(p.rows.word(2, 0)))
}

func packQ5_1(p *packing) {
	p.affine(p.rows.word(0, 0))
	p.nibblesAt(8, p.fifth(p.rows.word(4, 0)))
}

func packQ4K(p *packing) { p.packK(16, false) }
func packQ5K(p *packing) { p.packK(48, true) }
