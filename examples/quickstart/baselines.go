package main

import (
	"context"
	"io"

	"github.com/gollava/gollava/connector"
	"github.com/gollava/gollava/llm"
	"github.com/gollava/gollava/tensor"
	"github.com/gollava/gollava/train"
	"github.com/gollava/gollava/train/study"
	"github.com/gollava/gollava/vit"
)

// Baselines are models that lack one thing, trained on the same instructions. They say what the thing is worth: a
// number alone proves nothing in a world in which a third of all questions can be guessed.

// quietly is the same job without a word.
func (j *job) quietly() *job {
	q := *j.Study
	q.Out = io.Discard
	return &job{&q}
}

// trainBlind tunes the language model on the instructions without their pictures, in a folder of the run.
func (j *job) trainBlind(ctx context.Context, l *study.Lesson, name string, c study.Length,
	teach study.Course) (llm.Model, error) {
	r, err := j.quietly().language(ctx, l)
	if err != nil {
		return nil, err
	}
	m := r.Language
	return m, study.Fit(ctx, j.Study, name, &blindfolded{m}, train.Stage[connector.Batch]{
		Name: "blind", Batches: pictureBatches(l, "tune", c, teach), Steps: c.Steps, Schedule: warm(0.03), Betas: betas,
		Clip:   1,
		Groups: []train.Group{{Params: "**", LR: c.LR}},
	})
}

// blindfolded is a language model that learns from instructions without their pictures: what can be guessed from the
// questions alone.
type blindfolded struct {
	Language llm.Model `param:"language_model"`
}

// Loss is the mean cross-entropy of the answers.
func (m blindfolded) Loss(b connector.Batch) *tensor.Tensor {
	B, T := b.IDs.Dims2()
	text, places := study.Apart(b.IDs.IntData())
	x := m.Language.Embed(tensor.WrapInts(text, B, T).In(b.IDs.Arena())) // [B, T, C]
	C := x.Dim(2)
	x = tensor.ScatterRows(x.Reshape(B*T, C), tensor.WrapInts(places, len(places)),
		tensor.New(len(places), C)).Reshape(B, T, C)
	return llm.Loss(m.Language, llm.Input{Embeds: x}, b.Labels)
}

// untuned joins the towers as they are before stage 1.
func (j *job) untuned(ctx context.Context, l *study.Lesson, clip *vit.CLIP) (*connector.VLM, error) {
	r, err := j.quietly().language(ctx, l)
	if err != nil {
		return nil, err
	}
	return j.join(clip, r.Language)
}

// trainShort is the model itself, tuned no longer than the baselines: how far it is ahead of one of them is what that
// one's lack costs.
func (j *job) trainShort(ctx context.Context, l *study.Lesson, clip *vit.CLIP) (*connector.VLM, error) {
	m, err := j.untuned(ctx, l, clip)
	if err != nil {
		return nil, err
	}
	return m, study.Fit(ctx, j.Study, "short", m, j.alignment(l), j.tuning(l, j.Compared(), study.Instructions))
}

// trainUnaligned skips stage 1.
func (j *job) trainUnaligned(ctx context.Context, l *study.Lesson, clip *vit.CLIP) (*connector.VLM, error) {
	m, err := j.untuned(ctx, l, clip)
	if err != nil {
		return nil, err
	}
	return m, study.Fit(ctx, j.Study, "no-stage-1", m, j.tuning(l, j.Compared(), study.Instructions))
}

// trainRandom takes both stages with a vision tower that never learnt anything. It returns the lesson as that tower
// sees it.
func (j *job) trainRandom(ctx context.Context, l *study.Lesson) (*connector.VLM, error) {
	clip, err := j.newCLIP("random")
	if err != nil {
		return nil, err
	}
	m, err := j.untuned(ctx, l, clip)
	if err != nil {
		return nil, err
	}
	blurred := *l
	blurred.Pool = l.Pool.Unseen()
	blurred.Pool.Look(clip.Tower(), j.Selects)
	return m, study.Fit(ctx, j.Study, "random-encoder", m, j.alignment(&blurred),
		j.tuning(&blurred, j.Compared(), study.Instructions))
}

// compare trains the baselines and examines them.
func (j *job) compare(ctx context.Context, l *study.Lesson, clip *vit.CLIP, exams []*study.Exam,
	sit study.Sitting) error {
	told, err := j.quietly().language(ctx, l)
	if err != nil {
		return err
	}
	if err := sit("text_oracle", "told", j.Told(told), exams); err != nil {
		return err
	}
	if j.Compared().Steps == 0 {
		return nil
	}
	if !j.Flags.Full {
		short, err := j.trainShort(ctx, l, clip)
		if err != nil {
			return err
		}
		if err := sit("short", "short", j.Looking(short, nil), exams); err != nil {
			return err
		}
	}
	blind, err := j.trainBlind(ctx, l, "blind", j.Compared(), study.Instructions)
	if err != nil {
		return err
	}
	if err := sit("blind", "blind", j.Blind(blind), exams); err != nil {
		return err
	}
	unaligned, err := j.trainUnaligned(ctx, l, clip)
	if err != nil {
		return err
	}
	if err := sit("no_stage_1", "no stage 1", j.Looking(unaligned, nil), exams); err != nil {
		return err
	}
	random, err := j.trainRandom(ctx, l)
	if err != nil {
		return err
	}
	others := make([]*study.Exam, len(exams)) // the same questions, as another tower sees them
	for i, e := range exams {
		others[i] = &study.Exam{Family: e.Family, Set: e.Set, Pool: e.Pool.Unseen()}
		others[i].Pool.Look(random.Vision, j.Selects)
	}
	return sit("random_encoder", "random", j.Looking(random, nil), others)
}
