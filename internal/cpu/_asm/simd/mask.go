package simd

import (
	. "github.com/mmcloughlin/avo/build"
	. "github.com/mmcloughlin/avo/operand"
	"github.com/mmcloughlin/avo/reg"
)

var ones Mem

// Ones is a table of 32 words of ones followed by 32 of zeros, which masks are read from.
func Ones() Mem {
	if ones.Base == nil && ones.Symbol.Name == "" {
		ones = GLOBL("ones", RODATA|NOPTR)
		for i := range 64 {
			DATA(4*i, U32([]uint32{0xffffffff, 0}[i/32]))
		}
	}
	return ones
}

// Mask returns loads and stores of the first count of cols elements, of which register j covers those from j·Floats on. Loads leave 0 in
// the others. With AVX2 the registers mask are used, one for each j; with AVX-512 the first mask registers.
func (w *Width) Mask(count reg.GPVirtual, cols int, mask []reg.VecPhysical) (load func(j int, from Mem, to reg.VecPhysical), store func(j int, from reg.VecPhysical, to Mem)) {
	n := cols / w.Floats
	if w == AVX2 {
		at, back := GP64(), GP64()
		LEAQ(Ones(), at)
		MOVQ(count, back)
		NEGQ(back)
		for j := range n {
			VMOVUPS(Mem{Base: at, Index: back, Scale: 4, Disp: 4*32 + j*w.Bytes()}, mask[j])
		}
		return func(j int, from Mem, to reg.VecPhysical) { VMASKMOVPS(from, mask[j], to) },
			func(j int, from reg.VecPhysical, to Mem) { VMASKMOVPS(from, mask[j], to) }
	}
	k := []reg.OpmaskPhysical{reg.K1, reg.K2, reg.K3, reg.K4}[:n]
	one, shifted := GP64(), GP64()
	MOVQ(U64(1), one)
	SHLXQ(count, one, shifted)
	DECQ(shifted)
	for j := range n {
		KMOVW(shifted.As32(), k[j])
		if j < n-1 {
			SHRQ(U8(w.Floats), shifted)
		}
	}
	return func(j int, from Mem, to reg.VecPhysical) { VMOVUPS_Z(from, k[j], to) },
		func(j int, from reg.VecPhysical, to Mem) { VMOVUPS(from, k[j], to) }
}
