package main

import (
	"fmt"
	"math"

	. "github.com/mmcloughlin/avo/build"
	. "github.com/mmcloughlin/avo/operand"
	"github.com/mmcloughlin/avo/reg"

	"github.com/gollava/gollava/internal/cpu/_asm/simd"
)

// vec is a register of float32s, of the width at hand.
type vec = reg.VecVirtual

// code writes one kernel: a loop over blocks of elements, each a number of registers, and a last block under masks. What it computes is
// written once; load, store and keep know where they are.
type code struct {
	*simd.Width
	args  map[string]reg.GPVirtual
	count reg.GPVirtual // elements from here on
	at    reg.GPVirtual // elements before
	j     int           // register of the block
	tail  bool
	lanes vec               // mask of the last block's register, AVX2
	k     reg.OpmaskVirtual // and AVX-512
	held  map[uint32]vec
}

// kernel begins the kernel name of one width; doc is the Go loop that it equals.
func kernel(w *simd.Width, name, signature string, doc ...string) *code {
	TEXT(name+w.Name, NOSPLIT, "func"+signature)
	Doc(append([]string{name + w.Name + " computes:", ""}, indent(doc)...)...)
	Pragma("noescape")
	return &code{Width: w, args: map[string]reg.GPVirtual{}, held: map[uint32]vec{}}
}

func indent(lines []string) (out []string) {
	for _, l := range lines {
		out = append(out, "\t"+l)
	}
	return out
}

// slices loads the pointers of slices; the first one's length counts.
func (c *code) slices(names ...string) {
	for _, n := range names {
		c.args[n] = Load(Param(n).Base(), GP64()).(reg.GPVirtual)
	}
	c.count = Load(Param(names[0]).Len(), GP64()).(reg.GPVirtual)
}

// scalar is a float32 parameter in every lane.
func (c *code) scalar(name string) vec {
	a, err := Param(name).Resolve()
	if err != nil {
		panic(err)
	}
	v := c.reg()
	VBROADCASTSS(a.Addr, v)
	return v
}

func (c *code) reg() vec {
	if c.Width == simd.AVX2 {
		return YMM()
	}
	return ZMM()
}

// loop runs body for each register of each block of floats elements.
func (c *code) loop(floats int, body func()) {
	n := floats / c.Floats
	c.at = GP64()
	XORQ(c.at, c.at)
	SUBQ(Imm(uint64(floats)), c.count)
	JL(LabelRef("rest"))
	Label("block")
	for c.j = range n {
		body()
	}
	ADDQ(Imm(uint64(floats)), c.at)
	SUBQ(Imm(uint64(floats)), c.count)
	JGE(LabelRef("block"))
	Label("rest")
	ADDQ(Imm(uint64(floats)), c.count)
	JZ(LabelRef("done"))
	c.tail = true
	mask := c.masks(n)
	for c.j = range n {
		mask(c.j)
		body()
		if c.j < n-1 {
			CMPQ(c.count, Imm(uint64((c.j+1)*c.Floats)))
			JLE(LabelRef("done"))
		}
	}
	c.tail = false
	Label("done")
}

// masks returns what prepares the mask of register j of the last block.
func (c *code) masks(n int) func(j int) {
	if c.Width == simd.AVX2 {
		back, table := GP64(), GP64()
		LEAQ(simd.Ones(), table)
		MOVQ(c.count, back)
		NEGQ(back)
		return func(j int) {
			c.lanes = c.reg()
			VMOVUPS(Mem{Base: table, Index: back, Scale: 4, Disp: 4*32 + j*c.Bytes()}, c.lanes)
		}
	}
	bits := GP64()
	one := GP64()
	MOVQ(U64(1), one)
	SHLXQ(c.count, one, bits)
	DECQ(bits)
	return func(j int) {
		k := K()
		KMOVW(bits.As32(), k)
		if j < n-1 {
			SHRQ(U8(c.Floats), bits)
		}
		c.k = k
	}
}

// where is the place of the register at hand in a slice.
func (c *code) where(base reg.Register) Mem {
	return Mem{Base: base, Index: c.at, Scale: 4, Disp: c.j * c.Bytes()}
}

func (c *code) load(name string) vec { return c.loadAt(c.args[name]) }

func (c *code) loadAt(base reg.Register) vec {
	v := c.reg()
	switch {
	case !c.tail:
		VMOVUPS(c.where(base), v)
	case c.Width == simd.AVX2:
		VMASKMOVPS(c.where(base), c.lanes, v)
	default:
		VMOVUPS_Z(c.where(base), c.k, v)
	}
	return v
}

func (c *code) store(v vec, name string) { c.storeAt(v, c.args[name]) }

func (c *code) storeAt(v vec, base reg.Register) {
	switch {
	case !c.tail:
		VMOVUPS(v, c.where(base))
	case c.Width == simd.AVX2:
		VMASKMOVPS(v, c.lanes, c.where(base))
	default:
		VMOVUPS(v, c.k, c.where(base))
	}
}

