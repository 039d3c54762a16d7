package tensor

import (
	"github.com/gollava/gollava/internal/backend"
	"github.com/gollava/gollava/internal/cpu"
)

// host is the device that leaves live on.
var host backend.Device = cpu.New()
