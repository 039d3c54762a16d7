package main

import (
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/gollava/gollava/data/imaging"
	"github.com/gollava/gollava/data/shapes"
	"github.com/gollava/gollava/nn"
	"github.com/gollava/gollava/tensor"
	"github.com/gollava/gollava/vit"
)

// No question about an object's color or shape follows a turn that names both, and existence is answered yes as often
// as no; the lessons' own numbers of objects are kept, in a world that has room for fewer too.
func TestNoTurnAnswersALaterOne(t *testing.T) {
	for _, c := range []shapes.Config{shapes.Default(1), shapes.Smoke(1)} {
		w, err := shapes.New(c)
		require.NoError(t, err)
		for _, l := range (options{preset: presets["default"]}).lessons() {
			yes, no, questions := 0, 0, 0
			for i := range 300 {
				s := w.Scene(shapes.Train, i, l.options(w))
				require.GreaterOrEqual(t, len(s.Objects), l.Objects[0])
				require.LessOrEqual(t, len(s.Objects), l.Objects[1])
				said := l.about(w.Rand("test", i), s)
				require.NotEmpty(t, said)
				require.LessOrEqual(t, len(said), turns)
				questions += len(said)
				before := ""
				for _, q := range said {
					if l.Lists && q.Answer != s.Caption() {
						requireTrue(t, s, q.Answer)
					} else if l.Mix == nil {
						require.Equal(t, s.Caption(), q.Answer)
					}
					pair, asked := "", strings.TrimSuffix(q.Text, " ?")
					switch q.Family {
					case shapes.Exist:
						_, pair, _ = strings.Cut(strings.Replace(asked, " an ", " a ", 1), " a ")
						if q.Answer == "yes" {
							yes++
						} else {
							no++
						}
					case shapes.ColorOf:
						pair = q.Answer + " " + strings.TrimPrefix(asked, "what color is the ")
					case shapes.ShapeOf:
						pair = strings.TrimSuffix(strings.TrimPrefix(asked, "what shape is the "), " object") + " " + q.Answer
					case shapes.WhatIsAt:
						pair = q.Answer
					}
					if pair != "" && pair != "nothing" {
						require.NotContains(t, before, pair)
					}
					if pair != "" && q.Answer != "no" {
						before += pair + "; "
					}
					before += q.Text + "; "
				}
			}
			if l.Mix != nil {
				require.Greater(t, questions, 900)
				require.InDelta(t, 0.5, float64(yes)/float64(yes+no), 0.12, "of %d", yes+no)
			}
		}
	}
}

// requireTrue checks what a list says about a scene: every part of it, and that there is one about each object.
func requireTrue(t *testing.T, s shapes.Scene, list string) {
	parts := strings.Split(strings.TrimSuffix(list, " ."), " ; ")
	require.GreaterOrEqual(t, len(parts), len(s.Objects), list)
	for _, part := range parts {
		if question, answer, asked := strings.Cut(part, "? "); asked {
			want, err := s.Answer(question + "?")
			require.NoError(t, err, part)
			require.Equal(t, want, answer, part)
			continue
		}
		key, said, ok := strings.Cut(part, " : ")
		require.True(t, ok, part)
		require.Contains(t, s.Caption(), said)
		for _, word := range strings.Fields(strings.TrimSuffix(strings.TrimPrefix(key, "the "), " object")) {
			require.Contains(t, said, word)
		}
	}
}

// The centred tower's features are the tower's own less their mean.
func TestCentre(t *testing.T) {
	o := options{clip: toyCLIP(t, 32), out: t.TempDir(), seed: 1, preset: preset{images: 12}}
	o.questions, o.llm = 1, "not read here"
	w, tower, err := o.open()
	require.NoError(t, err)
	p, err := imaging.ReadProcessor(o.clip)
	require.NoError(t, err)
	features := func(tower vit.Tower) *tensor.Tensor {
		var all []*tensor.Tensor
		for i := range o.images {
			x, err := p.Process(imaging.FromImage(w.Scene(shapes.Train, i, shapes.Options{}).Image()))
			require.NoError(t, err)
			all = append(all, vit.Features(tower, tensor.Wrap(x.Data, 1, 3, x.H, x.W).NoGrad(),
				vit.Select{Layers: []int{-2}, Class: "patch"}))
		}
		return tensor.Concat(0, all...) // [12, P, D]
	}
	before := features(tower)
	require.NoError(t, o.centre(tower, w))
	saved, err := vit.Load(o.tower(), nn.LoadOptions{})
	require.NoError(t, err)
	after := features(saved)
	require.InDeltaSlice(t, make([]float32, 16), after.Mean(0, 1).Data(), 1e-5)
	require.InDeltaSlice(t, before.Sub(before.Mean(0, 1)).Data(), after.Data(), 1e-5)
	mean := before.Mean(0, 1)
	require.Greater(t, mean.Mul(mean).Sum().Item(), float32(1e-3), "or there was nothing to take off")
}
