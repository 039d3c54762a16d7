// Package reference is the device that states what every operation means: plain Go, one loop after another, float64 accumulation. Other
// devices are tested against it, and fall back on it for what they have no kernel of their own for.
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
	s := make([]uint32, n+1)
	return backend.NewBuffer(d, dt, n, unsafe.Pointer(&s[0]))
}

// widen is the float32 value of bfloat16 bits.
func widen(x uint16) float32 { return math.Float32frombits(uint32(x) << 16) }

// narrow rounds to bfloat16, to nearest even; NaN stays a quiet NaN.
func narrow(x float32) uint16 {
	u := math.Float32bits(x)
	if x != x {
		return uint16(u>>16) | 0x40
	}
	return uint16((u + 0x7fff + u>>16&1) >> 16)
}

// floats reads a Float32 buffer in place, or a BFloat16 one widened.
func floats(x *backend.Buffer) []float32 {
	if x.DType == backend.Float32 {
		return x.Float32()
	}
	o := make([]float32, x.Len)
	for i, v := range x.BFloat16() {
		o[i] = widen(v)
	}
	return o
}
