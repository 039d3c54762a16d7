package modelcase

import (
	"context"
	"fmt"
	"slices"
	"strings"

	"github.com/gollava/gollava/internal/verify"
	"github.com/gollava/gollava/lora"
	"github.com/gollava/gollava/tensor"
	"github.com/gollava/gollava/train"
)

// run is a recorded training run of an adapter.
type run struct {
	Optimizer  string
	Steps      int
	LR         float64
	Betas      [2]float64
	Eps        float64
	Decay      float64 `json:"weight_decay"`
	Schedule   string
	Warmup     int     `json:"warmup_steps"`
	Clip       float64 `json:"max_grad_norm"`
	StartsFrom string  `json:"starts_from"`
	Trainable  []string
}

// pupil is what trains: a subject, whose model's parameters it shows.
type pupil struct {
	Model any `param:",inline"`

	s subject
}

// Loss is that of the case's only batch.
func (p *pupil) Loss(struct{}) *tensor.Tensor { return p.s.loss() }

func (r run) check(e *verify.Expected, name, base, adapter string, b batch, tol verify.Tolerance) (rows []verify.Row, err error) {
	if r.Optimizer != "adamw" || r.StartsFrom != "adapter" {
		return nil, fmt.Errorf("optimizer %q from %q is not supported: adamw from adapter is", r.Optimizer, r.StartsFrom)
	}
	s, err := openSubject(e, b, base)
	if err != nil {
		return nil, err
	}
	a, err := lora.Load(s.model(), adapter, s.namings()...)
	if err != nil {
		return nil, err
	}
	var trains []string
	for n := range a.Params() {
		trains = append(trains, n)
	}
	if !slices.Equal(sorted(trains), sorted(r.Trainable)) {
		return nil, fmt.Errorf("the adapter trains %v, recorded are %v", sorted(trains), sorted(r.Trainable))
	}
	p := &pupil{s.model(), s}
	var groups []train.Group
	for _, pattern := range a.Patterns() {
		groups = append(groups, train.Group{Params: pattern, LR: r.LR, WeightDecay: r.Decay})
	}
	report, err := train.Run(context.Background(), p, train.Options{}, train.Stage[struct{}]{
		Name: name, Steps: r.Steps, Groups: groups, Betas: r.Betas, Eps: r.Eps, Clip: r.Clip,
		Schedule: train.Schedule{Kind: r.Schedule, WarmupSteps: r.Warmup},
		Batches:  func(context.Context, int) (struct{}, error) { return struct{}{}, nil },
	})
	if err != nil {
		return nil, err
	}
	got, traj := report.Stages[0], "traj."+name+"."
	rows = append(rows, verify.Absolute(name+": loss", got.Loss, e.Numbers(traj+"loss"), tol.TrajLoss),
		verify.Relative(name+": gradient norm", got.Norm, e.Numbers(traj+"grad_norm"), tol.TrajNorm),
		verify.Relative(name+": learning rate", got.LR, e.Numbers(traj+"lr"), 1e-6)) // recorded as float32
	final := map[string]*tensor.Tensor{}
	for n, t := range a.Params() {
		final[n] = t
	}
	for _, n := range e.Under(traj + "final.") {
		t := final[n]
		if t == nil {
			rows = append(rows, verify.Failed(name+": final "+n, fmt.Errorf("the adapter has no such parameter")))
			continue
		}
		rows = append(rows, verify.Norm(name+": final "+strings.TrimPrefix(n, "base_model.model."), verify.Widen(t.Data()), e.Numbers(traj+"final."+n), tol.TrajFinal, 0))
	}
	return rows, nil
}
