package traincase

import (
	"context"
	"fmt"
	"strings"

	"github.com/gollava/gollava/internal/verify"
	"github.com/gollava/gollava/nn"
	"github.com/gollava/gollava/train"
)

// Follow trains m as a recorded run was, step s on batch s mod len(batches), and compares losses, gradient norms, learning rates and the
// parameters that were recorded at the end; nothing else may move. canonical translates the recorded names into m's.
func Follow[B any](e *verify.Expected, name string, run Recorded, m train.Model[B], batches []B, canonical func(string) string, tol verify.Tolerance) ([]Row, error) {
	trains := map[string]bool{}
	var groups []train.Group
	for _, p := range run.Trainable {
		trains[canonical(p)] = true
		groups = append(groups, train.Group{Params: canonical(p)})
	}
	s, err := stage(run, name, func(_ context.Context, n int) (B, error) { return batches[n%len(batches)], nil }, groups...)
	if err != nil {
		return nil, err
	}
	was := map[string]string{}
	for n, p := range nn.Params(m) {
		was[n] = string(p.Bytes())
	}
	rep, err := train.Run(context.Background(), m, train.Options{}, s)
	if err != nil {
		return nil, err
	}
	r, traj := rep.Stages[0], "traj."+name+"."
	rows := []Row{verify.Absolute(name+": loss", r.Loss, e.Numbers(traj+"loss"), tol.TrajLoss),
		verify.Relative(name+": gradient norm", r.Norm, e.Numbers(traj+"grad_norm"), tol.TrajNorm),
		verify.Relative(name+": learning rate", r.LR, e.Numbers(traj+"lr"), 1e-6), // recorded as float32
		frozen(name, m, was, trains, unreached(e, run, canonical))}
	for _, n := range e.Names() {
		tail, ok := strings.CutPrefix(n, traj+"final.")
		if !ok {
			continue
		}
		var got []float64
		for p, t := range nn.Params(m) {
			if p == canonical(tail) {
				got = verify.Widen(t.Data())
			}
		}
		if got == nil {
			return nil, fmt.Errorf("run %s: the model has no parameter %s", name, tail)
		}
		rows = append(rows, verify.Norm(name+": final "+tail, got, e.Numbers(n), tol.TrajFinal, 0))
	}
	return rows, e.Err
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
