package main

import (
	"context"
	"io"

	"github.com/gollava/gollava/connector"
	"github.com/gollava/gollava/llm"
	"github.com/gollava/gollava/train"
	"github.com/gollava/gollava/vit"
)

// Baselines are models that lack one thing, trained on the same instructions. They say what the thing is worth: a number alone proves nothing in a world in which a
// third of all questions can be guessed.

// quietly is the same job without a word.
func (j *job) quietly() *job {
	q := *j
	q.out = io.Discard
	return &q
}

// compared is how long baselines are tuned: with -full as long as the model itself.
func (j *job) compared() Length {
	c := j.preset.Compare
	if j.flags.full {
		c = j.preset.Tune
	}
	return c
}

// trainBlind tunes the language model on the instructions without their pictures.
func (j *job) trainBlind(ctx context.Context, l *lesson) (llm.Model, error) {
	r, err := j.quietly().language(ctx, l)
	if err != nil {
		return nil, err
	}
	m, c := r.Language, j.compared()
	return m, fit(ctx, j, "blind", &blindfolded{m}, train.Stage[connector.Batch]{
		Name: "blind", Batches: pictureBatches(l, "tune", c, instructions), Steps: c.Steps, Schedule: warm(0.03), Betas: betas, Clip: 1,
		Groups: []train.Group{{Params: "**", LR: c.LR}},
	})
}

// untuned joins the towers as they are before stage 1.
func (j *job) untuned(ctx context.Context, l *lesson, clip *vit.CLIP) (*connector.VLM, error) {
	r, err := j.quietly().language(ctx, l)
	if err != nil {
		return nil, err
	}
	return j.join(clip, r.Language)
}

// trainShort is the model itself, tuned no longer than the baselines: how far it is ahead of one of them is what that one's lack costs.
func (j *job) trainShort(ctx context.Context, l *lesson, clip *vit.CLIP) (*connector.VLM, error) {
	m, err := j.untuned(ctx, l, clip)
	if err != nil {
		return nil, err
	}
	return m, fit(ctx, j, "short", m, j.alignment(l), j.tuning(l, j.compared()))
}

// trainUnaligned skips stage 1.
func (j *job) trainUnaligned(ctx context.Context, l *lesson, clip *vit.CLIP) (*connector.VLM, error) {
	m, err := j.untuned(ctx, l, clip)
	if err != nil {
		return nil, err
	}
	return m, fit(ctx, j, "no-stage-1", m, j.tuning(l, j.compared()))
}

// trainRandom takes both stages with a vision tower that never learnt anything. It returns the lesson as that tower sees it.
func (j *job) trainRandom(ctx context.Context, l *lesson) (*connector.VLM, error) {
	clip, err := j.newCLIP("random")
	if err != nil {
		return nil, err
	}
	m, err := j.untuned(ctx, l, clip)
	if err != nil {
		return nil, err
	}
	blurred := *l
	blurred.pool = l.pool.unseen()
	blurred.pool.look(clip.Tower(), j.selects())
	return m, fit(ctx, j, "random-encoder", m, j.alignment(&blurred), j.tuning(&blurred, j.compared()))
}
