// Package cpu is the device that runs on the host's processor.
package cpu

import (
	"runtime"

	"github.com/gollava/gollava/internal/backend/reference"
)

// Device implements backend.Device. What it has no kernel of its own for, the reference device computes.
type Device struct {
	*reference.Device
	memory memory
}

// New returns the device.
func New() *Device { return &Device{Device: reference.New()} }

// Name is "cpu".
func (d *Device) Name() string { return "cpu" }

// Unit is the architecture and the level, such as "amd64/avx2"; with "+bf16" where VDPBF16PS multiplies bfloat16
// matrices, and with "+fma" where the Go compiler has fused multiplications and additions of plain Go code (arm64,
// and amd64 with GOAMD64=v3 or higher).
func (d *Device) Unit() string {
	unit := runtime.GOARCH + "/" + active.String()
	if bf16Dot() {
		unit += "+bf16"
	}
	if x := 1 + 1.0/(1<<30); fused(x, x, -1) {
		unit += "+fma"
	}
	return unit
}

// fused reports whether x·y + z is rounded once. An explicit conversion forbids the compiler to fuse.
//
//go:noinline
func fused(x, y, z float64) bool { return x*y+z != float64(x*y)+z }
