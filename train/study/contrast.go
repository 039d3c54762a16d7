package study

import (
	"image"

	"github.com/gollava/gollava/tensor"
)

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
