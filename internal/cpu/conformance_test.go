package cpu_test

import (
	"testing"

	"github.com/gollava/gollava/internal/backend/conformance"
	"github.com/gollava/gollava/internal/cpu"
)

func TestConformance(t *testing.T) { conformance.Run(t, cpu.New()) }
