// Package reference is the device that states what every operation means: plain Go, one loop after another, float64
// accumulation. Other devices are tested against it, and fall back on it for what they have no kernel of their own for.
package reference

import (
	"math"
	"unsafe"

	"github.com/gollava/gollava/internal/backend"
)

// Device implements backend.Device on Go's heap. Its zero value is ready to use.
type Device struct{}

var _ backend.Device = (*Device)(nil)

// New returns the device.
func New() *Device { return &Device{} }

func (d *Device) Name() string         { return "reference" }
func (d *Device) Unit() string         { return "reference" }
func (d *Device) Host() bool           { return true }
func (d *Device) Free(*backend.Buffer) {}

// Alloc takes fresh memory from Go's heap.
func (d *Device) Alloc(dt backend.DType, n int) *backend.Buffer {
	s := make([]uint32, (dt.Bytes(n)+7)/4)
	return backend.NewBuffer(d, dt, n, unsafe.Pointer(&s[0]))
}

// narrow rounds to bfloat16, to nearest even; NaN stays a quiet NaN.
func narrow(x float32) uint16 {
	u := math.Float32bits(x)
	if x != x {
		return uint16(u>>16) | 0x40
	}
	return uint16((u + 0x7fff + u>>16&1) >> 16)
}

// halved is x rounded to bfloat16.
func halved(x []float32) []float32 {
	o := make([]float32, len(x))
	for i, v := range x {
		o[i] = math.Float32frombits(uint32(narrow(v)) << 16)
	}
	return o
}

// floats reads a Float32 buffer in place, and another one widened.
func floats(x *backend.Buffer) []float32 {
	if x.DType == backend.Float32 {
		return x.Float32()
	}
	o := make([]float32, x.Len)
	x.Decode(o, 0)
	return o
}
