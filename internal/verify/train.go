package verify

import (
	"context"
	"fmt"
	"maps"

	"github.com/gollava/gollava/nn"
	"github.com/gollava/gollava/train"
)

// training is one recorded run.
type training struct {
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

// stage is a training stage with the run's values.
func stage[B any](c training, name string, batches train.Batches[B], groups ...train.Group) train.Stage[B] {
	if c.Optimizer != "adamw" {
		failf("run %s: optimizer %q is not known: adamw is", name, c.Optimizer)
	}
	if len(groups) == 0 {
		groups = []train.Group{{Params: "**"}}
	}
	for i := range groups {
		groups[i].LR, groups[i].WeightDecay = c.LR, c.Decay
	}
	return train.Stage[B]{Name: name, Batches: batches, Steps: c.Steps, Groups: groups, Betas: c.Betas, Eps: c.Eps,
		Clip: c.Clip, Schedule: train.Schedule{Kind: c.Schedule, WarmupSteps: c.Warmup}}
}

// follow trains a model that load returns for each recorded run as it was, step s on batch s mod len(batches), and
// compares losses, gradient norms, learning rates and the parameters that were recorded at the end; nothing else may
// move. canonical translates the recorded names into the model's; nil: they are the same.
func follow[B any](r *Report, load func(name string, run training) train.Model[B], batches []B,
	canonical func(string) string) {
	for _, name := range sorted(r.Runs) {
		followed(r, name, r.Runs[name], load(name, r.Runs[name]), batches, canonical)
	}
}

// followed is follow for one run and its model.
func followed[B any](r *Report, name string, run training, m train.Model[B], batches []B,
	canonical func(string) string) {
	if canonical == nil {
		canonical = func(name string) string { return name }
	}
	if len(batches) == 0 {
		failf("%s: there are runs, but no batches", r.Path())
	}
	trains := map[string]bool{}
	var groups []train.Group
	for _, p := range run.Trainable {
		trains[canonical(p)] = true
		groups = append(groups, train.Group{Params: canonical(p)})
	}
	next := func(_ context.Context, n int) (B, error) { return batches[n%len(batches)], nil }
	s := stage(run, name, next, groups...)
	was := contents(m)
	rep := must(train.Run(context.Background(), m, train.Options{}, s))
	curves(r, name, rep.Stages[0])
	r.add(frozen(name, m, was, trains, unreached(r, run, canonical)))
	final := "traj." + name + ".final."
	params := maps.Collect(nn.Params(m))
	for _, n := range r.under(final) {
		p := params[canonical(n)]
		if p == nil {
			failf("run %s: the model has no parameter %s", name, n)
		}
		r.add(norm(name+": final "+n, widen(p.Data()), r.numbers(final+n), r.Tolerance.TrajFinal, 0))
	}
}

// contents are the bytes of a model's parameters by name.
func contents(m any) map[string]string {
	bytes := map[string]string{}
	for name, p := range nn.Params(m) {
		bytes[name] = string(p.Bytes())
	}
	return bytes
}

// curves compares what was recorded of every step.
func curves(r *Report, name string, s train.StageReport) {
	traj := "traj." + name + "."
	if r.has(traj + "loss") {
		r.add(absolute(name+": loss", s.Loss, r.numbers(traj+"loss"), r.Tolerance.TrajLoss))
	}
	r.add(relative(name+": gradient norm", s.Norm, r.numbers(traj+"grad_norm"), r.Tolerance.TrajNorm),
		relative(name+": learning rate", s.LR, r.numbers(traj+"lr"), 1e-6)) // recorded as float32
}

// unreached are the parameters whose recorded gradient is 0 throughout: training without weight decay leaves them as
// they are.
func unreached(r *Report, run training, canonical func(string) string) map[string]bool {
	none := map[string]bool{}
	if run.Decay > 0 {
		return none
	}
	for _, n := range r.under("grad.") {
		zero := true
		for _, v := range r.numbers("grad." + n) {
			zero = zero && v == 0
		}
		none[canonical(n)] = none[canonical(n)] || zero
	}
	return none
}

// frozen passes if exactly what the run trains and reaches has moved, to the bit.
func frozen(name string, m any, was map[string]string, trains, unreached map[string]bool) Row {
	r := Row{What: name + ": frozen bytes", Pass: true}
	still := 0
	for n, p := range nn.Params(m) {
		same := was[n] == string(p.Bytes())
		if same {
			still += p.Len() * p.DType().Bytes(1)
		}
		if same == (trains[n] && !unreached[n]) {
			r.Pass = false
			r.Detail += fmt.Sprintf("%s: trains %v, unmoved %v; ", n, trains[n], same)
		}
	}
	r.Detail += fmt.Sprintf("%d bytes unmoved", still)
	return r
}
