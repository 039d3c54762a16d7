package main

import (
	"fmt"
	"math"
	"strings"
)

// vec is a vector register of four float32 before it has a number.
type vec struct {
	number  v
	pinned  bool // for the whole function
	last    int  // index of the last instruction that has it
	started bool
}

// instruction is one of a straight piece of code: its registers, the one that it writes first, and how it is written.
type instruction struct {
	regs  []*vec
	write func()
}

// code writes one kernel of slices: a loop over blocks of registers, one over registers and one over what is left,
// element by element in the lowest lane. What it computes is written once; load, store and keep know where they are.
type code struct {
	*function
	args  map[string]x
	order []string // of args
	size  map[string]int
	count x // elements from here on
	j     int
	tail  bool
	piece []instruction
	inUse [32]bool
	held  map[uint32]*vec
	base  x   // of the constants, or 0 if there is none
	start int // of the function's instructions in the text
}

// kernel begins the kernel name; doc is the Go loop that it equals.
func (f *file) kernel(name, signature string, doc ...string) *code {
	lines := []string{"computes:", ""}
	for _, l := range doc {
		lines = append(lines, "\t"+l)
	}
	c := &code{function: f.begin(name+"NEON", signature, 0, lines...), args: map[string]x{}, size: map[string]int{},
		held: map[uint32]*vec{}}
	c.start = f.text.Len()
	return c
}

// slices loads the pointers of slices; the first one's length counts.
func (c *code) slices(names ...string) {
	for _, n := range names {
		c.pointer(n, c.arg(n), 4)
	}
	c.count = c.arg(names[0] + ".len")
}

// pointer makes r the place of the slice called name, whose elements have size bytes.
func (c *code) pointer(name string, r x, size int) {
	c.args[name], c.size[name] = r, size
	c.order = append(c.order, name)
}

// pin is a register of its own.
func (c *code) pin() *vec {
	r := &vec{pinned: true, started: true}
	c.take(r)
	return r
}

func (c *code) take(r *vec) {
	for n := range c.inUse {
		if !c.inUse[n] {
			c.inUse[n], r.number = true, v(n)
			return
		}
	}
	panic(c.name + " needs more registers")
}

// scalar is a float32 parameter in every lane.
func (c *code) scalar(name string) *vec {
	p, r := c.params[name], c.pin()
	c.do("FMOVS %s+%d(FP), F%d", p.name, p.offset, r.number)
	c.dupLane(r.number, r.number)
	return r
}

// sums are n registers of zeros.
func (c *code) sums(n int) (out []*vec) {
	for range n {
		r := c.pin()
		c.clear(r.number)
		out = append(out, r)
	}
	return out
}

// hold keeps constants in registers for the whole function.
func (c *code) hold(xs ...float64) {
	for _, x := range xs {
		bits := math.Float32bits(float32(x))
		if c.held[bits] == nil {
			r := c.pin()
			c.constant(r.number, bits)
			c.held[bits] = r
		}
	}
}

func (c *code) constant(d v, bits uint32) {
	if c.base == 0 {
		c.base = c.new()
	}
	c.ldrQ(d, c.base, 16*c.file.constant(bits))
}

// ret ends the function, and has it begin with the address of the constants if it needs any.
func (c *code) ret() {
	c.function.ret()
	if c.base != 0 {
		rest := string(c.text.Bytes()[c.start:])
		c.text.Truncate(c.start)
		c.do("MOVD $neonConstants<>(SB), %v", c.base)
		c.text.WriteString(rest)
	}
}

// constant is the place of a constant in the table of all.
func (f *file) constant(bits uint32) int {
	for i, b := range f.constants {
		if b == bits {
			return i
		}
	}
	f.constants = append(f.constants, bits)
	return len(f.constants) - 1
}

// emit adds an instruction to the piece; regs[0] is written.
func (c *code) emit(write func(), regs ...*vec) *vec {
	c.piece = append(c.piece, instruction{regs, write})
	return regs[0]
}

// flush gives the registers of the piece numbers and writes it.
func (c *code) flush() {
	for i, in := range c.piece {
		for _, r := range in.regs {
			r.last = i
		}
	}
	for i, in := range c.piece {
		for _, r := range in.regs[1:] {
			if !r.started {
				panic(c.name + " reads what nothing has written")
			}
		}
		// What ends here may be overwritten by what begins here, save where the instruction adds to its result.
		begins := !in.regs[0].started
		if begins {
			c.take(in.regs[0])
			in.regs[0].started = true
		}
		in.write()
		for _, r := range in.regs {
			if r.last == i && !r.pinned && c.inUse[r.number] {
				c.inUse[r.number] = false
			}
		}
	}
	c.piece = nil
}

