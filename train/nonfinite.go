package train

import (
	"context"
	"fmt"
	"math"
	"slices"

	"github.com/gollava/gollava/nn"
	"github.com/gollava/gollava/tensor"
)

// skip leaves a step with NaN or Inf out; after three in a row the run goes back to its last good state, and if that
// does not help it ends.
func (r *runner[B]) skip(ctx context.Context, rep *StageReport, problem string, lr float64) error {
	if problem == "" {
		found, err := share(r.comm(), r.findGradient(ctx))
		if err != nil {
			return err
		}
		for rank, f := range slices.Backward(found) {
			if problem == "" || f.Operation {
				problem = f.Text
				if len(found) > 1 {
					problem = r.named(rank) + ": " + problem
				}
			}
		}
	}
	for _, t := range r.all {
		t.p.ZeroGrad()
	}
	r.at.Step++
	r.at.Skipped++
	r.at.Bad++
	nan := math.NaN()
	rep.Loss, rep.Norm, rep.LR = append(rep.Loss, nan), append(rep.Norm, nan), append(rep.LR, lr)
	if err := r.note("skipped", "step %d changes nothing: %s", r.at.Step, problem); err != nil {
		return err
	}
	if r.at.Bad < patience {
		return nil
	}
	if r.at.Rolled {
		return fmt.Errorf("step %d: going back to an earlier state did not help: %s", r.at.Step, problem)
	}
	if err := r.settle(true); err != nil {
		return err
	}
	from, err := r.rollback()
	if err != nil {
		return fmt.Errorf("step %d: %d steps in a row are not finite and %w: %s", r.at.Step, patience, err, problem)
	}
	r.at.Bad, r.at.Rolled = 0, true
	return r.note("rollback", "%d steps in a row were not finite; weights and optimizer are those of step %d again, the "+
		"data goes on", patience, from)
}

// locate runs a micro-batch again to find the operation whose result is not finite first.
func (r *runner[B]) locate(b B, k int, what string) string {
	s := fmt.Sprintf("%s of micro-batch %d%s is not finite", what, r.index(k), named(b))
	if err := r.inspect(b, k); err != nil {
		return s + ": " + err.Error()
	}
	return s
}

// inspect returns the error that names the first operation of b's forward and backward pass with a result that is not
// finite, or nil.
func (r *runner[B]) inspect(b B, k int) error {
	for _, t := range r.all {
		t.p.ZeroGrad()
	}
	nn.Train(r.model, r.config.Seed, uint64(r.index(k)))
	err := tensor.Catch(func() {
		tensor.CheckFinite(func(s *tensor.Arena) { r.Model.Loss(in(b, s)).Backward() })
	})
	if err == nil {
		return nil
	}
	return nn.Locate(r.model, err)
}

// finding is what is known of a gradient that is not finite.
type finding struct {
	Text      string
	Operation bool // the one that began is named
}

// findGradient says which gradient is not finite, and if running this rank's micro-batches again shows it, which
// operation began.
func (r *runner[B]) findGradient(ctx context.Context) finding {
	s := "the gradient is not finite"
	gs := make([]*tensor.Tensor, len(r.all))
	for i, t := range r.all {
		gs[i] = t.p.Grad()
	}
	if ok, i := tensor.AllFinite(gs); !ok {
		s = fmt.Sprintf("the gradient of %s %v is not finite", r.all[i].name, r.all[i].p.Shape())
	}
	for k := r.comm().Rank(); k < r.config.Accumulate; k += r.comm().Size() {
		b, err := r.batch(ctx, k)
		if err != nil {
			break
		}
		if err := r.inspect(b, k); err != nil {
			return finding{fmt.Sprintf("%s: micro-batch %d%s: %v", s, r.index(k), named(b), err), true}
		}
	}
	return finding{Text: s}
}
