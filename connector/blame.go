package connector

import (
	"errors"
	"fmt"
	"slices"

	"github.com/gollava/gollava/llm"
	"github.com/gollava/gollava/nn"
	"github.com/gollava/gollava/tensor"
)

// blame adds to an error about logits that are not finite the first parameter that holds NaN or Inf, if one does.
func (m *VLM) blame(err error) error {
	if !errors.Is(err, llm.ErrNotFinite) {
		return err
	}
	for name, p := range nn.Params(m) {
		bad := false
		switch p.DType() {
		case tensor.Float32:
			bad = slices.ContainsFunc(p.Host().Data(), func(v float32) bool { return v-v != 0 })
		case tensor.BFloat16:
			bad = slices.ContainsFunc(p.Host().BFloat16Data(), func(b uint16) bool { return b&0x7f80 == 0x7f80 })
		}
		if bad {
			return fmt.Errorf("%w; the weight %s holds NaN or Inf", err, name)
		}
	}
	return err
}