// loop runs body for each register of blocks of n registers, then for the registers and the elements that are left.
func (c *code) loop(n int, body func()) {
	turn := func(label string, registers, elements int, again string) {
		c.label(label)
		for c.j = range registers {
			body()
		}
		c.flush()
		for _, name := range c.order {
			c.do("ADD $%d, %v", elements*c.size[name], c.args[name])
		}
		c.do("SUBS $%d, %v", elements, c.count)
		c.do("%s %s", again, label)
	}
	c.do("SUBS $%d, %v", 4*n, c.count)
	c.do("BLT registers")
	turn("block", n, 4*n, "BGE")
	c.label("registers")
	if n > 1 {
		c.do("ADDS $%d, %v", 4*n-4, c.count)
		c.do("BLT elements")
		turn("register", 1, 4, "BGE")
	}
	c.label("elements")
	c.do("ADDS $4, %v", c.count)
	c.do("BEQ done")
	c.tail = true
	turn("element", 1, 1, "BNE")
	c.tail = false
	c.label("done")
}

func (c *code) load(name string) *vec {
	d, from, disp := &vec{}, c.args[name], 16*c.j
	if c.tail {
		return c.emit(func() { c.ldrS(d.number, from, 0) }, d)
	}
	return c.emit(func() { c.ldrQ(d.number, from, disp) }, d)
}

func (c *code) store(a *vec, name string) {
	to, disp := c.args[name], 16*c.j
	if c.tail {
		c.emit(func() { c.strS(a.number, to, 0) }, a)
		return
	}
	c.emit(func() { c.strQ(a.number, to, disp) }, a)
}

// keep replaces what lies beyond the end by 0.
func (c *code) keep(a *vec) *vec {
	if !c.tail {
		return a
	}
	return c.one(0x1e204000, "fmov s%d, s%d", a)
}

// spread replaces what lies beyond the end by the element before it.
func (c *code) spread(a *vec) *vec {
	if !c.tail {
		return a
	}
	d := &vec{}
	return c.emit(func() { c.dupLane(d.number, a.number) }, d, a)
}

// dupLane sets all lanes of d to the lowest of a.
func (fn *function) dupLane(d, a v) {
	fn.word(0x4e040400|uint32(a)<<5|uint32(d), "dup v%d.4s, v%d.s[0]", d, a)
}

// num is a number in every lane: held, or loaded anew.
func (c *code) num(x float64) *vec { return c.bits(math.Float32bits(float32(x))) }

func (c *code) bits(bits uint32) *vec {
	if r := c.held[bits]; r != nil {
		return r
	}
	d := &vec{}
	return c.emit(func() { c.constant(d.number, bits) }, d)
}

// one, two and into write instructions of a fresh result and one or two operands, and of a result that is an operand.
func (c *code) one(base uint32, as string, a *vec) *vec {
	d := &vec{}
	return c.emit(func() { c.word(base|uint32(a.number)<<5|uint32(d.number), as, d.number, a.number) }, d, a)
}

func (c *code) two(base uint32, name, lanes string, a, b *vec) *vec {
	d := &vec{}
	return c.emit(func() { c.lanes(base, name, lanes, d.number, a.number, b.number) }, d, a, b)
}

func (c *code) into(d *vec, base uint32, name, lanes string, a, b *vec) *vec {
	if d.pinned && c.held[c.isHeld(d)] == d {
		panic(c.name + " overwrites a constant")
	}
	return c.emit(func() { c.lanes(base, name, lanes, d.number, a.number, b.number) }, d, a, b)
}

// isHeld is the constant that d holds, or a word that none is.
func (c *code) isHeld(d *vec) uint32 {
	for bits, r := range c.held {
		if r == d {
			return bits
		}
	}
	return 0xffffffff
}

func (fn *function) lanes(base uint32, name, lanes string, d, a, b v) {
	fn.word(base|uint32(b)<<16|uint32(a)<<5|uint32(d), strings.ReplaceAll("%s v%d.L, v%d.L, v%d.L", "L", lanes), name, d, a, b)
}

func (c *code) add(a, b *vec) *vec { return c.two(0x4e20d400, "fadd", "4s", a, b) }
func (c *code) sub(a, b *vec) *vec { return c.two(0x4ea0d400, "fsub", "4s", a, b) }
func (c *code) mul(a, b *vec) *vec { return c.two(0x6e20dc00, "fmul", "4s", a, b) }
func (c *code) div(a, b *vec) *vec { return c.two(0x6e20fc00, "fdiv", "4s", a, b) }
func (c *code) max(a, b *vec) *vec { return c.two(0x4e20f400, "fmax", "4s", a, b) } // NaN wins
func (c *code) min(a, b *vec) *vec { return c.two(0x4ea0f400, "fmin", "4s", a, b) }

