package main

import (
	"bytes"
	"fmt"
	"go/format"
	"math"
	"strings"
)

// Go's assembler knows few vector instructions of floating point on arm64, so every vector instruction is written as
// its word, with Arm's own notation as its comment: what objdump prints for the word.

// v is the number of a vector register, and x that of a general one.
type (
	v int
	x int
)

func (r x) String() string { return fmt.Sprintf("R%d", int(r)) }

// free are the general registers that a leaf function may use: the platform, the assembler and Go keep the others.
var free = []x{0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15, 19, 20, 21, 22, 23, 24, 25, 26, 16, 17}

// param is a parameter or result of a function, by its place in the caller's frame.
type param struct {
	name   string
	offset int
}

// file is the assembly and the Go declarations under way.
type file struct {
	text, stubs bytes.Buffer
	constants   []uint32
}

// function is a function under way.
type function struct {
	*file
	name   string
	params map[string]param
	used   int // of free
	labels int
}

// begin starts a function with the given locals, in bytes; doc follows its name.
func (f *file) begin(name, signature string, locals int, doc ...string) *function {
	fn := &function{file: f, name: name, params: map[string]param{}}
	size := fn.layout(signature)
	fmt.Fprintf(&f.stubs, "\n// %s %s\n//\n//go:noescape\nfunc %s%s\n", name, strings.Join(doc, "\n// "), name, signature)
	fmt.Fprintf(&f.text, "\n// func %s%s\nTEXT ·%s(SB), NOSPLIT, $%d-%d\n", name, signature, name, locals, size)
	return fn
}

// layout finds the offsets of parameters and results, and returns their size.
func (fn *function) layout(signature string) int {
	inside, results, _ := strings.Cut(signature[1:], ")")
	at := 0
	add := func(list string) {
		var names []string
		for _, p := range strings.Split(strings.Trim(list, " ()"), ",") {
			name, kind, typed := strings.Cut(strings.TrimSpace(p), " ")
			if names = append(names, name); !typed {
				continue
			}
			size := 8
			if kind == "float32" {
				size = 4
			}
			for _, n := range names {
				at = (at + size - 1) / size * size
				fn.params[n] = param{n, at}
				if strings.HasPrefix(kind, "[]") {
					fn.params[n], fn.params[n+".len"] = param{n + "_base", at}, param{n + "_len", at + 8}
					at += 16
				}
				at += size
			}
			names = nil
		}
	}
	add(inside)
	if results = strings.TrimSpace(results); results != "" {
		at = (at + 7) / 8 * 8
		if !strings.HasPrefix(results, "(") {
			results = "ret " + results
		}
		add(results)
	}
	return at
}

// new is a register that the function has not used yet.
func (fn *function) new() x {
	r := free[fn.used]
	fn.used++
	return r
}

// arg loads a parameter into a register of its own, into over the one given.
func (fn *function) arg(name string) x { return fn.into(name, fn.new()) }

func (fn *function) into(name string, r x) x {
	p, ok := fn.params[name]
	if !ok {
		panic(fn.name + " has no parameter " + name)
	}
	fn.do("MOVD %s+%d(FP), %v", p.name, p.offset, r)
	return r
}

// do writes an instruction that Go's assembler knows.
func (fn *function) do(line string, args ...any) { fmt.Fprintf(&fn.text, "\t"+line+"\n", args...) }

// word writes an instruction as a word; as is Arm's notation.
func (fn *function) word(w uint32, as string, args ...any) {
	fmt.Fprintf(&fn.text, "\tWORD $0x%08x // %s\n", w, fmt.Sprintf(as, args...))
}

// label places a label.
func (fn *function) label(name string) { fmt.Fprintf(&fn.text, "%s:\n", name) }

// unique makes a label's name unlike any other of the function.
func (fn *function) unique(name string) string {
	fn.labels++
	return fmt.Sprintf("%s%d", name, fn.labels)
}

func (fn *function) ret() { fn.do("RET") }

// add3 writes an instruction of three registers of four lanes: d = a op b, or d += a op b.
func (fn *function) three(base uint32, name string, d, a, b v) {
	fn.word(base|uint32(b)<<16|uint32(a)<<5|uint32(d), "%s v%d.4s, v%d.4s, v%d.4s", name, d, a, b)
}

