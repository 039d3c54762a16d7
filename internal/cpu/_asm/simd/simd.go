// Package simd is the vocabulary in which the generators write a kernel once for both register widths.
package simd

import (
	. "github.com/mmcloughlin/avo/build"
	. "github.com/mmcloughlin/avo/operand"
	"github.com/mmcloughlin/avo/reg"
)

// Width is a set of vector registers and the level of package cpu that has them.
type Width struct {
	Name   string // as it appears in the names of kernels
	Floats int    // float32s in a register
	R      []reg.VecPhysical
}

var (
	AVX2 = &Width{"AVX2", 8, []reg.VecPhysical{reg.Y0, reg.Y1, reg.Y2, reg.Y3, reg.Y4, reg.Y5, reg.Y6, reg.Y7,
		reg.Y8, reg.Y9, reg.Y10, reg.Y11, reg.Y12, reg.Y13, reg.Y14, reg.Y15}}
	AVX512 = &Width{"AVX512", 16, []reg.VecPhysical{reg.Z0, reg.Z1, reg.Z2, reg.Z3, reg.Z4, reg.Z5, reg.Z6, reg.Z7,
		reg.Z8, reg.Z9, reg.Z10, reg.Z11, reg.Z12, reg.Z13, reg.Z14, reg.Z15, reg.Z16, reg.Z17, reg.Z18, reg.Z19, reg.Z20, reg.Z21, reg.Z22, reg.Z23,
		reg.Z24, reg.Z25, reg.Z26, reg.Z27, reg.Z28, reg.Z29, reg.Z30, reg.Z31}}
)

// Widths are all of them, narrow first.
var Widths = []*Width{AVX2, AVX512}

// Bytes is the size of a register.
func (w *Width) Bytes() int { return 4 * w.Floats }

// Zero clears register i.
func (w *Width) Zero(i int) {
	if w == AVX2 {
		VXORPS(w.R[i], w.R[i], w.R[i])
		return
	}
	VPXORD(w.R[i], w.R[i], w.R[i])
}

// Header sets the build constraint of a generated file.
func Header() { ConstraintExpr("amd64,!purego") }

// Arg loads a parameter of the function into a fresh register.
func Arg(name string) reg.GPVirtual { return Load(Param(name), GP64()).(reg.GPVirtual) }

// At addresses memory disp bytes past base.
func At(base reg.Register, disp int) Mem { return Mem{Base: base, Disp: disp} }
