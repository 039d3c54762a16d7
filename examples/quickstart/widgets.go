package main

import (
	"context"
	"fmt"
	"path/filepath"

	"github.com/gollava/gollava/connector"
	"github.com/gollava/gollava/data/shapes"
	"github.com/gollava/gollava/data/shapes/eval"
	"github.com/gollava/gollava/lora"
	"github.com/gollava/gollava/train"
	"github.com/gollava/gollava/train/study"
)

// widgetPictures is how many pictures the adapter learns eight new names from.
const widgetPictures = 80

// adapterDir is where the adapter is, as PEFT stores it.
const adapterDir = "model-lora"

// learnWidgets teaches the finished model a new vocabulary through LoRA: which of eight widgets is in the picture?
// Half of each batch repeats what stage 2 taught, without which the old skills fade. The names are spelled in letters,
// so that no word is new.
func (j *job) learnWidgets(ctx context.Context, l *study.Lesson, m *connector.VLM) error {
	c := j.Preset.Widgets
	if c.Steps == 0 {
		return nil
	}
	test := study.NewExam(j.World, shapes.Test, shapes.Widget, j.Preset.Questions)
	test.Pool.Look(m.Vision, j.Selects)
	old := j.Exams(m.Vision, shapes.Validation, j.Preset.Quick, true)
	examine := func(when string) error {
		said, err := j.Looking(m, nil).Answers(ctx, test)
		if err != nil {
			return err
		}
		right, _, err := j.Looking(m, nil).Take(ctx, old)
		if err != nil {
			return err
		}
		j.Report.Scores["widgets_"+when] = eval.Exact(test.Set, said)
		j.Report.Scores["widgets_old_mix_"+when] = eval.Mean(eval.Weights(), right)
		return nil
	}
	if err := examine("before"); err != nil {
		return err
	}
	adapter := lora.Default(16, 32)
	adapter.Targets.Pattern = "all-linear"
	adapter.Exclude.Pattern = `(vision_tower|multi_modal_projector)\..*`
	a, err := lora.Wrap(m, adapter, j.World.Rand("lora/start", 0), nil)
	if err != nil {
		return fmt.Errorf("widgets: %w", err)
	}
	if err := study.Fit(ctx, j.Study, "lora", m, train.Stage[connector.Batch]{
		Name: "lora", Batches: study.WidgetBatches(l, j.WidgetLesson(l, m, widgetPictures), c), Steps: c.Steps,
		Schedule: warm(0.03), Betas: betas, Clip: 1,
		Groups: []train.Group{{Params: "**.lora_*.**", LR: c.LR}, {Params: "multi_modal_projector.**", LR: c.LR / 10}},
	}); err != nil {
		return err
	}
	if err := examine("after"); err != nil {
		return err
	}
	scores := j.Report.Scores
	scores["widgets_fade"] = scores["widgets_old_mix_before"] - scores["widgets_old_mix_after"]
	if err := j.Alone(func() error {
		others := lora.SaveOptions{Others: []string{"multi_modal_projector.**"}}
		return a.Save(filepath.Join(j.Flags.Out, adapterDir), others)
	}); err != nil {
		return fmt.Errorf("widgets: %w", err)
	}
	a.Remove()
	return nil
}
