package tensor

import (
	"github.com/gollava/gollava/internal/backend"
	"github.com/gollava/gollava/internal/cpu"
)

// host is the device that leaves live on.
var host backend.Device = cpu.New()

// Unit names the instructions that operations are computed with, such as "amd64/avx2": with the same unit, sizes and numbers, results are
// the same to the bit; another one rounds differently.
func Unit() string { return host.Unit() }
