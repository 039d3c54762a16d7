package blip2_test

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

// Each stage moves what it trains, and no bit of the vision tower and the language model.
func TestStagesFreeze(t *testing.T) {
	shared := []string{"query_tokens", "qformer.**", "vision_model.post_layernorm.*"}
	pretrained := newStage1(t)
	moves(t, pretrained, pairs(), append(shared, "embeddings.**", "vision_projection.**", "text_projection.**",
		"itm_head.**", "cls.**", "temp"))
	for _, name := range []string{"opt", "blip2-t5"} {
		m := open(t, name)
		b, err := m.Splice(samples(m, true), false)
		require.NoError(t, err)
		moves[connector.Batch](t, m, b, append(shared, "language_projection.*"))
	}
}

// moves trains the patterns for three steps and compares all of m with what it was.
func moves[B any](t *testing.T, m train.Model[B], b B, patterns []string) {
	var frozen []string
	was := map[string][]float32{}
	for name, p := range nn.Params(m) {
		was[name] = slices.Clone(p.Data())
	}
	s := train.Stage[B]{Name: "three", Steps: 3, Batches: func(context.Context, int) (B, error) { return b, nil }}
	trained := map[string]bool{}
	for _, p := range patterns {
		s.Groups = append(s.Groups, train.Group{Params: p, LR: 1e-2})
		for name := range nn.Params(m) {
			trained[name] = trained[name] || nn.Match(p, name)
		}
	}
	_, err := train.Run(t.Context(), m, train.Options{}, s)
	require.NoError(t, err)
	moved := 0
	for name, p := range nn.Params(m) {
		same := slices.EqualFunc(was[name], p.Data(), func(a, b float32) bool {
			return math.Float32bits(a) == math.Float32bits(b)
		})
		if trained[name] {
			if !same {
				moved++
			}
			continue
		}
		frozen = append(frozen, name)
		require.True(t, same, "%T: frozen %s has moved", m, name)
	}
	require.NotEmpty(t, frozen)
	require.Greater(t, moved, 3, "%T: nothing has learnt", m)
}
