//go:build unix

package train_test

import (
	"context"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/gollava/gollava/internal/backend/remote"
	"github.com/gollava/gollava/internal/cpu"
	"github.com/gollava/gollava/nn"
	"github.com/gollava/gollava/tensor"
	"github.com/gollava/gollava/train"
)

// TestRemote trains parameters on a device whose memory cannot be addressed, interrupted and resumed, alone and as two
// ranks, whose sums travel through the host: the parameters are those of a run on the host to the bit.
func TestRemote(t *testing.T) {
	inner, err := remote.New(cpu.New())
	require.NoError(t, err)
	defer inner.Close()
	d := tensor.NewDevice(inner)
	here, _, errs := together(t.Context(), 1, wide, train.Options{},
		func(int) []train.Stage[sample] { return spread() })
	require.NoError(t, errs[0])
	moved := func() *net {
		m := wide()
		nn.To(m, d)
		return m
	}
	for name, o := range map[string]train.Options{"": {}, "ZeRO-1": {ZeRO1: true}} {
		for ranks := 1; ranks <= 2; ranks++ {
			o.Dir, o.Resume = memoryDir(t), true
			ctx, cancel := context.WithCancel(t.Context())
			_, _, errs := together(ctx, ranks, moved, o, func(rank int) []train.Stage[sample] {
				s := spread()
				for i := range s {
					s[i].Batches = func(c context.Context, n int) (sample, error) {
						if i == 1 && n == 9 {
							cancel()
						}
						return regression(c, n)
					}
				}
				return s
			})
			cancel()
			var stop *train.Stopped
			require.ErrorAs(t, errs[0], &stop)
			models, _, errs := together(t.Context(), ranks, moved, o,
				func(int) []train.Stage[sample] { return spread() })
			for rank, m := range models {
				require.NoError(t, errs[rank])
				for _, p := range nn.Params(m) {
					require.Equal(t, d, p.Device())
				}
				nn.To(m, tensor.Device{})
				require.Equal(t, bits(here[0]), bits(m), "%s %d ranks", name, ranks)
			}
		}
	}
}
