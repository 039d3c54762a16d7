package train_test

import (
	"context"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/gollava/gollava/tensor"
	"github.com/gollava/gollava/train"
)

// A stage with Autocast computes its products in bfloat16, ends near what it ends at without, leaves the model as it
// was, and is another run to a resume.
func TestAutocast(t *testing.T) {
	plain, cast := newNet(3), newNet(3)
	s := stage(12)
	before, err := train.Run(t.Context(), plain, train.Options{}, s)
	require.NoError(t, err)
	on := 0
	s.Autocast, s.After = true, func(int) {
		require.True(t, cast.Norm.Weight.Autocast())
		on++
	}
	dir, notes := memoryDir(t), 0
	after, err := train.Run(t.Context(), cast, train.Options{Dir: dir, Observe: func(e train.Event) error {
		if e.Kind == "note" {
			require.Contains(t, e.Text, "multiplies bfloat16 no faster than float32")
			notes++
		}
		return nil
	}}, s)
	require.NoError(t, err)
	require.Equal(t, 12, on)
	require.False(t, cast.Norm.Weight.Autocast())
	require.Equal(t, tensor.FastBFloat16(), notes == 0)
	a, b := before.Stages[0].Loss, after.Stages[0].Loss
	require.NotEqual(t, a, b)
	for i := range a {
		require.InEpsilon(t, a[i], b[i], 0.02, "step %d", i+1)
	}

	seen, fresh := 0, newNet(3)
	s.After = nil
	s.Batches = func(ctx context.Context, _ int) (sample, error) {
		require.True(t, fresh.Norm.Weight.Autocast(), "what tries a stage out computes as it does")
		seen++
		return regression(ctx, 0)
	}
	_, err = train.Plan(t.Context(), fresh, s)
	require.NoError(t, err)
	_, _, err = train.FindLR(t.Context(), fresh, s, 1e-6, 100, 80)
	require.NoError(t, err)
	require.Greater(t, seen, 7)
	require.False(t, fresh.Norm.Weight.Autocast())

	s.Autocast = false
	_, err = train.Run(t.Context(), newNet(3), train.Options{Dir: dir, Resume: true}, s)
	require.ErrorContains(t, err, "autocast")
}
