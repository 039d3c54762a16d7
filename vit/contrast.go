package vit

import (
	"github.com/gollava/gollava/tensor"
)

// Logits are exp(logit_scale)·image·textᵀ: [B, M] of unit vectors [B, E] and [M, E].
func (m *CLIP) Logits(image, text *tensor.Tensor) *tensor.Tensor {
	return image.MatMulT(text).Mul(m.LogitScale.In(image.Arena()).Exp())
}

// MaxLogitScale is ln 100, above which CLIP's training does not let the scale grow.
const MaxLogitScale float32 = 4.6051702

// ClampLogitScale brings the scale back into [0, ln 100]; call it after every optimizer step.
func (m *CLIP) ClampLogitScale() {
	m.LogitScale.Fill(min(max(m.LogitScale.Item(), 0), MaxLogitScale))
}

// ContrastiveLoss is ½(CE over texts + CE over images) of logits [B, M]: image i belongs to text i; texts from B on are
// extra negatives of the images. same, if not nil, is [B, M] and added to the logits: a large negative number takes a
// pair out that only looks like a negative (an equal caption).
func ContrastiveLoss(logits, same *tensor.Tensor) *tensor.Tensor {
	if same != nil {
		logits = logits.Add(same)
	}
	B, M := logits.Dims2()
	if M < B {
		tensor.Fail("ContrastiveLoss", "logits %v: %d images need as many texts", logits.Shape(), B)
	}
	target := make([]int, B)
	for i := range target {
		target[i] = i
	}
	labels := tensor.Ints(target, B)
	byText := tensor.CrossEntropy(logits, labels)
	byImage := tensor.CrossEntropy(logits.Slice(1, 0, B).Transpose(), labels)
	return byText.Add(byImage).Scale(0.5)
}
