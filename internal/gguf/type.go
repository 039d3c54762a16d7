package gguf

import (
	"fmt"

	"github.com/gollava/gollava/internal/blocks"
)

// Type is the number of a tensor's type.
type Type uint32

// The types that are not stored in blocks.
const (
	F32  Type = 0
	F16  Type = 1
	I8   Type = 24
	I16  Type = 25
	I32  Type = 26
	I64  Type = 27
	F64  Type = 28
	BF16 Type = 30
)

var plain = map[Type]struct {
	name string
	size int
}{F32: {"F32", 4}, F16: {"F16", 2}, I8: {"I8", 1}, I16: {"I16", 2}, I32: {"I32", 4}, I64: {"I64", 8}, F64: {"F64", 8},
	BF16: {"BF16", 2}}

// others are types of llama.cpp that are not supported, so that messages can name them.
var others = map[Type]string{4: "Q4_2", 5: "Q4_3", 9: "Q8_1", 15: "Q8_K", 16: "IQ2_XXS", 17: "IQ2_XS", 18: "IQ3_XXS",
	19: "IQ1_S", 21: "IQ3_S", 22: "IQ2_S",
	29: "IQ1_M", 31: "Q4_0_4_4", 32: "Q4_0_4_8", 33: "Q4_0_8_8", 34: "TQ1_0", 35: "TQ2_0", 39: "MXFP4"}

// String is ggml's name of the type.
func (t Type) String() string {
	if p, ok := plain[t]; ok {
		return p.name
	}
	if f := blocks.ByID(int(t)); f != nil {
		return f.Name
	}
	if n, ok := others[t]; ok {
		return fmt.Sprintf("type %d (%s)", uint32(t), n)
	}
	return fmt.Sprintf("type %d", uint32(t))
}

// ParseType is the type of that name.
func ParseType(name string) (Type, bool) {
	for t, p := range plain {
		if p.name == name {
			return t, true
		}
	}
	if f := blocks.ByName(name); f != nil && f.ID >= 0 {
		return Type(f.ID), true
	}
	return 0, false
}

// layout is the number of elements in a block, and its bytes; 0 for types that are not supported.
func (t Type) layout() (block, size int) {
	if p, ok := plain[t]; ok {
		return 1, p.size
	}
	if f := blocks.ByID(int(t)); f != nil {
		return f.Length, f.Size
	}
	return 0, 0
}
