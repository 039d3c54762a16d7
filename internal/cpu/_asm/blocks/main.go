// Command blocks generates the kernels for weights in blocks: decoding to float32, and panels for products with activations of eight bits.
package main

import (
	. "github.com/mmcloughlin/avo/build"
	. "github.com/mmcloughlin/avo/operand"
	"github.com/mmcloughlin/avo/reg"

	"github.com/gollava/gollava/internal/cpu/_asm/simd"
)

type vec = reg.VecVirtual

// counts are the rows of a panel.
var counts = map[*simd.Width]string{simd.AVX2: "eight", simd.AVX512: "sixteen"}

func main() {
	simd.Header()
	for _, f := range formats {
		f.decode()
		f.packKernel(simd.AVX2)
		f.packKernel(simd.AVX512)
		f.rowKernel()
	}
	for _, c := range classes {
		for _, m := range []int{1, 2, 4} {
			c.multiply(m)
			if c != nibbles { // which those of fives serve too
				c.multiplyVNNI(m)
			}
		}
	}
	round(false)
	round(true)
	Generate()
}

// kernel is what a kernel of one format has at hand.
type kernel struct {
	*format
	width   *simd.Width
	b       reg.GPVirtual // the block
	held    map[byte]vec  // constants: a byte in all places
	shuffle vec           // Q5: the byte of the word with the fifth bits that a value finds its own in
	bits    vec           // and its bit there
	table   vec           // IQ4_NL
	scales  Mem           // of a K format: float32s on the stack
}

// fill is a register with v in every byte.
func (k *kernel) fill(v byte) vec { return k.held[v] }

// hold prepares constants outside of the loop.
func (k *kernel) hold(values ...byte) {
	for _, v := range values {
		k.held[v] = k.constant(every(v))
	}
}

// constant is a register with m in it.
func (k *kernel) constant(m Mem) vec {
	if k.width == simd.AVX2 {
		r := YMM()
		VMOVDQU(m, r)
		return r
	}
	r := ZMM()
	VMOVDQU32(m, r)
	return r
}

// holdFifth prepares what finds the bit of each value: the byte of a word, and its bit there.
func (k *kernel) holdFifth(name string, word, bit func(i int) byte) {
	if k.fifth == 0 {
		return
	}
	k.shuffle, k.bits = k.constant(bytes32(name+"Byte", word)), k.constant(bytes32(name+"Bit", bit))
}

// every is v in every byte.
func every(v byte) Mem {
	return bytes32("byte"+string("0123456789abcdef"[v>>4])+string("0123456789abcdef"[v&15]), func(int) byte { return v })
}

var constants = map[string]Mem{}

// bytes32 is a constant of 32 bytes, twice.
func bytes32(name string, f func(i int) byte) Mem {
	m, ok := constants[name]
	if !ok {
		m = GLOBL(name, RODATA|NOPTR)
		for i := range 64 {
			DATA(i, U8(f(i%32)))
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
func (f *format) begin(name string, width *simd.Width, signature string, doc ...string) *kernel {
	name += f.name + width.Name
	TEXT(name, NOSPLIT, "func"+signature)
	Doc(append([]string{name + " computes:", ""}, doc...)...)
	Pragma("noescape")
	k := &kernel{format: f, width: width, held: map[byte]vec{}}
	k.hold(f.constants...)
	if f.table {
		table := [16]int8{-127, -104, -83, -65, -49, -35, -22, -10, 1, 13, 25, 38, 53, 69, 89, 113}
		k.table = k.constant(bytes32("nonLinear", func(i int) byte { return byte(table[i%16]) }))
	}
	return k
}

// decode writes the kernel that widens whole blocks.
func (f *format) decode() {
	k := f.begin("decode", simd.AVX2, "(dst *float32, b *byte, n int)", "\tdst[i] = value i of the n blocks at b, as package blocks decodes it")
	if f.parts > 1 {
		k.scales = AllocLocal(64)
	}
	k.holdFifth("fifth", func(i int) byte { return byte(i / 8) }, func(i int) byte { return 1 << (i % 8) })
	dst, n := simd.Arg("dst"), simd.Arg("n")
	k.b = simd.Arg("b")
	TESTQ(n, n)
	JZ(LabelRef("done"))
	Label("block")
	var scale, minimum vec
	if f.parts == 1 {
		if f.wide {
			scale = YMM()
			VBROADCASTSS(simd.At(k.b, 0), scale)
		} else {
			scale = k.halfAt(0)
		}
		if f.minimum {
			minimum = k.halfAt(2)
		}
	} else {
		k.unpackScales()
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

func itoa(n int) string { return string(rune('0' + n)) }
