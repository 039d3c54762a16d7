// Package cpu is the device that runs on the host's processor.
package cpu

import (
	"github.com/gollava/gollava/internal/backend"
	"github.com/gollava/gollava/internal/backend/reference"
)

// Device implements backend.Device. What it has no kernel of its own for, the reference device computes.
type Device struct{ *reference.Device }

// New returns the device.
func New() *Device { return &Device{reference.New()} }

// Name is "cpu".
func (d *Device) Name() string { return "cpu" }

// Alloc takes memory from Go's heap.
func (d *Device) Alloc(dt backend.DType, n int) *backend.Buffer {
	b := d.Device.Alloc(dt, n)
	b.Device = d
	return b
}