// keep replaces what lies beyond the end by 0.
func (c *code) keep(v vec) vec {
	if !c.tail {
		return v
	}
	o := c.reg()
	if c.Width == simd.AVX2 {
		VANDPS(v, c.lanes, o)
	} else {
		VMOVAPS_Z(v, c.k, o)
	}
	return o
}

// keepElse replaces what lies beyond the end by other.
func (c *code) keepElse(v, other vec) vec {
	if !c.tail {
		return v
	}
	o := c.reg()
	if c.Width == simd.AVX2 {
		VBLENDVPS(c.lanes, v, other, o)
	} else {
		VBLENDMPS(v, other, c.k, o)
	}
	return o
}

var constants = map[uint32]Mem{}

// word is a constant in every lane, in memory.
func word(bits uint32) Mem {
	if m, ok := constants[bits]; ok {
		return m
	}
	m := GLOBL(fmt.Sprintf("all%08x", bits), RODATA|NOPTR)
	for i := range 16 {
		DATA(4*i, U32(bits))
	}
	constants[bits] = m
	return m
}

// num is a number in every lane, in memory.
func num(x float64) Mem { return word(math.Float32bits(float32(x))) }

// hold loads a number into a register before the loop; held returns it.
func (c *code) hold(xs ...float64) {
	for _, x := range xs {
		v := c.reg()
		VMOVUPS(num(x), v)
		c.held[math.Float32bits(float32(x))] = v
	}
}

// number is x in a register: one held, or loaded anew.
func (c *code) number(x float64) vec {
	if v, ok := c.held[math.Float32bits(float32(x))]; ok {
		return v
	}
	return c.set(x)
}

// set is x in a fresh register.
func (c *code) set(x float64) vec {
	v := c.reg()
	VMOVUPS(num(x), v)
	return v
}

// The operands of arithmetic: a in a register, b in a register or in memory.

func (c *code) add(a vec, b Op) vec { o := c.reg(); VADDPS(b, a, o); return o }
func (c *code) sub(a vec, b Op) vec { o := c.reg(); VSUBPS(b, a, o); return o }
func (c *code) mul(a vec, b Op) vec { o := c.reg(); VMULPS(b, a, o); return o }
func (c *code) div(a vec, b Op) vec { o := c.reg(); VDIVPS(b, a, o); return o }
func (c *code) sqrt(a Op) vec       { o := c.reg(); VSQRTPS(a, o); return o }

// fma is a·b + d in d's register.
func (c *code) fma(a vec, b Op, d vec) vec { VFMADD231PS(b, a, d); return d }

// fnma is d − a·b in d's register.
func (c *code) fnma(a vec, b Op, d vec) vec { VFNMADD231PS(b, a, d); return d }

// horner is (…(k₀·x + k₁)·x + …).
func (c *code) horner(x vec, ks ...float64) vec {
	p := c.set(ks[0])
	for _, k := range ks[1:] {
		VFMADD213PS(num(k), x, p)
	}
	return p
}

// Predicates of comparisons.
const (
	equal     = 0
	less      = 1
	unordered = 3
	notLess   = 5 // or unordered
)

// choose is, lane by lane, yes where (a predicate b), else no.
func (c *code) choose(a vec, predicate uint8, b Op, yes, no vec) vec {
	o := c.reg()
	if c.Width == simd.AVX2 {
		VCMPPS(U8(predicate), b, a, o)
		VBLENDVPS(o, yes, no, o)
	} else {
		k := K()
		VCMPPS(U8(predicate), b, a, k)
		VBLENDMPS(yes, no, k, o)
	}
	return o
}

func (c *code) copyOf(a vec) vec { o := c.reg(); VMOVAPS(a, o); return o }

// and, or: bitwise.
func (c *code) and(a vec, b Op) vec { o := c.reg(); VANDPS(b, a, o); return o }

// sums returns a cleared register for each register of a block.
func (c *code) sums(floats int) []vec {
	var out []vec
	for range floats / c.Floats {
		v := c.reg()
		VXORPS(v, v, v)
		out = append(out, v)
	}
	return out
}

// fold combines the accumulators of 32 elements into one number, in the same order at every width, in lane 0 of the result.
func (c *code) fold(acc []vec, op func(b, a, o Op)) reg.VecVirtual {
	for len(acc) > 1 {
		h := len(acc) / 2
		for i := range h {
			op(acc[h+i], acc[i], acc[i])
		}
		acc = acc[:h]
	}
	y := acc[0].AsY()
	if c.Width == simd.AVX512 {
		h := YMM()
		VEXTRACTF32X8(U8(1), acc[0], h)
		op(h, y, y)
	}
	x, h := acc[0].AsX(), XMM()
	VEXTRACTF128(U8(1), y, h)
	op(h, x, x)
	VPERMILPS(U8(0x4e), x, h)
	op(h, x, x)
	VPERMILPS(U8(0xb1), x, h)
	op(h, x, x)
	return acc[0]
}

// result stores lane 0 of v as result i.
func result(i int, v reg.VecVirtual) {
	r, err := ReturnIndex(i).Resolve()
	if err != nil {
		panic(err)
	}
	VMOVSS(v.AsX(), r.Addr)
}

func end() {
	VZEROUPPER()
	RET()
}
