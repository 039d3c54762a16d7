package main

import (
	"context"
	"fmt"
	"math/rand/v2"
	"path/filepath"

	"github.com/gollava/gollava/connector"
	"github.com/gollava/gollava/data/shapes"
	"github.com/gollava/gollava/data/shapes/eval"
	"github.com/gollava/gollava/lora"
	"github.com/gollava/gollava/tensor"
	"github.com/gollava/gollava/train"
)

// widgetPictures is how many pictures the adapter learns eight new names from.
const widgetPictures = 80

// adapterDir is where the adapter is, as PEFT stores it.
const adapterDir = "model-lora"

// learnWidgets teaches the finished model a new vocabulary through LoRA: which of eight widgets is in the picture? Half of each batch repeats what stage 2 taught, without
// which the old skills fade. The names are spelled in letters, so that no word is new.
func (j *job) learnWidgets(ctx context.Context, l *lesson, m *connector.VLM) error {
	c := j.preset.Widgets
	if c.Steps == 0 {
		return nil
	}
	test := newExam(j.world, shapes.Test, shapes.Widget, j.preset.Questions)
	test.pool.look(m.Vision, j.selects())
	old := j.exams(m.Vision, shapes.Validation, j.preset.Quick, true)
	examine := func(when string) error {
		said, err := j.looking(m, nil).answers(ctx, test)
		if err != nil {
			return err
		}
		right, _, err := j.looking(m, nil).take(ctx, old)
		if err != nil {
			return err
		}
		j.report.Scores["widgets_"+when] = eval.Exact(test.set, said)
		j.report.Scores["widgets_old_mix_"+when] = eval.Mean(eval.Weights(), right)
		return nil
	}
	if err := examine("before"); err != nil {
		return err
	}
	adapter := lora.Default(16, 32)
	adapter.Targets.Pattern = "all-linear"
	adapter.Exclude.Pattern = `(vision_tower|multi_modal_projector)\..*`
	a, err := lora.Wrap(m, adapter, j.world.Rand("lora/start", 0), nil)
	if err != nil {
		return fmt.Errorf("widgets: %w", err)
	}
	if err := fit(ctx, j, "lora", m, train.Stage[connector.Batch]{
		Name: "lora", Batches: widgetBatches(l, j.widgetLesson(l, m), c), Steps: c.Steps, Schedule: warm(0.03), Betas: betas, Clip: 1,
		Groups: []train.Group{{Params: "**.lora_*.**", LR: c.LR}, {Params: "multi_modal_projector.**", LR: c.LR / 10}},
	}); err != nil {
		return err
	}
	if err := examine("after"); err != nil {
		return err
	}
	j.report.Scores["widgets_fade"] = j.report.Scores["widgets_old_mix_before"] - j.report.Scores["widgets_old_mix_after"]
	if err := a.Save(filepath.Join(j.flags.out, adapterDir), lora.SaveOptions{Others: []string{"multi_modal_projector.**"}}); err != nil {
		return fmt.Errorf("widgets: %w", err)
	}
	a.Remove()
	return nil
}

// widgetLesson is the few pictures that show widgets, in all the variants whose names are the same: with ten pictures of each, a widget has else been seen at half of the
// places only, and next to few others.
func (j *job) widgetLesson(l *lesson, m *connector.VLM) *lesson {
	few := *l
	few.pool = newExam(j.world, shapes.Train, shapes.Widget, widgetPictures).pool.varied(j.world.Cell)
	few.pool.look(m.Vision, j.selects())
	return &few
}

// widgetBatches makes batches of which one half asks about the few pictures and the other is stage 2's.
func widgetBatches(l, few *lesson, c Length) train.Batches[connector.Batch] {
	replay := l.samples("lora", c, func(l *lesson, r *rand.Rand, _ float64) (int, func(shapes.Scene) []turn) {
		return instructions(l, r, 1)
	})
	return func(_ context.Context, n int) (connector.Batch, error) {
		r := l.world.Rand("lora/widgets", n)
		var all []sample
		features := [][]float32{}
		for _, s := range replay(n)[:c.Batch/2] {
			all, features = append(all, s), append(features, l.pool.feature(s.picture))
		}
		for range c.Batch - c.Batch/2 {
			i := r.IntN(len(few.pool.scenes))
			q, ok := few.pool.scenes[i].Ask(r, shapes.Widget)
			if !ok {
				return connector.Batch{}, fmt.Errorf("widget picture %d shows no widget", i)
			}
			s := sample{picture: i}
			s.ids, s.labels = l.vocabulary.conversation(turns([]shapes.Question{q}), l.places, false)
			all, features = append(all, s), append(features, few.pool.feature(i))
		}
		var b connector.Batch
		b.IDs, b.Labels = l.pad(all)
		P, D := l.pool.features.Dim(1), l.pool.features.Dim(2)
		flat := make([]float32, 0, len(features)*P*D)
		for _, f := range features {
			flat = append(flat, f...)
		}
		b.Features = tensor.Wrap(flat, len(features), P, D)
		return b, nil
	}
}
