package verify

import (
	"github.com/gollava/gollava/tensor"
	"github.com/gollava/gollava/vit/imagebind"
)

// imageBind compares what every tower computes, the losses and their gradients.
func imageBind(r *Report, m *imagebind.Model) {
	z := map[imagebind.Modality]*tensor.Tensor{}
	for _, kind := range m.Has() {
		x := r.tensor("in." + string(kind))
		pre, flat := m.Preprocessor(kind), x
		if clips := pre.Clips(x); clips > 0 {
			flat = x.Reshape(append([]int{x.Dim(0) * clips}, x.Shape()[2:]...)...)
		}
		tokens := pre.Tokens(flat)
		hidden := m.Hidden(kind, tokens)
		r.output("tokens."+string(kind), tokens)
		r.output("trunk."+string(kind), hidden)
		r.output("head."+string(kind), m.Project(kind, hidden, flat))
		z[kind] = m.Encode(kind, x)
		r.output(string(kind), z[kind])
	}
	if r.has("out.video") {
		r.output("video", m.Encode(imagebind.Vision, r.tensor("in.video")))
	}
	total := tensor.New()
	for _, kind := range m.Has() {
		if kind == imagebind.Vision {
			continue
		}
		r.output("logits."+string(kind), z[imagebind.Vision].MatMulT(z[kind]))
		loss := imagebind.InfoNCE(z[imagebind.Vision], z[kind])
		r.loss("loss."+string(kind), loss)
		total = total.Add(loss)
	}
	r.loss("loss", total)
	r.backward(total, m, nil)
}
