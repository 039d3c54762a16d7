package traincase

import (
	"context"
	"fmt"
	"math"
	"strings"

	"github.com/gollava/gollava/internal/verify"
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

var givenNames = [3]string{"a", "b", "c"}

// AdamW checks the task adamw: ten updates with given gradients.
func AdamW(dir string) ([]verify.Row, error) { return verify.Check(dir, adamw) }

func adamw(e *verify.Report, c caseFile) error {
	for _, name := range verify.Sorted(c.Runs) {
		run := c.Runs[name]
		m := &given{e.Tensor("in.param.a"), e.Tensor("in.param.b"), e.Tensor("in.param.c")}
		var grads [3]*tensor.Tensor
		for i, p := range givenNames {
			grads[i] = e.Tensor("in.grads." + p)
		}
		if e.Err != nil {
			return e.Err
		}
		params := [3]*tensor.Tensor{m.A.Param(), m.B.Param(), m.C.Param()}
		s, err := stage(run, name, func(_ context.Context, n int) (g gradients, err error) {
			for i, p := range params {
				if grads[i].Len() < (n+1)*p.Len() {
					return g, fmt.Errorf("no gradients for step %d", n+1)
				}
				g[i] = tensor.From(grads[i].Data()[n*p.Len():(n+1)*p.Len()], p.Shape()...)
			}
			return g, nil
		})
		if err != nil {
			return err
		}
		var path [3][]float64
		s.After = func(int) {
			for i, p := range params {
				path[i] = append(path[i], verify.Widen(p.Data())...)
			}
		}
		rep, err := train.Run(context.Background(), m, train.Options{}, s)
		if err != nil {
			return err
		}
		for i, p := range givenNames {
			e.Add(verify.Norm(name+": parameter "+p, path[i], e.Numbers("traj."+name+".param."+p),
				e.Tolerance.TrajFinal, 0))
		}
		curves(e, name, rep.Stages[0])
	}
	return nil
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

// Schedule checks the task schedule: learning rates.
func Schedule(dir string) ([]verify.Row, error) { return verify.Check(dir, schedule) }

func schedule(e *verify.Report, c caseFile) error {
	path, err := verify.Inside(e.Dir, c.File)
	if err != nil {
		return err
	}
	var all []rates
	if err := verify.ReadJSON(path, &all); err != nil {
		return err
	}
	for _, r := range all {
		s := train.Schedule{Kind: r.Name, WarmupRatio: r.Ratio}
		what := fmt.Sprintf("%s, %d steps, warm-up %v", r.Name, r.Steps, r.Ratio)
		if r.Ratio == 0 {
			s.WarmupSteps = r.Warmup
			what = fmt.Sprintf("%s, %d steps, %d of warm-up", r.Name, r.Steps, r.Warmup)
		}
		if err := s.Validate(); err != nil {
			return err
		}
		got := make([]float64, len(r.At))
		for i, at := range r.At {
			got[i] = r.LR * s.Factor(at, r.Steps)
		}
		row := verify.Absolute(what, got, r.Value, c.Relative*math.Abs(r.LR))
		if w := s.Warmup(r.Steps); w != r.Warmup && !strings.EqualFold(r.Name, "constant") {
			row.Pass, row.Detail = false, fmt.Sprintf("warm-up of %d steps instead of %d", w, r.Warmup)
		}
		e.Add(row)
	}
	return nil
}
