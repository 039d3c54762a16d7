package reference_test

import (
	"testing"

	"github.com/gollava/gollava/internal/backend/conformance"
	"github.com/gollava/gollava/internal/backend/reference"
)

func TestConformance(t *testing.T) { conformance.Run(t, reference.New()) }
