package main

import (
	"bytes"
	"math/rand/v2"
	"path/filepath"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/gollava/gollava/connector/seem"
	"github.com/gollava/gollava/data/shapes"
	"github.com/gollava/gollava/nn"
)

// TestSmoke trains for a few steps, tests every kind of prompt, and writes a model that loads.
func TestSmoke(t *testing.T) {
	var out bytes.Buffer
	dir := filepath.Join(t.TempDir(), "model")
	require.NoError(t, run(t.Context(), []string{"-preset", "smoke", "-out", dir}, &out))
	for _, row := range []string{`text "the red circle"`, "one click in the middle", "after 6 clicks", "PQ",
		"the object of another picture"} {
		require.Contains(t, out.String(), row)
	}
	require.FileExists(t, filepath.Join(dir, "masks.png"))
	_, err := seem.Load(dir, nn.LoadOptions{})
	require.NoError(t, err)
	require.ErrorContains(t, run(t.Context(), []string{"-preset", "x"}, &out), "there are default and smoke")
}

// A run may begin with a batch of any number of rounds: without any, nothing reaches the memory tokens.
func TestFirstBatch(t *testing.T) {
	w, err := shapes.New(shapes.Smoke(1))
	require.NoError(t, err)
	s, err := newStudent(w, 1)
	require.NoError(t, err)
	batches := s.batches(preset{batch: 2})
	seen := map[int]bool{}
	for n := 0; len(seen) < 2; n++ {
		b, err := batches(t.Context(), n)
		require.NoError(t, err)
		if seen[min(b.rounds, 1)] {
			continue
		}
		seen[min(b.rounds, 1)] = true
		b.rounds = min(b.rounds, 1)
		s.Loss(b).Backward()
		for name, p := range nn.Params(s) {
			require.Equal(t, b.Reaches(name), p.Grad() != nil, "%s after %d rounds", name, b.rounds)
			p.ZeroGrad()
		}
	}
}

// The gate names what falls short, and what was not measured.
func TestGate(t *testing.T) {
	s := scores{}
	for _, l := range limits {
		s[l.Score] = [2]float64{l.Least, 0}
	}
	require.NoError(t, s.gate())
	s["a stroke"] = [2]float64{75, 99}
	require.EqualError(t, s.gate(), "the gate: a stroke 75.000, wanted at least 76.000")
	delete(s, "all objects: PQ")
	require.ErrorContains(t, s.gate(), "all objects: PQ was not measured")
}

// Of a stroke only the pixels of its mask count, and a click at the mean of a ring is on the ring.
func TestPrompts(t *testing.T) {
	ring := seem.NewMask(9, 9)
	for i := range ring.On {
		y, x := i/9-4, i%9-4
		ring.On[i] = y*y+x*x > 4 && y*y+x*x < 17
	}
	require.True(t, ring.At(middle(ring)))
	r := rand.New(rand.NewPCG(1, 1))
	for range 20 {
		for _, px := range stroke(r, ring) {
			require.True(t, ring.At(px))
		}
		whole, points := box(r, ring, 16)
		require.Len(t, points, 16)
		require.Equal(t, 81, len(whole.Pixels()))
	}
}
