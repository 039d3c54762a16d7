// Package bindcase checks ImageBind and its sound input against what the authors' code and torchaudio compute: the
// tasks imagebind and melspec.
package bindcase

import (
	"fmt"

	"github.com/gollava/gollava/internal/verify"
	"github.com/gollava/gollava/nn"
	"github.com/gollava/gollava/tensor"
	"github.com/gollava/gollava/vit/imagebind"
)

// ImageBind checks a case of the task imagebind.
func ImageBind(dir string) ([]verify.Row, error) {
	return verify.Check(dir, func(r *verify.Report, c struct{ Checkpoints []string }) error {
		return r.Checkpoints(c.Checkpoints, func(dir string) error {
			m, err := imagebind.Load(dir, nn.LoadOptions{DType: nn.As(tensor.Float32)})
			if err != nil {
				return err
			}
			return towers(r, m)
		})
	})
}

// towers compares what every tower computes, the losses and their gradients.
func towers(r *verify.Report, m *imagebind.Model) error {
	z := map[imagebind.Modality]*tensor.Tensor{}
	var total *tensor.Tensor
	for _, kind := range m.Has() {
		x := r.Tensor("in." + string(kind))
		if x == nil {
			return r.Err
		}
		pre, flat := m.Preprocessor(kind), x
		if clips := pre.Clips(x); clips > 0 {
			flat = x.Reshape(append([]int{x.Dim(0) * clips}, x.Shape()[2:]...)...)
		}
		tokens := pre.Tokens(flat)
		hidden := m.Hidden(kind, tokens)
		r.Output("tokens."+string(kind), tokens)
		r.Output("trunk."+string(kind), hidden)
		r.Output("head."+string(kind), m.Project(kind, hidden, flat))
		z[kind] = m.Encode(kind, x)
		r.Output(string(kind), z[kind])
	}
	if r.Has("out.video") {
		video := r.Tensor("in.video")
		if video == nil {
			return r.Err
		}
		r.Output("video", m.Encode(imagebind.Vision, video))
	}
	for _, kind := range m.Has() {
		if kind == imagebind.Vision {
			continue
		}
		r.Output("logits."+string(kind), z[imagebind.Vision].MatMulT(z[kind]))
		loss := imagebind.InfoNCE(z[imagebind.Vision], z[kind])
		r.Loss("loss."+string(kind), loss)
		if total != nil {
			loss = total.Add(loss)
		}
		total = loss
	}
	if total == nil {
		return fmt.Errorf("%s: the model has images alone: there is no loss to compare", r.Path())
	}
	r.Loss("loss", total)
	total.Backward()
	r.Gradients(m, nil)
	return nil
}
