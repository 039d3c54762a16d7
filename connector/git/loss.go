package git

import (
	"math"

	"github.com/gollava/gollava/connector"
	"github.com/gollava/gollava/llm"
	"github.com/gollava/gollava/tensor"
)

// Smooth is a GIT that trains by the loss of its original repository instead of transformers' cross-entropy: the mean
// of KL(q‖p) over the labels, where q is 1−ε at the label and ε/(V−1) at every other word, with ε = 0.1.
// Source: GenerativeImage2Text, SmoothLabelCrossEntropyLoss.
type Smooth struct {
	*connector.VLM `param:",inline"`
}

// Loss is a scalar, 0 for a prediction that equals q. It panics if b has no label to learn.
func (m Smooth) Loss(b connector.Batch) *tensor.Tensor {
	var rows, labels []int32
	for i, l := range llm.Shift(b.Labels).Host().IntData() {
		if l != tensor.IgnoreIndex {
			rows, labels = append(rows, int32(i)), append(labels, l)
		}
	}
	if len(rows) == 0 {
		tensor.Fail("Loss", "no label to learn in labels %v", b.Labels.Shape())
	}
	V := m.Language.Config().VocabSize
	hidden := m.Hidden(b) // [B, T, C]
	B, T, C := hidden.Dims3()
	z := llm.Logits(m.Language, tensor.Gather(hidden.Reshape(B*T, C), tensor.WrapInts(rows, len(rows)))) // [N, V]
	const eps = 0.1
	other := eps / float64(V-1)
	entropy := (1-eps)*math.Log(1-eps) + eps*math.Log(other) // Σ q·log q
	right := tensor.LogProbs(z, tensor.WrapInts(labels, len(labels))).Mean()
	all := z.LogSoftmax().Sum(1).Mean()
	return right.Scale(float32(other+eps-1)).Add(all.Scale(float32(-other))).Affine(1, float32(entropy))
}
