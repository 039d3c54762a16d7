package traincase

import (
	"context"
	"fmt"
	"maps"
	"math"
	"path/filepath"
	"slices"
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

func adamw(dir string, c caseFile) (rows []Row, err error) {
	e, err := verify.Open(dir, "expected.safetensors")
	if err != nil {
		return nil, err
	}
	defer e.Close()
	for _, name := range slices.Sorted(maps.Keys(c.Runs)) {
		run := c.Runs[name]
		m := &given{e.Tensor("in.param.a"), e.Tensor("in.param.b"), e.Tensor("in.param.c")}
		var grads [3]*tensor.Tensor
		for i, p := range givenNames {
			grads[i] = e.Tensor("in.grads." + p)
		}
		if e.Err != nil {
			return nil, e.Err
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
			return nil, err
		}
		var path [3][]float64
		s.After = func(int) {
			for i, p := range params {
				path[i] = append(path[i], verify.Widen(p.Data())...)
			}
		}
		rep, err := train.Run(context.Background(), m, train.Options{}, s)
		if err != nil {
			return nil, err
		}
		traj := "traj." + name + "."
		for i, p := range givenNames {
			rows = append(rows, verify.Norm(name+": parameter "+p, path[i], e.Numbers(traj+"param."+p), c.Tolerance.TrajFinal, 0))
		}
		rows = append(rows, verify.Relative(name+": gradient norm", rep.Stages[0].Norm, e.Numbers(traj+"grad_norm"), c.Tolerance.TrajNorm),
			verify.Relative(name+": learning rate", rep.Stages[0].LR, e.Numbers(traj+"lr"), 1e-6)) // recorded as float32
	}
	return rows, e.Err
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

func schedule(dir string, c caseFile) ([]Row, error) {
	if c.File != filepath.Base(c.File) {
		return nil, fmt.Errorf("file %q lies elsewhere", c.File)
	}
	var all []rates
	if err := verify.ReadJSON(filepath.Join(dir, c.File), &all); err != nil {
		return nil, err
	}
	var rows []Row
	for _, r := range all {
		s := train.Schedule{Kind: r.Name, WarmupRatio: r.Ratio}
		what := fmt.Sprintf("%s, %d steps, warm-up %v", r.Name, r.Steps, r.Ratio)
		if r.Ratio == 0 {
			s.WarmupSteps = r.Warmup
			what = fmt.Sprintf("%s, %d steps, %d of warm-up", r.Name, r.Steps, r.Warmup)
		}
		if err := s.Validate(); err != nil {
			return nil, err
		}
		got := make([]float64, len(r.At))
		for i, at := range r.At {
			got[i] = r.LR * s.Factor(at, r.Steps)
		}
		row := verify.Absolute(what, got, r.Value, c.Relative*math.Abs(r.LR))
		if w := s.Warmup(r.Steps); w != r.Warmup && !strings.EqualFold(r.Name, "constant") {
			row.Pass, row.Detail = false, fmt.Sprintf("warm-up of %d steps instead of %d", w, r.Warmup)
		}
		rows = append(rows, row)
	}
	return rows, nil
}
