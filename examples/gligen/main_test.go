package main

import (
	"math"
	"math/rand/v2"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/gollava/gollava/data/shapes"
	"github.com/gollava/gollava/nn"
	"github.com/gollava/gollava/tensor"
	"github.com/gollava/gollava/vit/diffusion"
)

func tiny() recipe {
	return recipe{widths: []int{8, 8}, clip: 4, vae: 2, base: 6, gated: 4, batch: 2, tests: 2, steps: 2, objects: 2,
		seed: 1}
}

// All stages run at toy size, and are not run again.
func TestLearn(t *testing.T) {
	dir := t.TempDir()
	var out strings.Builder
	require.NoError(t, learn(t.Context(), tiny(), dir, &out))
	require.Contains(t, out.String(), "the scenes           2 objects: colour 100 %, shape 100 %, box IoU 100.0 %")
	require.Regexp(t, `boxes, tau 1 +2 objects`, out.String())
	require.Regexp(t, `drawn.*loss_wrong_boxes`, out.String())
	require.Regexp(t, `loss with the boxes \d`, out.String())
	for _, name := range []string{"base.png", "gated.png"} {
		st, err := os.Stat(filepath.Join(dir, name))
		require.NoError(t, err)
		require.Greater(t, st.Size(), int64(500))
	}
	require.Error(t, run(t.Context(), []string{"-no-such-flag"}, &out))
}

// center and spread bring pixels to variance 1, on which a schedule can be looked at without training an autoencoder.
const center = 0.72

func plain(s shapes.Scene) *tensor.Tensor {
	return pixels([]shapes.Scene{s}).Affine(1/spread, -center/spread)
}

// Requests say what is where, and latents are noisy only where they are drawn from a random stream.
func TestScenes(t *testing.T) {
	w, err := shapes.New(shapes.Smoke(1))
	require.NoError(t, err)
	p, _, err := newPipeline(w, tiny())
	require.NoError(t, err)
	s := w.Scene(shapes.Train, 5, shapes.Options{MinObjects: 2, MaxObjects: 2})
	z := latents(nil, p, []shapes.Scene{s})
	require.Equal(t, []int{1, 4, w.Side() / 4, w.Side() / 4}, z.Shape())
	require.Equal(t, z.Data(), latents(nil, p, []shapes.Scene{s}).Data())
	require.NotEqual(t, z.Data(), latents(rand.New(rand.NewPCG(1, 1)), p, []shapes.Scene{s}).Data())
	r := request(rand.New(rand.NewPCG(1, 1)), s, true, true)
	require.Len(t, r.Objects, 2)
	for _, o := range s.Objects {
		require.Contains(t, r.Prompt, phrase(o)+" at the "+w.Place(o.Cell))
	}
	require.NoError(t, p.Check(r))
}

// Under the most noise the place of an object cannot be told, so that a box is worth knowing; Stable Diffusion's
// schedule shows it.
func TestScheduleHidesPlaces(t *testing.T) {
	w, err := shapes.New(shapes.Smoke(1))
	require.NoError(t, err)
	p, _, err := newPipeline(w, tiny())
	require.NoError(t, err)
	stable, err := diffusion.New(diffusion.StableDiffusion())
	require.NoError(t, err)
	known := func(s *diffusion.Schedule) (n int) {
		r := rand.New(rand.NewPCG(1, 1))
		root := math.Sqrt(s.AlphasCumprod()[999])
		for i := range 100 {
			scene := w.Scene(shapes.Train, i, shapes.Options{MaxObjects: 1})
			z := plain(scene)
			x := s.AddNoise(z, tensor.Randn(r, 1, z.Shape()...), []int32{999}).Data()
			best, at, moved := math.Inf(-1), shapes.Cell{}, scene
			for cell := range 4 { // the one under which x is most likely
				o := scene.Objects[0]
				o.Cell = shapes.Cell{Row: cell / 2, Col: cell % 2}
				moved.Objects = []shapes.Object{o}
				like := 0.0
				for k, v := range plain(moved).Data() {
					d := float64(x[k]) - root*float64(v)
					like -= d * d
				}
				if like > best {
					best, at = like, o.Cell
				}
			}
			if at == scene.Objects[0].Cell {
				n++
			}
		}
		return n
	}
	require.Less(t, known(p.Schedule), 45)
	require.Greater(t, known(stable), 75)
}

// The text tower reads whole prompts, word by word: none is cut before it has said what is where.
func TestPromptsFit(t *testing.T) {
	w, err := shapes.New(shapes.Smoke(1))
	require.NoError(t, err)
	p, _, err := newPipeline(w, tiny())
	require.NoError(t, err)
	random := rand.New(rand.NewPCG(1, 1))
	for i := range 50 {
		s := w.Scene(shapes.Train, i, shapes.Options{MinObjects: 2, MaxObjects: 2})
		prompt := request(random, s, true, false).Prompt
		ids := p.IDs([]string{prompt}, false).IntData()
		require.Len(t, ids, 2+len(strings.Fields(prompt)), prompt)
		require.Less(t, len(ids), p.Text.Config().MaxPositionEmbeddings)
	}
}

// With its gates shut the model heeds no boxes.
func TestHeeded(t *testing.T) {
	w, err := shapes.New(shapes.Smoke(1))
	require.NoError(t, err)
	p, _, err := newPipeline(w, tiny())
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