func (c *code) sqrt(a *vec) *vec       { return c.one(0x6ea1f800, "fsqrt v%d.4s, v%d.4s", a) }
func (c *code) abs(a *vec) *vec        { return c.one(0x4ea0f800, "fabs v%d.4s, v%d.4s", a) }
func (c *code) round(a *vec) *vec      { return c.one(0x4e218800, "frintn v%d.4s, v%d.4s", a) }
func (c *code) toInt(a *vec) *vec      { return c.one(0x4e21a800, "fcvtns v%d.4s, v%d.4s", a) }
func (c *code) fromInt(a *vec) *vec    { return c.one(0x4e21d800, "scvtf v%d.4s, v%d.4s", a) }
func (c *code) addInt(a, b *vec) *vec  { return c.two(0x4ea08400, "add", "4s", a, b) }
func (c *code) subInt(a, b *vec) *vec  { return c.two(0x6ea08400, "sub", "4s", a, b) }
func (c *code) andBits(a, b *vec) *vec { return c.two(0x4e201c00, "and", "16b", a, b) }
func (c *code) orBits(a, b *vec) *vec  { return c.two(0x4ea01c00, "orr", "16b", a, b) }

func (c *code) shiftLeft(a *vec, n int) *vec {
	return c.one(0x4f005400|uint32(32+n)<<16, fmt.Sprintf("shl v%%d.4s, v%%d.4s, #%d", n), a)
}

// shiftRight keeps the sign, shiftDown does not.
func (c *code) shiftRight(a *vec, n int) *vec {
	return c.one(0x4f000400|uint32(64-n)<<16, fmt.Sprintf("sshr v%%d.4s, v%%d.4s, #%d", n), a)
}

func (c *code) shiftDown(a *vec, n int) *vec {
	return c.one(0x6f000400|uint32(64-n)<<16, fmt.Sprintf("ushr v%%d.4s, v%%d.4s, #%d", n), a)
}

// fma adds a·b to d, and fnma subtracts it, rounded once, in d's register.
func (c *code) fma(a, b, d *vec) *vec  { return c.into(d, 0x4e20cc00, "fmla", "4s", a, b) }
func (c *code) fnma(a, b, d *vec) *vec { return c.into(d, 0x4ea0cc00, "fmls", "4s", a, b) }

func (c *code) copyOf(a *vec) *vec {
	d := &vec{}
	return c.emit(func() {
		c.word(0x4ea01c00|uint32(a.number)<<16|uint32(a.number)<<5|uint32(d.number), "mov v%d.16b, v%d.16b", d.number, a.number)
	}, d, a)
}

// fresh is a number in a register that may be overwritten.
func (c *code) fresh(x float64) *vec {
	r := c.num(x)
	if r.pinned {
		return c.copyOf(r)
	}
	return r
}

func (c *code) zero() *vec {
	d := &vec{}
	return c.emit(func() { c.clear(d.number) }, d)
}

// less and same are masks of a < b and a = b: ones where it is true.
func (c *code) less(a, b *vec) *vec { return c.two(0x6ea0e400, "fcmgt", "4s", b, a) }
func (c *code) same(a, b *vec) *vec { return c.two(0x4e20e400, "fcmeq", "4s", a, b) }

// choose is, lane by lane, yes where mask has ones, else no; mask is overwritten.
func (c *code) choose(mask, yes, no *vec) *vec {
	return c.into(mask, 0x6e601c00, "bsl", "16b", yes, no)
}

// horner is (…(k₀·x + k₁)·x + …).
func (c *code) horner(x *vec, ks ...float64) *vec {
	p := c.num(ks[0])
	for _, k := range ks[1:] {
		p = c.fma(p, x, c.fresh(k))
	}
	return p
}

// fold combines the registers of sums into the lowest lane of the first.
func (c *code) fold(acc []*vec) v {
	for n := len(acc) / 2; n > 0; n /= 2 {
		for i := range n {
			c.fadd(acc[i].number, acc[i].number, acc[n+i].number)
		}
	}
	r := acc[0].number
	c.faddp(r, r, r)
	c.faddp(r, r, r)
	return r
}

// result stores the lowest lane of r as the result called name.
func (c *code) result(name string, r v) {
	c.do("FMOVS F%d, %s+%d(FP)", r, c.params[name].name, c.params[name].offset)
}
