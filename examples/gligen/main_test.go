package main

import (
	"math/rand/v2"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/gollava/gollava/data/shapes"
	"github.com/gollava/gollava/nn"
	"github.com/gollava/gollava/tensor"
)

func tiny() recipe {
	return recipe{widths: []int{8, 8, 8}, base: 6, gated: 4, batch: 2, tests: 2, steps: 2, seed: 1}
}

// Both stages run at toy size, and are not run again.
func TestLearn(t *testing.T) {
	dir := t.TempDir()
	var out strings.Builder
	require.NoError(t, learn(t.Context(), tiny(), dir, &out))
	require.Contains(t, out.String(), "the scenes           2 objects: colour 100 %, shape 100 %, box IoU 100.0 %")
	require.Regexp(t, `boxes, tau 1 +2 objects`, out.String())
	require.Regexp(t, `loss with the boxes \d`, out.String())
	for _, name := range []string{"base.png", "gated.png"} {
		st, err := os.Stat(filepath.Join(dir, name))
		require.NoError(t, err)
		require.Greater(t, st.Size(), int64(500))
	}
	require.Error(t, run(t.Context(), []string{"-no-such-flag"}, &out))
}

// What is drawn of latents is what was encoded, and requests say what is where.
func TestScenes(t *testing.T) {
	w, err := shapes.New(shapes.Smoke(1))
	require.NoError(t, err)
	p, err := newPipeline(w, tiny())
	require.NoError(t, err)
	s := w.Scene(shapes.Train, 5, shapes.Options{MinObjects: 2, MaxObjects: 2})
	back := p.VAE.Decode(latents(p, []shapes.Scene{s})).Affine(0.5, 0.5)
	for y := range w.Side() {
		for x := range w.Side() {
			red := s.Image().RGBAAt(x, y).R
			require.InDelta(t, float64(red)/255, back.Data()[y*w.Side()+x], 1e-5)
		}
	}
	r := request(rand.New(rand.NewPCG(1, 1)), s, true, true)
	require.Len(t, r.Objects, 2)
	for _, o := range s.Objects {
		require.Contains(t, r.Prompt, phrase(o)+" at the "+w.Place(o.Cell))
	}
	require.NoError(t, p.Check(r))
}

// With its gates shut the model heeds no boxes.
func TestHeeded(t *testing.T) {
	w, err := shapes.New(shapes.Smoke(1))
	require.NoError(t, err)
	p, err := newPipeline(w, tiny())
	require.NoError(t, err)
	scenes := []shapes.Scene{w.Scene(shapes.Test, 0, shapes.Options{MaxObjects: 2}),
		w.Scene(shapes.Test, 1, shapes.Options{MaxObjects: 2})}
	right, wrong := heeded(p, scenes, tiny())
	require.Equal(t, right, wrong)
	for name, x := range nn.Params(p) {
		if strings.Contains(name, ".alpha_") {
			x.CopyFrom(tensor.Full(1))
		}
	}
	right, wrong = heeded(p, scenes, tiny())
	require.NotEqual(t, right, wrong)
}
