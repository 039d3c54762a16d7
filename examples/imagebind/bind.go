package main

import (
	"context"
	"io"

	"github.com/gollava/gollava/data/shapes"
	"github.com/gollava/gollava/tensor"
	"github.com/gollava/gollava/train"
	"github.com/gollava/gollava/train/study"
	"github.com/gollava/gollava/vit"
	"github.com/gollava/gollava/vit/imagebind"
)

// pairs are pictures, or their embeddings, and what belongs to them.
type pairs struct {
	images, others *tensor.Tensor
	same           *tensor.Tensor // of texts, [B, M]: −10⁴ where a text equals another picture's
}

// In is b in scope s.
func (b pairs) In(s *tensor.Arena) pairs {
	b.images, b.others = b.images.In(s), b.others.In(s)
	if b.same != nil {
		b.same = b.same.In(s)
	}
	return b
}

// looker trains pictures and texts; the texts may be more than the pictures, which then are wrong ones.
type looker struct {
	Model *imagebind.Model `param:",inline"`
}

// Loss is CLIP's symmetric cross-entropy.
func (l looker) Loss(b pairs) *tensor.Tensor {
	logits := l.Model.Encode(imagebind.Vision, b.images).MatMulT(l.Model.Encode(imagebind.Text, b.others))
	return vit.ContrastiveLoss(logits, b.same)
}

// listener trains one tower against the frozen embeddings of pictures.
type listener struct {
	Model *imagebind.Model `param:",inline"`
	kind  imagebind.Modality
}

// Loss is InfoNCE in both directions.
func (l listener) Loss(b pairs) *tensor.Tensor {
	return imagebind.InfoNCE(b.images, l.Model.Encode(l.kind, b.others))
}

// groups are the parameters of towers, without the constant scales.
func groups(kinds ...imagebind.Modality) (list []train.Group) {
	for _, kind := range kinds {
		for _, part := range []string{"preprocessors", "trunks", "heads"} {
			list = append(list, train.Group{Params: "modality_" + part + "." + string(kind) + ".**", LR: 2e-3,
				WeightDecay: 0.05})
		}
	}
	return list
}

// look trains the towers of pictures and texts: one object a picture in the first half, then one or two.
func (b *binder) look(ctx context.Context, p preset, out io.Writer) error {
	batches := func(_ context.Context, n int) (pairs, error) {
		r := b.world.Rand("look", n)
		var scenes []shapes.Scene
		var right, wrong []string
		one := n%2 == 0 // all have a colour in common, so that places tell their captions apart
		color := shapes.Color(r.IntN(6))
		for len(scenes) < p.batch {
			s := b.scene(shapes.Train, r.IntN(1<<20), 1+min(2*n/p.look, 1))
			if one && s.Objects[0].Color != color {
				continue
			}
			told, twisted := s.Contrast(r)
			scenes, right = append(scenes, s), append(right, told)
			if twisted != "" {
				wrong = append(wrong, twisted)
			}
		}
		same := study.Equal(right, len(right)+len(wrong))
		return pairs{pictures(scenes), b.texts(append(right, wrong...)), same}, nil
	}
	stage := train.Stage[pairs]{Name: "look", Batches: train.Prefetch(batches, 2), Steps: p.look,
		Schedule: train.Cosine(0.05), Clip: 1, Every: 150,
		Groups: append(groups(imagebind.Vision, imagebind.Text),
			train.Group{Params: "modality_postprocessors.text.**", LR: 2e-3})}
	_, err := train.Run(ctx, looker{b.Model}, b.options("look", out), stage)
	return err
}

// bind trains the tower of a modality on its pairs with pictures, whose embeddings are computed once.
func (b *binder) bind(ctx context.Context, kind imagebind.Modality, p preset, out io.Writer) error {
	scenes := make([]shapes.Scene, p.pool)
	for i := range scenes {
		scenes[i] = b.scene(shapes.Train, 1<<20+i, 2)
	}
	images, err := b.embed(imagebind.Vision, scenes)
	if err != nil {
		return err
	}
	others, err := b.senses(kind, scenes)
	if err != nil {
		return err
	}
	batches := func(_ context.Context, n int) (pairs, error) {
		r, ids := b.world.Rand("bind/"+string(kind), n), make([]int32, p.batch)
		for i := range ids {
			ids[i] = int32(r.IntN(p.pool))
		}
		chosen := tensor.WrapInts(ids, p.batch)
		return pairs{images: tensor.Gather(images, chosen), others: tensor.Gather(others, chosen)}, nil
	}
	stage := train.Stage[pairs]{Name: string(kind), Batches: batches, Steps: p.listen, Schedule: train.Cosine(0.05),
		Clip: 1, Every: 150, Groups: groups(kind)}
	_, err = train.Run(ctx, listener{b.Model, kind}, b.options(string(kind), out), stage)
	return err
}
