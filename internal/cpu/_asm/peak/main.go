// Command peak generates the loops that measure what a processor can do at best.
package main

import (
	. "github.com/mmcloughlin/avo/build"
	. "github.com/mmcloughlin/avo/operand"

	"github.com/gollava/gollava/internal/cpu/_asm/simd"
)

func main() {
	simd.Header()
	for _, w := range simd.Widths {
		multiplyAdds(w, false)
	}
	multiplyAdds(simd.AVX512, true)
	read()
	Generate()
}

func multiplyAdds(w *simd.Width, pairs bool) {
	name, of := "multiplyAdds"+w.Name, ""
	if pairs {
		name, of = "multiplyAddsBF16", " of pairs of bfloat16"
	}
	TEXT(name, NOSPLIT, "func(n int)")
	Doc(name + " runs n rounds of 12 vector multiply-adds" + of + " that do not wait for one another.")
	n := simd.Arg("n")
	for i := range 14 {
		w.Zero(i)
	}
	Label("loop")
	for i := range 12 {
		if pairs {
			simd.AddPairs(w.R[12], w.R[13], w.R[i])
		} else {
			VFMADD231PS(w.R[12], w.R[13], w.R[i])
		}
	}
	DECQ(n)
	JNZ(LabelRef("loop"))
	VZEROUPPER()
	RET()
}

func read() {
	TEXT("readAVX2", NOSPLIT, "func(n int, x *float32, far int)")
	Doc("readAVX2 loads n elements, a multiple of 64, from x on, and as many from x[far] on: two streams keep more loads in flight than one.")
	Pragma("noescape")
	n, x, far := simd.Arg("n"), simd.Arg("x"), simd.Arg("far")
	r := simd.AVX2.R
	for i := range 4 {
		simd.AVX2.Zero(i)
	}
	Label("loop")
	for i := range 8 {
		VORPS(simd.At(x, 32*i), r[i%4], r[i%4])
		VORPS(Mem{Base: x, Index: far, Scale: 4, Disp: 32 * i}, r[i%4], r[i%4])
	}
	ADDQ(U32(256), x)
	SUBQ(Imm(64), n)
	JG(LabelRef("loop"))
	VZEROUPPER()
	RET()
}
