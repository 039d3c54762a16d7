// Command blocks generates the kernels for weights in blocks: decoding to float32, and products with activations of eight bits.
package main

import (
	. "github.com/mmcloughlin/avo/build"
	. "github.com/mmcloughlin/avo/operand"
	"github.com/mmcloughlin/avo/reg"

	"github.com/gollava/gollava/internal/cpu/_asm/simd"
)

type vec = reg.VecVirtual

func main() {
	simd.Header()
	for _, f := range formats {
		f.decode()
		f.dot()
		f.dots()
	}
	round()
	Generate()
}

// kernel is what a kernel of one format has at hand.
type kernel struct {
	*format
	b       reg.GPVirtual // the block
	held    map[byte]vec  // constants: a byte in all places
	shuffle vec           // Q5: the byte of the word with the fifth bits that a value finds its own in
	bits    vec           // and its bit there
	table   vec           // IQ4_NL
	scales  Mem           // of a K format: float32s on the stack
	minima  vec
}

// fill is a register with v in every byte.
func (k *kernel) fill(v byte) vec { return k.held[v] }

// hold prepares constants outside of the loop.
func (k *kernel) hold(values ...byte) {
	for _, v := range values {
		r := YMM()
		VMOVDQU(every(v), r)
		k.held[v] = r
	}
}

// every is 32 bytes of v.
func every(v byte) Mem {
	name := "byte" + string("0123456789abcdef"[v>>4]) + string("0123456789abcdef"[v&15])
	m, ok := constants[name]
	if !ok {
		m = GLOBL(name, RODATA|NOPTR)
		for i := range 32 {
			DATA(i, U8(v))
		}
		constants[name] = m
	}
	return m
}

var constants = map[string]Mem{}

// bytes32 is a constant of 32 bytes.
func bytes32(name string, f func(i int) byte) Mem {
	m, ok := constants[name]
	if !ok {
		m = GLOBL(name, RODATA|NOPTR)
		for i := range 32 {
			DATA(i, U8(f(i)))
		}
		constants[name] = m
	}
	return m
}

// halfAt is a binary16 number of the block in every lane, as float32.
func (k *kernel) halfAt(at int) vec {
	x, y := XMM(), YMM()
	VPBROADCASTW(Mem{Base: k.b, Disp: at}, x)
	VCVTPH2PS(x, y)
	return y
}

// begin starts a function.
func (f *format) begin(name, signature string, doc ...string) *kernel {
	TEXT(name+f.name+"AVX2", NOSPLIT, "func"+signature)
	Doc(append([]string{name + f.name + "AVX2 computes:", ""}, doc...)...)
	Pragma("noescape")
	k := &kernel{format: f, held: map[byte]vec{}}
	k.hold(f.constants...)
	if f.fifth > 0 {
		k.shuffle, k.bits = YMM(), YMM()
		VMOVDQU(bytes32("fifthByte", func(i int) byte { return byte(i / 8) }), k.shuffle)
		VMOVDQU(bytes32("fifthBit", func(i int) byte { return 1 << (i % 8) }), k.bits)
	}
	if f.table {
		k.table = YMM()
		table := [16]int8{-127, -104, -83, -65, -49, -35, -22, -10, 1, 13, 25, 38, 53, 69, 89, 113}
		VMOVDQU(bytes32("nonLinear", func(i int) byte { return byte(table[i%16]) }), k.table)
	}
	if f.parts > 1 {
		k.scales = AllocLocal(64 * tile)
	}
	return k
}

// tile is the number of vectors that dots multiplies with at once.
const tile = 4

