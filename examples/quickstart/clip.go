package main

import (
	"context"

	"github.com/gollava/gollava/tensor"
	"github.com/gollava/gollava/train"
	"github.com/gollava/gollava/train/study"
	"github.com/gollava/gollava/vit"
)

// contrast is CLIP as it trains: which caption belongs to which picture?
type contrast struct {
	CLIP *vit.CLIP `param:"clip"`
}

// pairs are pictures with their captions, and captions that are wrong in one thing.
type pairs struct {
	Pixels *tensor.Tensor // [B, 3, S, S]
	Texts  *tensor.Tensor // int32 [M, T], the captions first
	Same   *tensor.Tensor // [B, M], −10⁴ where a caption equals another picture's
	Ends   []int32        // [M], lengths of the texts
}

// In is b in scope s.
func (b pairs) In(s *tensor.Arena) pairs {
	b.Pixels, b.Texts, b.Same = b.Pixels.In(s), b.Texts.In(s), b.Same.In(s)
	return b
}

// Loss is Radford et al.'s symmetric cross-entropy; the wrong captions are additional negatives of the pictures.
func (m *contrast) Loss(b pairs) *tensor.Tensor {
	image := m.CLIP.EncodeImage(b.Pixels)      // [B, E]
	text := m.CLIP.EncodeText(b.Texts, b.Ends) // [M, E]
	return vit.ContrastiveLoss(m.CLIP.Logits(image, text), b.Same)
}

// pairBatches makes batch n: one object a picture in the first half, then one or two. Captions that tell four objects
// apart by place and colour would teach no shapes.
func pairBatches(l *study.Lesson, c study.Length) train.Batches[pairs] {
	return func(_ context.Context, n int) (pairs, error) {
		r := l.World.Rand("clip", n)
		objects := 1
		if 2*n >= c.MicroBatches() {
			objects = 2
		}
		var b pairs
		var right, wrong []string
		var chosen []int
		for range c.Batch {
			i := l.Pool.Pick(r, 1+r.IntN(objects))
			told, twisted := l.Pool.Scenes[i].Contrast(r)
			chosen, right = append(chosen, i), append(right, told)
			if twisted != "" {
				wrong = append(wrong, twisted)
			}
		}
		b.Pixels = l.Pool.Pixels(chosen)
		b.Texts, b.Ends = l.Vocabulary.Texts(append(right, wrong...))
		b.Same = study.Equal(right, len(right)+len(wrong))
		return b, nil
	}
}
