package main

import (
	"bytes"
	"path/filepath"
	"slices"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/gollava/gollava/data/shapes"
	"github.com/gollava/gollava/nn"
	"github.com/gollava/gollava/tensor"
	"github.com/gollava/gollava/vit/imagebind"
)

// TestSmoke trains for a few steps, and writes a model that loads.
func TestSmoke(t *testing.T) {
	var out bytes.Buffer
	dir := filepath.Join(t.TempDir(), "model")
	require.NoError(t, run(t.Context(), []string{"-preset", "smoke", "-out", dir}, &out))
	require.Contains(t, out.String(), "audio → text")
	require.Contains(t, out.String(), "named by depth")
	require.FileExists(t, filepath.Join(dir, "found.png"))
	m, err := imagebind.Load(dir, nn.LoadOptions{})
	require.NoError(t, err)
	require.Len(t, m.Has(), 4)
	require.ErrorContains(t, run(t.Context(), []string{"-preset", "x"}, &out), "there are default and smoke")
}

// Every caption of two objects ends, with the largest id, before the context does.
func TestTexts(t *testing.T) {
	w, err := shapes.New(shapes.Default(1))
	require.NoError(t, err)
	b, err := newBinder(w, 1)
	require.NoError(t, err)
	var captions []string
	for i := range 300 {
		s := b.scene(shapes.Train, i, 2)
		right, wrong := s.Contrast(w.Rand("test", i))
		captions = append(captions, s.Caption(), right, wrong)
	}
	ids := b.texts(captions)
	n, T := ids.Dims2()
	most := int32(b.words.Size() - 1)
	for i := range n {
		row := ids.IntData()[i*T : (i+1)*T]
		end := slices.Index(row, most)
		require.Positive(t, end, captions[i])
		require.Equal(t, make([]int32, T-end-1), row[end+1:], captions[i])
	}
}

// The gate names what falls short on either side, and what was not measured.
func TestGate(t *testing.T) {
	s := scores{"audio → text, 1": 75, "audio → text, 2": 55, "audio both": 97, "depth shape": 85,
		"depth color": 30}
	require.NoError(t, s.gate())
	s["depth color"], s["depth shape"] = 31, 84
	delete(s, "audio both")
	err := s.gate()
	require.ErrorContains(t, err, "depth color 31.000, wanted at most 30")
	require.ErrorContains(t, err, "depth shape 84.000, wanted at least 85")
	require.ErrorContains(t, err, "audio both was not measured")
	require.NotContains(t, err.Error(), "audio → text")
}

// A partner that is the nearest counts, and one that two others are nearer than does so from 3 on.
func TestRecall(t *testing.T) {
	q := tensor.From([]float32{1, 0, 0, 1, 0.6, 0.8}, 3, 2)
	g := tensor.From([]float32{1, 0, 0, 1, -1, 0}, 3, 2)
	require.InDelta(t, 200.0/3, recall(q, g, 1), 1e-9)
	require.InDelta(t, 200.0/3, recall(q, g, 2), 1e-9)
	require.InDelta(t, 100, recall(q, g, 3), 1e-9)
}
