package study

import (
	"testing"

	"github.com/stretchr/testify/require"
)

// The gate names what falls short, on either side, and what is missing.
func TestGateLimits(t *testing.T) {
	r := Report{Preset: "smoke", Seed: 4, Scores: map[string]float64{"mix": .58, "vision_gain": .2}}
	require.NoError(t, r.Gate())
	r.Scores["mix"] = .57
	require.EqualError(t, r.Gate(), "the gate of preset smoke, seed 4: mix 0.570, wanted at least 0.580")
	full := Report{Preset: "default", Scores: map[string]float64{"blind": .4}}
	require.ErrorContains(t, full.Gate(), "blind 0.400, wanted at most 0.373")
	require.ErrorContains(t, full.Gate(), "shuffled was not measured")

	better := Report{Preset: "default", Scores: map[string]float64{"blind": .3, "mix": .9}}
	w := worst([]Report{better, full})
	require.Equal(t, []float64{.4, 0}, []float64{w["blind"], w["mix"]})
}
