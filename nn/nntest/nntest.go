// Package nntest checks models, as package httptest checks handlers.
package nntest

import (
	"fmt"
	"testing"

	"github.com/gollava/gollava/nn"
	"github.com/gollava/gollava/tensor"
)

// Check fails t unless m is a well-formed model: every parameter has a name of its own, loss reaches every parameter
// that trains with a finite gradient that is not zero throughout, and a checkpoint written and read again is the same
// to the bit. loss computes a scalar from m. unreached are patterns ([nn.Match]) of parameters without a gradient, such
// as layers above the features that are used, or one that is zero in exact arithmetic.
//
//	nntest.Check(t, model, func() *tensor.Tensor { return model.Forward(x).Mean() })
func Check(t testing.TB, m any, loss func() *tensor.Tensor, unreached ...string) {
	t.Helper()
	for _, fault := range faults(t.TempDir(), m, loss, unreached) {
		t.Error(fault)
	}
}

// faults lists what is wrong with m.
func faults(dir string, m any, loss func() *tensor.Tensor, unreached []string) (list []string) {
	say := func(format string, args ...any) { list = append(list, fmt.Sprintf(format, args...)) }
	names := map[string]bool{}
	for name, p := range nn.Params(m) {
		if names[name] {
			say("two parameters are called %s", name)
		}
		names[name] = true
		p.ZeroGrad()
	}
	if len(names) == 0 {
		return append(list, fmt.Sprintf("%T has no parameters: exported fields of type *tensor.Tensor", m))
	}
	var l *tensor.Tensor
	if err := tensor.Catch(func() { l = loss(); l.Backward() }); err != nil {
		return append(list, fmt.Sprintf("loss: %v", nn.Locate(m, err)))
	}
	for name, p := range nn.Params(m) {
		g := p.Grad()
		skipped := false
		for _, pattern := range unreached {
			skipped = skipped || nn.Match(pattern, name)
		}
		switch {
		case !p.Trainable() && g != nil:
			say("%s is frozen but has a gradient", name)
		case !p.Trainable() || skipped:
		case g == nil:
			say("%s gets no gradient: the loss does not reach it", name)
		default:
			if ok, _ := tensor.AllFinite([]*tensor.Tensor{g}); !ok {
				say("%s: its gradient holds NaN or Inf", name)
			} else if tensor.GlobalNorm([]*tensor.Tensor{g}) == 0 {
				say("%s: its gradient is zero", name)
			}
		}
		p.ZeroGrad()
	}
	if len(list) > 0 {
		return list
	}
	return reload(dir, m)
}

// reload writes m, reads it into its own parameters and compares.
func reload(dir string, m any) (list []string) {
	if err := nn.Save(m, dir, nn.SaveOptions{}); err != nil {
		return []string{fmt.Sprintf("save: %v", err)}
	}
	was := map[string]string{}
	for name, p := range nn.Params(m) {
		was[name] = string(p.Host().Bytes())
		if p.DType() != tensor.Int32 {
			p.CopyFrom(tensor.NewOf(p.DType(), p.Shape()...))
		}
	}
	w, err := nn.OpenWeights(dir)
	if err != nil {
		return []string{fmt.Sprintf("open: %v", err)}
	}
	defer w.Close()
	if err := nn.Load(m, w, nn.LoadOptions{}); err != nil {
		return []string{fmt.Sprintf("load: %v", err)}
	}
	for name, p := range nn.Params(m) {
		if string(p.Host().Bytes()) != was[name] {
			list = append(list, fmt.Sprintf("%s is another after saving and loading", name))
		}
	}
	return list
}
