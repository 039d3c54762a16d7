package cpu

import (
	"testing"

	"github.com/gollava/gollava/internal/backend/conformance"
)

func TestConformance(t *testing.T) {
	eachLevel(t, func(t *testing.T) { conformance.Run(t, New()) })
}