func (fn *function) fmla(d, a, b v) { fn.three(0x4e20cc00, "fmla", d, a, b) } // d += a·b, rounded once
func (fn *function) fadd(d, a, b v) { fn.three(0x4e20d400, "fadd", d, a, b) }

// faddp sets d to the sums of neighbours in a, then in b.
func (fn *function) faddp(d, a, b v) { fn.three(0x6e20d400, "faddp", d, a, b) }

// zip1 and zip2 interleave the lower, or upper, halves of a and b.
func (fn *function) zip1(d, a, b v) { fn.three(0x4e803800, "zip1", d, a, b) }
func (fn *function) zip2(d, a, b v) { fn.three(0x4e807800, "zip2", d, a, b) }

// fmlaFirst adds a times lane 0 of b to d, rounded once.
func (fn *function) fmlaFirst(d, a, b v) {
	fn.word(0x4f801000|uint32(b)<<16|uint32(a)<<5|uint32(d), "fmla v%d.4s, v%d.4s, v%d.s[0]", d, a, b)
}

func (fn *function) clear(d v) {
	fn.word(0x6e201c00|uint32(d)<<16|uint32(d)<<5|uint32(d), "eor v%[1]d.16b, v%[1]d.16b, v%[1]d.16b", d)
}

// widenLow and widenHigh make float32 of four bfloat16 of a, by interleaving them with zeros below.
func (fn *function) widenLow(d, zero, a v) {
	fn.word(0x4e403800|uint32(a)<<16|uint32(zero)<<5|uint32(d), "zip1 v%d.8h, v%d.8h, v%d.8h", d, zero, a)
}

func (fn *function) widenHigh(d, zero, a v) {
	fn.word(0x4e407800|uint32(a)<<16|uint32(zero)<<5|uint32(d), "zip2 v%d.8h, v%d.8h, v%d.8h", d, zero, a)
}

func (fn *function) shl16(d, a v) {
	fn.word(0x4f305400|uint32(a)<<5|uint32(d), "shl v%d.4s, v%d.4s, #16", d, a)
}

func (fn *function) and(d, a, b v) {
	fn.word(0x4e201c00|uint32(b)<<16|uint32(a)<<5|uint32(d), "and v%d.16b, v%d.16b, v%d.16b", d, a, b)
}

// Loads and stores: q of a whole register, s of one float32, pair of two registers; disp counts bytes.

func (fn *function) ldrQ(d v, from x, disp int) {
	fn.word(0x3dc00000|uint32(disp/16)<<10|uint32(from)<<5|uint32(d), "ldr q%d, [x%d, #%d]", d, from, disp)
}

func (fn *function) strQ(d v, to x, disp int) {
	fn.word(0x3d800000|uint32(disp/16)<<10|uint32(to)<<5|uint32(d), "str q%d, [x%d, #%d]", d, to, disp)
}

func (fn *function) ldrS(d v, from x, disp int) {
	fn.word(0xbd400000|uint32(disp/4)<<10|uint32(from)<<5|uint32(d), "ldr s%d, [x%d, #%d]", d, from, disp)
}

func (fn *function) strS(d v, to x, disp int) {
	fn.word(0xbd000000|uint32(disp/4)<<10|uint32(to)<<5|uint32(d), "str s%d, [x%d, #%d]", d, to, disp)
}

// ldrElement loads element index after from, a float32.
func (fn *function) ldrElement(d v, from, index x) {
	fn.word(0xbc607800|uint32(index)<<16|uint32(from)<<5|uint32(d), "ldr s%d, [x%d, x%d, lsl #2]", d, from, index)
}

func (fn *function) strElement(d v, to, index x) {
	fn.word(0xbc207800|uint32(index)<<16|uint32(to)<<5|uint32(d), "str s%d, [x%d, x%d, lsl #2]", d, to, index)
}

// ldpNext loads two registers and moves from beyond them; stpNext stores them.
func (fn *function) ldpNext(d0, d1 v, from x) {
	fn.word(0xacc10000|uint32(d1)<<10|uint32(from)<<5|uint32(d0), "ldp q%d, q%d, [x%d], #32", d0, d1, from)
}