// decode writes the kernel that widens whole blocks.
func (f *format) decode() {
	k := f.begin("decode", "(dst *float32, b *byte, n int)", "\tdst[i] = value i of the n blocks at b, as package blocks decodes it")
	dst, n := simd.Arg("dst"), simd.Arg("n")
	k.b = simd.Arg("b")
	TESTQ(n, n)
	JZ(LabelRef("done"))
	Label("block")
	var scale, minimum vec
	if f.parts == 1 {
		scale = k.halfAt(0)
		if f.minimum {
			minimum = k.halfAt(2)
		}
	} else {
		k.unpackScales(nil, 0)
	}
	for part := range f.parts {
		q := f.codes(k, part)
		if f.parts > 1 && f.six {
			scale = nil // two of them, below
		} else if f.parts > 1 {
			scale = YMM()
			VBROADCASTSS(k.scales.Offset(4*part), scale)
			minimum = YMM()
			VBROADCASTSS(k.scales.Offset(32+4*part), minimum)
		}
		high := XMM()
		VEXTRACTI128(U8(1), q, high)
		for i, x := range []reg.VecVirtual{q, high} {
			low := x.AsX()
			if f.six {
				scale = YMM()
				VBROADCASTSS(k.scales.Offset(4*(2*part+i)), scale)
			}
			for j := range 2 {
				v := YMM()
				if j == 1 {
					up := XMM()
					VPSRLDQ(U8(8), low, up)
					low = up
				}
				VPMOVSXBD(low, v)
				VCVTDQ2PS(v, v)
				VMULPS(scale, v, v)
				if minimum != nil && f.parts == 1 {
					VADDPS(minimum, v, v)
				} else if minimum != nil {
					VSUBPS(minimum, v, v)
				}
				VMOVUPS(v, Mem{Base: dst, Disp: 4 * (32*part + 16*i + 8*j)})
			}
		}
	}
	ADDQ(U32(f.size), k.b)
	ADDQ(U32(128*f.parts), dst)
	DECQ(n)
	JNZ(LabelRef("block"))
	Label("done")
	VZEROUPPER()
	RET()
}

// dot writes the kernel that multiplies rows of blocks with one vector of 8-bit blocks.
func (f *format) dot() {
	k := f.begin("dot", "(n, rows int, w *byte, q *int8, d, s *float32, out *float32)",
		"\tout[j] = Σ over the n·"+itoa(f.parts)+" blocks i of 32 of row j: scale·d[i]·(Σ codes·q) ± minimum·s[i]", "",
		"where the rows of n blocks follow one another at w. The integer sums are exact.")
	rows, out := simd.Arg("rows"), simd.Arg("out")
	k.b = simd.Arg("w")
	ones := YMM()
	VMOVDQU(bytes32("ones", func(i int) byte { return byte(1 - i%2) }), ones)
	TESTQ(rows, rows)
	JZ(LabelRef("done"))
	Label("row")
	q, d, s, left := simd.Arg("q"), simd.Arg("d"), simd.Arg("s"), simd.Arg("n")
	acc, low := YMM(), YMM()
	VXORPS(acc, acc, acc)
	VXORPS(low, low, low)
	TESTQ(left, left)
	JZ(LabelRef("sum"))
	Label("block")
	if f.parts > 1 {
		k.unpackScales(d, 1)
		if f.minimum {
			VFNMADD231PS(simd.At(s, 0), k.minima, low)
		}
	}
	for part := range f.parts {
		c := f.codes(k, part)
		x := YMM()
		VMOVDQU(Mem{Base: q, Disp: 32 * part}, x)
		if f.signed {
			VPSIGNB(c, x, x)
			VPABSB(c, c)
		}
		VPMADDUBSW(x, c, c)
		VPMADDWD(ones, c, c)
		VCVTDQ2PS(c, c)
		scale := YMM()
		switch {
		case f.parts == 1:
			dx := YMM()
			scale = k.halfAt(0)
			VBROADCASTSS(simd.At(d, 0), dx)
			VMULPS(dx, scale, scale)
		case f.six:
			first, second := XMM(), XMM()
			VBROADCASTSS(k.scales.Offset(8*part), first)
			VBROADCASTSS(k.scales.Offset(8*part+4), second)
			VINSERTF128(U8(1), second, first.AsY(), scale)
		default:
			VBROADCASTSS(k.scales.Offset(4*part), scale)
		}
		VFMADD231PS(c, scale, acc)
		if f.parts == 1 && f.minimum {
			m := k.halfAt(2)
			VFMADD231SS(simd.At(s, 0), m.AsX(), low.AsX())
		}
	}
	ADDQ(U32(f.size), k.b)
	ADDQ(U32(32*f.parts), q)
	ADDQ(U32(4*f.parts), d)
	ADDQ(U32(4*f.parts), s)
	DECQ(left)
	JNZ(LabelRef("block"))
	Label("sum")
	VADDPS(low, acc, acc)
	half := XMM()
	VEXTRACTF128(U8(1), acc, half)
	sum := XMM()
	VADDPS(half, acc.AsX(), sum)
	VMOVHLPS(sum, sum, half)
	VADDPS(half, sum, sum)
	VMOVSHDUP(sum, half)
	VADDSS(half, sum, sum)
	VMOVSS(sum, simd.At(out, 0))
	ADDQ(Imm(4), out)
	DECQ(rows)
	JNZ(LabelRef("row"))
	Label("done")
	VZEROUPPER()
	RET()
}

func itoa(n int) string { return string(rune('0' + n)) }
