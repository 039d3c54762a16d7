package simd

import (
	. "github.com/mmcloughlin/avo/build"
	"github.com/mmcloughlin/avo/ir"
	. "github.com/mmcloughlin/avo/operand"
	"github.com/mmcloughlin/avo/reg"
)

// The instructions of AMX, which neither avo nor Go's assembler knows. They have VEX prefixes of three bytes, opcode map 0F38; a tile is a
// number from 0 to 7. Registers are physical ones, since their numbers go into the code.

// TileConfig is LDTILECFG: it takes the shapes of all tiles from the 64 bytes at base and clears them.
func TileConfig(base reg.GPPhysical) {
	vex(0x49, 0, 15, number(base), 0)
	raw(uint8(number(base) & 7))
}

// TileRelease is TILERELEASE: there are no tiles any more.
func TileRelease() {
	vex(0x49, 0, 15, 0, 0)
	raw(0xc0)
}

// TileZero is TILEZERO.
func TileZero(tile int) {
	vex(0x49, 3, 15, 0, 0)
	raw(uint8(0xc0 | tile<<3))
}

// TileLoad is TILELOADD: the rows of a tile lie stride bytes apart, from disp bytes past base on.
func TileLoad(base, stride reg.GPPhysical, disp, tile int) { tileMemory(3, base, stride, disp, tile) }

// TileStore is TILESTORED.
func TileStore(tile int, base, stride reg.GPPhysical, disp int) {
	tileMemory(2, base, stride, disp, tile)
}

// TileMultiply is TDPBF16PS: it adds to each float32 of acc the products of a row of a and a column of b, both pairs of bfloat16.
func TileMultiply(b, a, acc int) {
	vex(0x5c, 2, ^b&15, 0, 0)
	raw(uint8(0xc0 | acc<<3 | a))
}

func tileMemory(prefix int, base, stride reg.GPPhysical, disp, tile int) {
	b, s := number(base), number(stride)
	vex(0x4b, prefix, 15, b, s)
	Instruction(&ir.Instruction{Opcode: "WORD", Operands: []Op{U16(uint16(s&7<<3|b&7)<<8 | uint16(2<<6|tile<<3|4))}})
	Instruction(&ir.Instruction{Opcode: "LONG", Operands: []Op{U32(uint32(disp))}})
}

// vex writes a prefix, with v as it stands there, and the opcode; base and index are the registers of an address.
func vex(opcode, prefix, v, base, index int) {
	second := 1<<7 | (^index>>3&1)<<6 | (^base>>3&1)<<5 | 2
	Instruction(&ir.Instruction{Opcode: "LONG", Operands: []Op{U32(uint32(opcode)<<24 | uint32(v<<3|prefix)<<16 | uint32(second)<<8 | 0xc4)}})
}

func raw(b uint8) { Instruction(&ir.Instruction{Opcode: "BYTE", Operands: []Op{U8(b)}}) }

func number(r reg.GPPhysical) int { return int(r.PhysicalIndex()) }
