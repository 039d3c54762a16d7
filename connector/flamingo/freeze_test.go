package flamingo_test

import (
	"context"
	"math"
	"slices"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/gollava/gollava/connector"
	"github.com/gollava/gollava/nn"
	"github.com/gollava/gollava/train"
)

// Training the bridge moves it, and no bit of the tower and the language model.
func TestBridgeTrainsAlone(t *testing.T) {
	m := build(t, open(0), 0.3)
	var s []connector.Sample
	for _, x := range samples(1)[:2] {
		x.Labels = slices.Clone(x.IDs)
		s = append(s, x)
	}
	b, err := m.Splice(s, false)
	require.NoError(t, err)
	was := map[string][]float32{}
	for name, p := range nn.Params(m) {
		was[name] = slices.Clone(p.Data())
	}
	bridge := []string{"perceiver.**", "gated_cross_attn_layers.**"}
	stage := train.Stage[connector.Batch]{Name: "bridge", Steps: 3,
		Batches: func(context.Context, int) (connector.Batch, error) { return b, nil }}
	for _, p := range bridge {
		stage.Groups = append(stage.Groups, train.Group{Params: p, LR: 1e-2})
	}
	_, err = train.Run(t.Context(), m, train.Options{}, stage)
	require.NoError(t, err)
	moved, frozen := 0, 0
	for name, p := range nn.Params(m) {
		same := slices.EqualFunc(was[name], p.Data(), func(a, b float32) bool {
			return math.Float32bits(a) == math.Float32bits(b)
		})
		if nn.Match(bridge[0], name) || nn.Match(bridge[1], name) {
			if !same {
				moved++
			}
			continue
		}
		frozen++
		require.True(t, same, "frozen %s has moved", name)
	}
	require.Greater(t, moved, 10)
	require.Greater(t, frozen, 20)
}
