package simd

import (
	. "github.com/mmcloughlin/avo/build"
	"github.com/mmcloughlin/avo/ir"
	. "github.com/mmcloughlin/avo/operand"
	"github.com/mmcloughlin/avo/reg"
)

// AddPairs adds to each float32 of acc the products of the two pairs of bfloat16 in x and y. It is VDPBF16PS, which neither avo nor Go's
// assembler knows: EVEX.512.F3.0F38.W0 52 /r.
func AddPairs(x, y, acc reg.VecPhysical) { bf16(2, 0x52, x, y, acc) }

// Narrow rounds 16 float32 of low, and then 16 of high, to bfloat16. It is VCVTNE2PS2BF16: EVEX.512.F2.0F38.W0 72 /r.
func Narrow(high, low, to reg.VecPhysical) { bf16(3, 0x72, high, low, to) }

// bf16 writes an instruction of AVX512_BF16 on registers of 512 bits: to is ModRM.reg, x vvvv and y ModRM.rm. The prefix is 2 for F3 and 3
// for F2.
func bf16(prefix, opcode uint32, x, y, to reg.VecPhysical) {
	number := func(r reg.VecPhysical) uint32 { return uint32(r.PhysicalIndex()) }
	d, v, m := number(to), number(x), number(y)
	not := func(r uint32, bit int) uint32 { return ^r >> bit & 1 }
	p0 := not(d, 3)<<7 | not(m, 4)<<6 | not(m, 3)<<5 | not(d, 4)<<4 | 2 // opcode map 0F38
	p1 := (^v&15)<<3 | 1<<2 | prefix
	p2 := uint32(2)<<5 | not(v, 4)<<3 // 512 bits, no mask
	modrm := uint32(3)<<6 | d&7<<3 | m&7
	Instruction(&ir.Instruction{Opcode: "LONG", Operands: []Op{U32(p2<<24 | p1<<16 | p0<<8 | 0x62)}})
	Instruction(&ir.Instruction{Opcode: "WORD", Operands: []Op{U16(modrm<<8 | opcode)}})
}
