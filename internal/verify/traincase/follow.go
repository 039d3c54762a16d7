package traincase

import (
	"context"
	"fmt"
	"maps"

	"github.com/gollava/gollava/internal/verify"
	"github.com/gollava/gollava/nn"
	"github.com/gollava/gollava/train"
)

// Follow trains m as a recorded run was, step s on batch s mod len(batches), and compares losses, gradient norms,
// learning rates and the parameters that were recorded at the end; nothing else may move. canonical translates the
// recorded names into m's; nil: they are the same.
func Follow[B any](e *verify.Report, name string, run Recorded, m train.Model[B], batches []B,
	canonical func(string) string) error {
	if canonical == nil {
		canonical = func(name string) string { return name }
	}
	if len(batches) == 0 {
		return fmt.Errorf("%s: there are runs, but no batches", e.Path())
	}
	trains := map[string]bool{}
	var groups []train.Group
	for _, p := range run.Trainable {
		trains[canonical(p)] = true
		groups = append(groups, train.Group{Params: canonical(p)})
	}
	s, err := stage(run, name, func(_ context.Context, n int) (B, error) { return batches[n%len(batches)], nil }, groups...)
	if err != nil {
		return err
	}
	was := map[string]string{}
	for n, p := range nn.Params(m) {
		was[n] = string(p.Bytes())
	}
	rep, err := train.Run(context.Background(), m, train.Options{}, s)
	if err != nil {
		return err
	}
	curves(e, name, rep.Stages[0])
	e.Add(frozen(name, m, was, trains, unreached(e.Expected, run, canonical)))
	final := "traj." + name + ".final."
	params := maps.Collect(nn.Params(m))
	for _, n := range e.Under(final) {
		p := params[canonical(n)]
		if p == nil {
			return fmt.Errorf("run %s: the model has no parameter %s", name, n)
		}
		e.Add(verify.Norm(name+": final "+n, verify.Widen(p.Data()), e.Numbers(final+n), e.Tolerance.TrajFinal, 0))
	}
	return nil
}

// curves compares what was recorded of every step.
func curves(e *verify.Report, name string, r train.StageReport) {
	traj := "traj." + name + "."
	if e.Has(traj + "loss") {
		e.Add(verify.Absolute(name+": loss", r.Loss, e.Numbers(traj+"loss"), e.Tolerance.TrajLoss))
	}
	e.Add(verify.Relative(name+": gradient norm", r.Norm, e.Numbers(traj+"grad_norm"), e.Tolerance.TrajNorm),
		verify.Relative(name+": learning rate", r.LR, e.Numbers(traj+"lr"), 1e-6)) // recorded as float32
}

// unreached are the parameters whose recorded gradient is 0 throughout: training without weight decay leaves them as
// they are.
func unreached(e *verify.Expected, run Recorded, canonical func(string) string) map[string]bool {
	none := map[string]bool{}
	if run.Decay > 0 {
		return none
	}
	for _, n := range e.Under("grad.") {
		zero := true
		for _, v := range e.Numbers("grad." + n) {
			zero = zero && v == 0
		}
		if zero {
			none[canonical(n)] = true
		}
	}
	return none
}

// frozen passes if exactly what the run trains and reaches has moved, to the bit.
func frozen(name string, m any, was map[string]string, trains, unreached map[string]bool) verify.Row {
	r := verify.Row{What: name + ": frozen bytes", Pass: true}
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
