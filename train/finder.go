package train

import (
	"context"
	"fmt"
	"math"

	"github.com/gollava/gollava/nn"
	"github.com/gollava/gollava/tensor"
)

// RatePoint is the loss at a learning rate.
type RatePoint struct{ LR, Loss, Average float64 }

// FindLR raises the learning rate from low to high over the given number of steps, by the same factor each, and reports
// the loss on the way, up to where it diverges. best is a tenth of the rate at which the averaged loss is lowest, a
// good peak rate for the first group; the others keep their ratio to it. The model is the same afterwards, bit by bit.
// Source: Smith 2017, "Cyclical Learning Rates for Training Neural Networks".
func FindLR[B any](ctx context.Context, model Model[B], s Stage[B], low, high float64, steps int) (points []RatePoint,
	best float64, err error) {
	fail := func(err error) ([]RatePoint, float64, error) {
		return points, 0, fmt.Errorf("train: learning rates of stage %q: %w", s.Name, err)
	}
	if !(low > 0 && high > low) || steps < 3 {
		return fail(fmt.Errorf("from %v to %v in %d steps: it takes at least 3, from above 0 upwards", low, high, steps))
	}
	s.Steps, s.Epochs, s.Schedule, s.EMA = steps, 0, Constant(), 0
	groups := append([]Group(nil), s.Groups...)
	s.Groups = groups
	r, err := trial(model, s)
	if err != nil {
		return fail(err)
	}
	if groups[0].LR <= 0 {
		return fail(fmt.Errorf("group %q: its lr is what the others are relative to and must be positive", groups[0].Params))
	}
	defer nn.Autocast(model, s.Autocast)()
	var was []*tensor.Tensor
	for _, t := range r.all {
		was = append(was, t.p.Clone())
	}
	defer func() {
		for i, t := range r.all {
			t.p.CopyFrom(was[i])
		}
		nn.Eval(model)
		r.forget()
	}()
	ratio := make([]float64, len(groups))
	for i := range groups {
		ratio[i] = groups[i].LR / groups[0].LR
	}
	var rep StageReport
	average, least := 0.0, math.Inf(1)
	for i := range steps {
		if err := ctx.Err(); err != nil {
			return fail(err)
		}
		lr := low * math.Pow(high/low, float64(i)/float64(steps-1))
		for g := range groups {
			r.stage.Groups[g].LR = lr * ratio[g]
		}
		if err := r.step(ctx, &rep); err != nil {
			return fail(err)
		}
		loss := rep.Loss[i]
		if !finite(loss) {
			break
		}
		const keep = 0.8
		average = keep*average + (1-keep)*loss
		a := average / (1 - math.Pow(keep, float64(i+1)))
		points = append(points, RatePoint{lr, loss, a})
		if least = min(least, a); a > 4*least {
			break
		}
	}
	lowest := 0
	for i, p := range points {
		if p.Average < points[lowest].Average {
			lowest = i
		}
	}
	if lowest == 0 {
		return fail(fmt.Errorf("the loss falls at no rate between %v and %v: begin lower, or look at the data", low, high))
	}
	best = points[lowest].LR / 10
	return points, best, nil
}
