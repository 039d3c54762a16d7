package study

import (
	"context"
	"image"

	"github.com/gollava/gollava/tensor"
	"github.com/gollava/gollava/train"
	"github.com/gollava/gollava/vit"
)

// Contrast is CLIP as it trains: which caption belongs to which picture?
type Contrast struct {
	CLIP *vit.CLIP `param:"clip"`
}

// Pairs are pictures with their captions, and captions that are wrong in one thing.
type Pairs struct {
	Pixels *tensor.Tensor // [B, 3, S, S]
	Texts  *tensor.Tensor // int32 [M, T], the captions first
	Same   *tensor.Tensor // [B, M], −10⁴ where a caption equals another picture's
	Ends   []int32        // [M], lengths of the texts
}

// In is b in scope s.
func (b Pairs) In(s *tensor.Arena) Pairs {
	b.Pixels, b.Texts, b.Same = b.Pixels.In(s), b.Texts.In(s), b.Same.In(s)
	return b
}

// Loss is Radford et al.'s symmetric cross-entropy; the wrong captions are additional negatives of the pictures.
func (m *Contrast) Loss(b Pairs) *tensor.Tensor {
	image := m.CLIP.EncodeImage(b.Pixels)      // [B, E]
	text := m.CLIP.EncodeText(b.Texts, b.Ends) // [M, E]
	return vit.ContrastiveLoss(m.CLIP.Logits(image, text), b.Same)
}

// PairBatches makes batch n: one object a picture in the first half, then one or two. Captions that tell four objects
// apart by place and colour would teach no shapes.
func PairBatches(l *Lesson, c Length) train.Batches[Pairs] {
	return func(_ context.Context, n int) (Pairs, error) {
		r := l.World.Rand("clip", n)
		objects := 1
		if 2*n >= c.MicroBatches() {
			objects = 2
		}
		var b Pairs
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
		b.Same = Equal(right, len(right)+len(wrong))
		return b, nil
	}
}

// Equal is what vit.ContrastiveLoss adds to the logits [B, M] of B pictures, whose own these texts are, and M ≥ B
// texts, these first: −10⁴ where text j is the same as text i and yet another picture's, else 0.
func Equal(texts []string, M int) *tensor.Tensor {
	same := make([]float32, len(texts)*M)
	for i, a := range texts {
		for j, b := range texts {
			if i != j && a == b {
				same[i*M+j] = -1e4
			}
		}
	}
	return tensor.Wrap(same, len(texts), M)
}

// Pixels are the pictures of at least one scene, each value v in 0 … 255 as scale(v): [B, 3, S, S].
func Pixels[S interface{ Image() *image.RGBA }](scenes []S, scale func(v float32) float32) *tensor.Tensor {
	var x []float32
	var side int
	for _, s := range scenes {
		m := s.Image()
		side = m.Rect.Dx()
		for c := range 3 {
			for at := c; at < len(m.Pix); at += 4 {
				x = append(x, scale(float32(m.Pix[at])))
			}
		}
	}
	return tensor.Wrap(x, len(scenes), 3, side, side)
}