func (fn *function) stpNext(d0, d1 v, to x) {
	fn.word(0xac810000|uint32(d1)<<10|uint32(to)<<5|uint32(d0), "stp q%d, q%d, [x%d], #32", d0, d1, to)
}

func (fn *function) ldp(d0, d1 v, from x) {
	fn.word(0xad400000|uint32(d1)<<10|uint32(from)<<5|uint32(d0), "ldp q%d, q%d, [x%d]", d0, d1, from)
}

func (fn *function) stp(d0, d1 v, to x) {
	fn.word(0xad000000|uint32(d1)<<10|uint32(to)<<5|uint32(d0), "stp q%d, q%d, [x%d]", d0, d1, to)
}

// ldrNext loads a register and moves from by step bytes, and so does strNext.
func (fn *function) ldrNext(d v, from x, step int) {
	fn.word(0x3cc00400|uint32(step)&511<<12|uint32(from)<<5|uint32(d), "ldr q%d, [x%d], #%d", d, from, step)
}

var ldOpcode = map[int]uint32{1: 0x7000, 2: 0xa000, 4: 0x2000}

// ld1 loads n registers from d on and moves from by step; st1 stores them.
func (fn *function) ld1(n int, d v, from, step x) {
	fn.word(0x4cc00800|ldOpcode[n]|uint32(step)<<16|uint32(from)<<5|uint32(d), "ld1 %s, [x%d], x%d", list(n, d), from, step)
}

func (fn *function) st1(n int, d v, to, step x) {
	fn.word(0x4c800800|ldOpcode[n]|uint32(step)<<16|uint32(to)<<5|uint32(d), "st1 %s, [x%d], x%d", list(n, d), to, step)
}

// ld1Next loads n registers from d on and moves from beyond them.
func (fn *function) ld1Next(n int, d v, from x) {
	fn.word(0x4cdf0800|ldOpcode[n]|uint32(from)<<5|uint32(d), "ld1 %s, [x%d], #%d", list(n, d), from, 16*n)
}

func list(n int, d v) string {
	if n == 1 {
		return fmt.Sprintf("{v%d.4s}", d)
	}
	var names []string
	for i := range n {
		names = append(names, fmt.Sprintf("v%d.4s", int(d)+i))
	}
	if n > 2 {
		return "{" + names[0] + "-" + names[n-1] + "}"
	}
	return "{" + strings.Join(names, ", ") + "}"
}

// st1Lane stores one lane and moves to by step.
func (fn *function) st1Lane(d v, lane int, to, step x) {
	fn.word(0x0d808000|uint32(lane>>1)<<30|uint32(lane&1)<<12|uint32(step)<<16|uint32(to)<<5|uint32(d),
		"st1 {v%d.s}[%d], [x%d], x%d", d, lane, to, step)
}

// faddS adds one float32.
func (fn *function) faddS(d, a, b v) {
	fn.word(0x1e202800|uint32(b)<<16|uint32(a)<<5|uint32(d), "fadd s%d, s%d, s%d", d, a, b)
}

// dup sets all lanes of d to the lower half of a general register.
func (fn *function) dup(d v, from x) {
	fn.word(0x4e040c00|uint32(from)<<5|uint32(d), "dup v%d.4s, w%d", d, from)
}

const header = `// Code generated by internal/cpu/_asm/neon. DO NOT EDIT.

//go:build arm64 && !purego

`

// assembly is the file for the assembler.
func (f *file) assembly() []byte {
	out := bytes.NewBufferString(header + "#include \"textflag.h\"\n")
	for i, c := range f.constants {
		fmt.Fprintf(out, "\n// %v\n", math.Float32frombits(c))
		for lane := range 4 {
			fmt.Fprintf(out, "DATA neonConstants<>+%d(SB)/4, $0x%08x\n", 16*i+4*lane, c)
		}
	}
	fmt.Fprintf(out, "GLOBL neonConstants<>(SB), NOPTR|RODATA, $%d\n", 16*len(f.constants))
	out.Write(f.text.Bytes())
	return out.Bytes()
}

// declarations is the file for Go.
func (f *file) declarations() []byte {
	out, err := format.Source([]byte(header + "package cpu\n" + f.stubs.String()))
	if err != nil {
		panic(err)
	}
	return out
}
