package main

import (
	"context"
	"io"
	"testing"

	"github.com/gollava/gollava/nn"
	"github.com/gollava/gollava/tensor"
	"github.com/gollava/gollava/train"
	"github.com/gollava/gollava/train/study"
)

// BenchmarkStep measures steps of each stage; FLOP/s are of matrix products and attentions.
func BenchmarkStep(b *testing.B) {
	j, err := begin([]string{"-preset", *gatePreset, "-out", b.TempDir() + "/run"}, io.Discard, nil)
	if err != nil {
		b.Fatal(err)
	}
	j.Preset.Pictures = 600
	p, l := j.Preset, j.Lesson()
	ctx := context.Background()
	clip, err := j.newCLIP("clip")
	if err != nil {
		b.Fatal(err)
	}
	language, err := j.newReader("language")
	if err != nil {
		b.Fatal(err)
	}
	vlm, err := j.join(clip, language.Language)
	if err != nil {
		b.Fatal(err)
	}
	l.Pool.Look(clip.Tower(), j.Selects)
	b.Run("clip", func(b *testing.B) { bench(ctx, b, &study.Contrast{CLIP: clip}, study.PairBatches(l, p.Clip), "**") })
	b.Run("language", func(b *testing.B) {
		bench(ctx, b, language, study.PageBatches(l, p.Text, p.Language.Width), "**")
	})
	b.Run("align", func(b *testing.B) {
		bench(ctx, b, vlm, pictureBatches(l, "align", p.Align, study.Captions), "multi_modal_projector.**")
	})
	b.Run("tune", func(b *testing.B) {
		bench(ctx, b, vlm, pictureBatches(l, "tune", p.Tune, study.Instructions), "multi_modal_projector.**", "language_model.**")
	})
}

// bench takes forward and backward passes on batches from all phases of a stage.
func bench[B train.Scoped[B]](ctx context.Context, b *testing.B, m train.Model[B], batches train.Batches[B], groups ...string) {
	for name, p := range nn.Params(m) {
		p.SetTrainable(false)
		for _, g := range groups {
			if nn.Match(g, name) {
				p.SetTrainable(true)
			}
		}
	}
	batches = train.Prefetch(batches, 2)
	n, flops := 0, uint64(0)
	for b.Loop() {
		batch, err := batches(ctx, n%study.Bucket)
		if err != nil {
			b.Fatal(err)
		}
		tensor.Scope(func(s *tensor.Arena) {
			m.Loss(batch.In(s)).Backward()
			flops += s.FLOPs()
		})
		for _, p := range nn.Params(m) {
			p.ZeroGrad()
		}
		n++
	}
	b.ReportMetric(float64(flops)/b.Elapsed().Seconds()/1e9, "GFLOP/s")
}
