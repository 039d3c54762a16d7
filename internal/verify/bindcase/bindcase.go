// Package bindcase checks ImageBind and its sound input against what the authors' code and torchaudio compute: the tasks imagebind and melspec.
package bindcase

import (
	"fmt"
	"path/filepath"

	"github.com/gollava/gollava/internal/verify"
	"github.com/gollava/gollava/nn"
	"github.com/gollava/gollava/tensor"
	"github.com/gollava/gollava/vit/imagebind"
)

// ImageBind checks a case of the task imagebind.
func ImageBind(dir string) (rows []verify.Row, err error) {
	var c struct {
		Checkpoints []string
		Tolerance   verify.Tolerance
	}
	if err := verify.ReadJSON(filepath.Join(dir, "case.json"), &c); err != nil {
		return nil, err
	}
	if len(c.Checkpoints) == 0 {
		return nil, fmt.Errorf("checkpoints: none are listed")
	}
	e, err := verify.Open(dir, "expected.safetensors")
	if err != nil {
		return nil, err
	}
	defer e.Close()
	for _, sub := range c.Checkpoints {
		at, err := verify.Inside(dir, sub)
		if err != nil {
			return nil, err
		}
		m, err := imagebind.Load(at, nn.LoadOptions{DType: nn.As(tensor.Float32)})
		if err != nil {
			return nil, err
		}
		var got []verify.Row
		if caught := tensor.Catch(func() { got, err = towers(e, m, c.Tolerance) }); caught != nil {
			err = nn.Locate(m, caught)
		}
		if err == nil {
			err = e.Err
		}
		if err != nil {
			return nil, err
		}
		for _, r := range got {
			if sub != "." {
				r.What = sub + ": " + r.What
			}
			rows = append(rows, r)
		}
	}
	return rows, nil
}

// towers compares what every tower computes, the losses and their gradients.
func towers(e *verify.Expected, m *imagebind.Model, tol verify.Tolerance) (rows []verify.Row, err error) {
	out := func(name string, t *tensor.Tensor) {
		rows = append(rows, verify.Absolute(name, verify.Widen(t.Data()), e.Numbers("out."+name), tol.Out))
	}
	z := map[imagebind.Modality]*tensor.Tensor{}
	var total *tensor.Tensor
	for _, kind := range m.Has() {
		x := e.Tensor("in." + string(kind))
		if x == nil {
			return nil, e.Err
		}
		pre, flat := m.Preprocessor(kind), x
		if clips := pre.Clips(x); clips > 0 {
			flat = x.Reshape(append([]int{x.Dim(0) * clips}, x.Shape()[2:]...)...)
		}
		tokens := pre.Tokens(flat)
		hidden := m.Hidden(kind, tokens)
		out("tokens."+string(kind), tokens)
		out("trunk."+string(kind), hidden)
		out("head."+string(kind), m.Project(kind, hidden, flat))
		z[kind] = m.Encode(kind, x)
		out(string(kind), z[kind])
	}
	if video := e.Tensor("in.video"); video != nil {
		out("video", m.Encode(imagebind.Vision, video))
	}
	for _, kind := range m.Has() {
		if kind == imagebind.Vision {
			continue
		}
		out("logits."+string(kind), z[imagebind.Vision].MatMulT(z[kind]))
		loss := imagebind.InfoNCE(z[imagebind.Vision], z[kind])
		rows = append(rows, verify.Absolute("loss."+string(kind), []float64{float64(loss.Item())}, e.Numbers("out.loss."+string(kind)), tol.Loss))
		if total != nil {
			loss = total.Add(loss)
		}
		total = loss
	}
	if total == nil {
		return nil, fmt.Errorf("%s: the model has pictures alone: there is no loss to compare", e.Path())
	}
	rows = append(rows, verify.Absolute("loss", []float64{float64(total.Item())}, e.Numbers("out.loss"), tol.Loss))
	total.Backward()
	grads := map[string]*tensor.Tensor{}
	for name, p := range nn.Params(m) {
		grads[name] = p.Grad()
	}
	return append(rows, e.Gradients(tol, func(name string) *tensor.Tensor { return grads[name] })...), nil
}
