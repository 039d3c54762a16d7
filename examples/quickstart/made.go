package main

import (
	"context"

	"github.com/gollava/gollava/connector"
	"github.com/gollava/gollava/train/study"
	"github.com/gollava/gollava/vit"
)

// compareMade tunes two models from the same start, on the same images, for as many steps: one on the world's own
// instructions, one on what a teacher that sees no image wrote from captions and boxes.
func (j *job) compareMade(ctx context.Context, l *study.Lesson, clip *vit.CLIP) error {
	course, report, err := j.Make(ctx, l)
	if err != nil {
		return err
	}
	j.Printf("data · %d instructions about %d images: %v", report.Accepted, report.Pictures, report.ByKind)
	tune := func(name string, teach study.Course) (*connector.VLM, error) {
		m, err := j.untuned(ctx, l, clip)
		if err != nil {
			return nil, err
		}
		return m, study.Fit(ctx, j.Study, name, m, j.alignment(l), j.tuning(l, j.Preset.Made, teach))
	}
	own, err := tune("vlm", study.Instructions)
	if err != nil {
		return err
	}
	made, err := tune(study.MadeParts[0], course)
	if err != nil {
		return err
	}
	blind, err := j.trainBlind(ctx, l, study.MadeParts[1], j.Preset.Made, course)
	if err != nil {
		return err
	}
	return j.CompareMade(ctx, made, own, j.Blind(blind))
}
