// Package cpu is the device that runs on the host's processor.
package cpu

import (
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
