package verify

import (
	"context"
	"fmt"
	"math"
	"strings"

	"github.com/gollava/gollava/tensor"
	"github.com/gollava/gollava/train"
)

// given is a model whose gradients are given: its loss is Σ parameter·gradient.
type given struct {
	A *tensor.Tensor `param:"a"`
	B *tensor.Tensor `param:"b"`
	C *tensor.Tensor `param:"c"`
}

// gradients are those of a step, in the order of given's fields.
type gradients [3]*tensor.Tensor

func (m *given) Loss(g gradients) *tensor.Tensor {
	loss := m.A.Mul(g[0]).Sum()
	return loss.Add(m.B.Mul(g[1]).Sum()).Add(m.C.Mul(g[2]).Sum())
}

// adamW checks updates with given gradients.
func adamW(r *Report, c struct{ Runs map[string]training }) {
	names := [3]string{"a", "b", "c"}
	for _, name := range sorted(c.Runs) {
		m := &given{r.tensor("in.param.a"), r.tensor("in.param.b"), r.tensor("in.param.c")}
		var grads [3]*tensor.Tensor
		for i, p := range names {
			grads[i] = r.tensor("in.grads." + p)
		}
		params := [3]*tensor.Tensor{m.A.Param(), m.B.Param(), m.C.Param()}
		s := stage(c.Runs[name], name, func(_ context.Context, n int) (g gradients, err error) {
			for i, p := range params {
				if grads[i].Len() < (n+1)*p.Len() {
					return g, fmt.Errorf("no gradients for step %d", n+1)
				}
				g[i] = tensor.From(grads[i].Data()[n*p.Len():(n+1)*p.Len()], p.Shape()...)
			}
			return g, nil
		})
		var path [3][]float64
		s.After = func(int) {
			for i, p := range params {
				path[i] = append(path[i], widen(p.Data())...)
			}
		}
		rep := must(train.Run(context.Background(), m, train.Options{}, s))
		for i, p := range names {
			r.add(norm(name+": parameter "+p, path[i], r.numbers("traj."+name+".param."+p), r.Tolerance.TrajFinal, 0))
		}
		curves(r, name, rep.Stages[0])
	}
}

// rates is one entry of the schedule's file.
type rates struct {
	Name   string
	Steps  int
	Ratio  float64 `json:"warmup_ratio"`
	Warmup int     `json:"warmup_steps"`
	LR     float64
	At     []int
	Value  []float64
}

// schedule checks learning rates.
func schedule(r *Report, c struct {
	File     string
	Relative float64 `json:"relative_tolerance"`
}) {
	var all []rates
	readJSON(inside(r.Dir, c.File), &all)
	for _, x := range all {
		s := train.Schedule{Kind: x.Name, WarmupRatio: x.Ratio}
		what := fmt.Sprintf("%s, %d steps, warm-up %v", x.Name, x.Steps, x.Ratio)
		if x.Ratio == 0 {
			s.WarmupSteps = x.Warmup
			what = fmt.Sprintf("%s, %d steps, %d of warm-up", x.Name, x.Steps, x.Warmup)
		}
		check(s.Validate())
		got := make([]float64, len(x.At))
		for i, at := range x.At {
			got[i] = x.LR * s.Factor(at, x.Steps)
		}
		row := absolute(what, got, x.Value, c.Relative*math.Abs(x.LR))
		if w := s.Warmup(x.Steps); w != x.Warmup && !strings.EqualFold(x.Name, "constant") {
			row.Pass, row.Detail = false, fmt.Sprintf("warm-up of %d steps instead of %d", w, x.Warmup)
		}
		r.add(row)
	}
}
