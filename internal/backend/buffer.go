// Package backend is the seam between autodiff and hardware: device-tagged buffers, a table of destination-passing
// operations, and the conformance suite that every device must pass.
//
// Above the seam (package tensor) live shapes, autodiff and checks; below it a [Device] executes. An operation never
// allocates, except scratch that it returns before it ends, never checks shapes again, and never keeps a buffer. The
// reference device in internal/backend/reference states the meaning of every operation in plain Go with float64
// accumulation.
package backend

import (
	"fmt"
	"math"
	"strings"
	"unsafe"

	"github.com/gollava/gollava/internal/blocks"
	"github.com/gollava/gollava/internal/misuse"
)

// DType is the storage type of a buffer's elements.
type DType uint8

const (
	Float32  DType = iota // IEEE 754 binary32
	BFloat16              // the upper half of a Float32, rounded to nearest even; stored, never computed in
	Int32                 // ids, labels, lengths

	// Weights in blocks of small integers with common scales, as package blocks describes them. They are constants: the
	// right operands of products and the tables of gathers. Q2_K, Q3_K and IQ4_XS can only be read.
	Q8_0
	Q4_0
	Q4_1
	Q5_0
	Q5_1
	Q4_K
	Q5_K
	Q6_K
	IQ4_NL
	NF4  // bitsandbytes' 4-bit NormalFloat
	FP4  // bitsandbytes' 4-bit float
	NF4D // NF4 with double quantisation
	FP4D // FP4 with double quantisation
	Q2_K
	Q3_K
	IQ4_XS
	INT8 // LLM.int8, whose rows have one scale
)

var formats = [...]*blocks.Format{Q8_0: blocks.Q8_0, Q4_0: blocks.Q4_0, Q4_1: blocks.Q4_1, Q5_0: blocks.Q5_0,
	Q5_1: blocks.Q5_1,
	Q4_K: blocks.Q4_K, Q5_K: blocks.Q5_K, Q6_K: blocks.Q6_K, IQ4_NL: blocks.IQ4_NL, NF4: blocks.NF4, FP4: blocks.FP4,
	NF4D: blocks.NF4D, FP4D: blocks.FP4D, Q2_K: blocks.Q2_K, Q3_K: blocks.Q3_K, IQ4_XS: blocks.IQ4_XS,
	INT8: blocks.INT8}

// Blocks describes a type that is stored in blocks, and is nil for Float32, BFloat16 and Int32.
func (d DType) Blocks() *blocks.Format {
	if int(d) < len(formats) {
		return formats[d]
	}
	return nil
}

// Quantized reports whether the type is stored in blocks.
func (d DType) Quantized() bool { return d.Blocks() != nil }

// ParseDType is the type of that name: float32, bfloat16, int32, or a block type's in either case, such as q4_k.
func ParseDType(name string) (DType, bool) {
	for d := range DType(len(formats)) {
		if strings.EqualFold(d.String(), name) {
			return d, true
		}
	}
	return 0, false
}

// Bytes is the size of n elements. It panics if n elements of a block type are no whole number of blocks, unless its
// blocks are flat.
func (d DType) Bytes(n int) int {
	switch d {
	case Float32, Int32:
		return 4 * n
	case BFloat16:
		return 2 * n
	}
	return d.Blocks().Bytes(n)
}

func (d DType) String() string {
	switch d {
	case Float32:
		return "float32"
	case BFloat16:
		return "bfloat16"
	case Int32:
		return "int32"
	}
	if f := d.Blocks(); f != nil {
		return f.Name
	}
	return fmt.Sprintf("DType(%d)", uint8(d))
}

// Buffer is contiguous memory of one device. Its contents are undefined until written.
type Buffer struct {
	Device Device
	DType  DType
	Len    int // elements; negative once freed

	// Capacity is the bytes that the device reserved for it: 0 for memory that did not come from Alloc.
	Capacity int

	ptr unsafe.Pointer // host address, or an address of the device
}

// NewBuffer describes n elements at p, which must stay valid as long as the buffer is used.
func NewBuffer(d Device, dt DType, n int, p unsafe.Pointer) *Buffer {
	return &Buffer{Device: d, DType: dt, Len: n, ptr: p}
}

// Bytes is the size of its elements.
func (b *Buffer) Bytes() int { return b.DType.Bytes(b.Len) }

// Pointer is the address of the first element: a host address if and only if Device.Host reports true.
func (b *Buffer) Pointer() unsafe.Pointer { return b.ptr }

// Slice is the part [from, from+n) of b, sharing its memory.
func (b *Buffer) Slice(from, n int) *Buffer {
	if from < 0 || n < 0 || from+n > b.Len {
		panic(misuse.Errorf("backend", "slice [%d, %d) of a buffer of %d elements", from, from+n, b.Len))
	}
	if n == 0 {
		// one past the end may be the address of another object, which the garbage collector would take for a pointer
		// to it
		from = 0
	}
	return &Buffer{Device: b.Device, DType: b.DType, Len: n, ptr: unsafe.Add(b.ptr, b.DType.Bytes(from))}
}

// Float32 is the memory of a Float32 buffer of a host device; it panics for any other.
func (b *Buffer) Float32() []float32 {
	b.mustHost(Float32)
	return unsafe.Slice((*float32)(b.ptr), b.Len)
}

// BFloat16 is the memory of a BFloat16 buffer of a host device as raw bits; it panics for any other.
func (b *Buffer) BFloat16() []uint16 {
	b.mustHost(BFloat16)
	return unsafe.Slice((*uint16)(b.ptr), b.Len)
}

// Int32 is the memory of an Int32 buffer of a host device; it panics for any other.
func (b *Buffer) Int32() []int32 {
	b.mustHost(Int32)
	return unsafe.Slice((*int32)(b.ptr), b.Len)
}

// Raw is the bytes of a buffer of a host device, of any type.
func (b *Buffer) Raw() []byte {
	b.mustHost(b.DType)
	return unsafe.Slice((*byte)(b.ptr), b.DType.Bytes(b.Len))
}

// Decode writes elements [from, from+len(dst)) of a host device's Float32, BFloat16 or block buffer to dst.
func (b *Buffer) Decode(dst []float32, from int) {
	switch f := b.DType.Blocks(); {
	case f != nil:
		f.Decode(dst, b.Raw(), from, b.Len)
	case b.DType == BFloat16:
		for i, v := range b.BFloat16()[from:][:len(dst)] {
			dst[i] = math.Float32frombits(uint32(v) << 16)
		}
	default:
		copy(dst, b.Float32()[from:][:len(dst)])
	}
}

func (b *Buffer) mustHost(dt DType) {
	if b.Len < 0 {
		panic(misuse.Errorf("backend", "memory of a buffer that was freed"))
	}
	if b.DType != dt {
		panic(misuse.Errorf("backend", "%v memory of a %v buffer", dt, b.DType))
	}
	if !b.Device.Host() {
		panic(misuse.Errorf("backend", "memory of device %s is not addressable; copy it to the host first",
			b.Device.Name()))
	}
}
