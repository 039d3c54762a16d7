package main

import (
	"context"
	"flag"
	"io"
	"path/filepath"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/gollava/gollava/connector"
	"github.com/gollava/gollava/nn"
	"github.com/gollava/gollava/tensor"
	"github.com/gollava/gollava/train"
	"github.com/gollava/gollava/train/study"
)

var overhead = flag.Bool("overhead", false, "measure what the trainer adds to a step, for a minute on a machine to itself")

// TestOverhead holds steps of stage 2 under train.Run, with metrics, TensorBoard and progress, against a bare loop of
// the same operations on the same batches, in turns.
func TestOverhead(t *testing.T) {
	if !*overhead {
		t.Skip("times a minute of training: go test ./examples/quickstart -run Overhead -overhead -v")
	}
	const steps, warmup, rounds = 120, 20, 7
	dir := t.TempDir()
	j, err := begin([]string{"-out", filepath.Join(dir, "run")}, io.Discard, nil)
	require.NoError(t, err)
	j.Preset.Pictures = 600
	l := j.Lesson()
	clip, err := j.newCLIP("clip")
	require.NoError(t, err)
	language, err := j.newReader("language")
	require.NoError(t, err)
	m, err := j.join(clip, language.Language)
	require.NoError(t, err)
	l.Pool.Look(clip.Tower(), j.Selects)
	stage := j.tuning(l, j.Preset.Tune, study.Instructions)
	var batches []connector.Batch
	for n := range study.Bucket {
		b, err := stage.Batches(t.Context(), n)
		require.NoError(t, err)
		batches = append(batches, b)
	}
	stage.Steps = steps
	stage.Batches = func(_ context.Context, n int) (connector.Batch, error) { return batches[n%study.Bucket], nil }

	trained := func(s train.Stage[connector.Batch], dir string, every int) (perStep time.Duration, stall float64) {
		var start, end time.Time
		saves := 0
		s.Every = every
		_, err := train.Run(t.Context(), m, train.Options{Dir: dir, Progress: io.Discard, Observe: func(e train.Event) error {
			switch {
			case e.Kind == "step" && e.Step == warmup:
				start = e.Time
			case e.Kind == "step":
				end = e.Time
			case e.Kind == "checkpoint":
				stall += e.Seconds
				saves++
			}
			return nil
		}}, s)
		require.NoError(t, err)
		return end.Sub(start) / (steps - warmup), stall / float64(max(1, saves))
	}
	bare := func() time.Duration {
		var items []tensor.AdamWItem
		for name, p := range nn.Params(m) {
			on := nn.Match("multi_modal_projector.**", name) || nn.Match("language_model.**", name)
			if p.SetTrainable(on); on {
				items = append(items, tensor.AdamWItem{Param: p, M: tensor.New(p.Shape()...), V: tensor.New(p.Shape()...)})
			}
		}
		var start time.Time
		for step := range steps {
			if step == warmup {
				start = time.Now()
			}
			var grads []*tensor.Tensor
			for _, it := range items {
				it.Param.ZeroGrad()
			}
			tensor.Scope(func(s *tensor.Arena) {
				l := m.Loss(batches[step%study.Bucket].In(s))
				_ = l.Item()
				l.Backward()
			})
			for _, it := range items {
				grads = append(grads, it.Param.Grad())
			}
			norm := tensor.GlobalNorm(grads)
			tensor.AdamW(tensor.AdamWConfig{LR: 1e-4, Beta1: 0.9, Beta2: 0.95, Eps: 1e-8, GradScale: min(1, 1/(norm+1e-6)), Step: step + 1}, items)
		}
		return time.Since(start) / (steps - warmup)
	}
	best, with := time.Hour, time.Hour
	for round := range rounds {
		best = min(best, bare())
		took, _ := trained(stage, filepath.Join(dir, "train", string(rune('a'+round))), 0)
		with = min(with, took)
	}
	over := float64(with)/float64(best) - 1
	t.Logf("a step: %v bare, %v in train.Run: %+.2f %%", best, with, 100*over)
	require.Less(t, over, 0.01)

	_, stall := trained(stage, filepath.Join(dir, "saving"), steps/6)
	share := 4 * stall / (float64(j.Preset.Tune.Steps) * with.Seconds()) // the stage saves at each quarter
	t.Logf("a checkpoint: %.1f ms, %.3f %% of the stage", 1e3*stall, 100*share)
	require.Less(t, share, 0.01)
}
