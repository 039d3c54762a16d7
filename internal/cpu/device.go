// Package cpu is the device that runs on the host's processor.
package cpu

import (
	"fmt"
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
// matrices, with "+dot" where SDOT multiplies block-quantized ones (arm64), and with "+fma" where the Go compiler has
// fused multiplications and additions of plain Go code (arm64, and amd64 with GOAMD64=v3 or higher).
func (d *Device) Unit() string {
	unit := runtime.GOARCH + "/" + active.String()
	if bf16Dot() {
		unit += "+bf16"
	}
	if dotProducts() {
		unit += "+dot"
	}
	if x := 1 + 1.0/(1<<30); fused(x, x, -1) {
		unit += "+fma"
	}
	return unit
}

// Units are the units that this process can compute with, the present one first, each slower than the one before.
func Units() (units []string) {
	defer useLevel(active)()
	for ; ; active-- {
		units = append(units, New().Unit())
		if active == generic {
			return units
		}
	}
}

// Use makes one of Units the present one. Nothing may compute meanwhile.
func Use(unit string) error {
	restore := useLevel(active)
	for New().Unit() != unit {
		if active == generic {
			restore()
			return fmt.Errorf("cpu: this processor does not compute with %s, but with %v", unit, Units())
		}
		active--
	}
	if !selfTest() {
		restore()
		return fmt.Errorf("cpu: this processor computes wrong products with %s", unit)
	}
	return nil
}

// fused reports whether x·y + z is rounded once. An explicit conversion forbids the compiler to fuse.
//
//go:noinline
func fused(x, y, z float64) bool { return x*y+z != float64(x*y)+z }
