// Package backend is the seam between autodiff and hardware: device-tagged buffers, a table of destination-passing operations, and the
// conformance suite that every device must pass.
//
// Above the seam (package tensor) live shapes, autodiff and checks; below it a [Device] executes. An operation never allocates, except
// scratch that it returns before it ends, never checks shapes again, and never keeps a buffer. The reference device in
// internal/backend/reference states the meaning of every operation in plain Go with float64 accumulation.
package backend

import (
	"fmt"
	"unsafe"
)

// DType is the storage type of a buffer's elements.
type DType uint8

const (
	Float32  DType = iota // IEEE 754 binary32
	BFloat16              // the upper half of a Float32, rounded to nearest even; stored, never computed in
	Int32                 // ids, labels, lengths
)

// Size is the number of bytes of one element.
func (d DType) Size() int {
	if d == BFloat16 {
		return 2
	}
	return 4
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

// Pointer is the address of the first element: a host address if and only if Device.Host reports true.
func (b *Buffer) Pointer() unsafe.Pointer { return b.ptr }

// Slice is the part [from, from+n) of b, sharing its memory.
func (b *Buffer) Slice(from, n int) *Buffer {
	if from < 0 || n < 0 || from+n > b.Len {
		panic(fmt.Sprintf("backend: slice [%d, %d) of a buffer of %d elements", from, from+n, b.Len))
	}
	return &Buffer{Device: b.Device, DType: b.DType, Len: n, ptr: unsafe.Add(b.ptr, from*b.DType.Size())}
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

func (b *Buffer) mustHost(dt DType) {
	if b.Len < 0 {
		panic("backend: memory of a buffer that was freed")
	}
	if b.DType != dt {
		panic(fmt.Sprintf("backend: %v memory of a %v buffer", dt, b.DType))
	}
	if !b.Device.Host() {
		panic("backend: memory of device " + b.Device.Name() + " is not addressable; copy it to the host first")
	}
}
