package train

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"

	"github.com/gollava/gollava/nn"
	"github.com/gollava/gollava/tensor"
)

// evaluate runs the evaluations that are due, on the averaged weights if there are any.
func (r *runner[B]) evaluate(ctx context.Context, rep *StageReport, end bool) error {
	err := r.evaluations(ctx, rep, end)
	if err != nil && ctx.Err() != nil {
		return r.interrupted(ctx)
	}
	if err == nil {
		r.at.Pending = 0
	}
	return err
}

func (r *runner[B]) evaluations(ctx context.Context, rep *StageReport, end bool) error {
	last := r.at.Step >= r.config.Steps || r.at.Stop != "" // then once, at the end
	swapped := false
	for i := max(0, r.at.Pending-1); i < len(r.stage.Evaluate); i++ {
		e := r.stage.Evaluate[i]
		if !end && (last || e.Every == 0 || r.at.Step%e.Every != 0) {
			continue
		}
		if !swapped {
			swapped = true
			back, err := r.swapAverage()
			defer back()
			if err != nil {
				return err
			}
			nn.Eval(r.model)
		}
		if err := ctx.Err(); err != nil {
			return err
		}
		start := r.now()
		scores, generated, err := e.run(ctx)
		var misuse *tensor.Error
		if errors.As(err, &misuse) {
			err = nn.Locate(r.model, err)
		}
		if err = r.agree(err); err != nil {
			return fmt.Errorf("evaluation %q after step %d: %w", e.Name, r.at.Step, err)
		}
		// decisions are rank 0's
		seen, err := first(&r.session, func() (result, error) { return result{scores, generated}, nil })
		if err != nil {
			return err
		}
		scores, generated = seen.Scores, seen.Generated
		rep.Scores = maps.Clone(rep.Scores)
		if rep.Scores == nil {
			rep.Scores = map[string]float64{}
		}
		maps.Copy(rep.Scores, scores)
		if err := r.emit(Event{Kind: "evaluation", Stage: r.stage.Name, Step: r.at.Step, Scores: scores, Text: e.Name,
			Generated: generated,
			Seconds:   r.now().Sub(start).Seconds()}); err != nil {
			return err
		}
		key := r.stage.Name + "/" + e.Name
		better, why, err := r.at.judge(key, e, scores)
		if err != nil {
			return fmt.Errorf("evaluation %q after step %d: %w", e.Name, r.at.Step, err)
		}
		if better {
			r.improved = append(r.improved, key)
		}
		if !end && r.at.Stop == "" {
			r.at.Stop = why
		}
		r.at.Pending = i + 2
	}
	return nil
}

// result is what an evaluation found.
type result struct {
	Scores    map[string]float64
	Generated []string
}

// run calls Run and Generate; a panic of package tensor comes back as an error.
func (e Evaluation) run(ctx context.Context) (scores map[string]float64, generated []string, err error) {
	caught := tensor.Catch(func() {
		if e.Run != nil {
			scores, err = e.Run(ctx)
		}
		if e.Generate != nil && err == nil {
			generated, err = e.Generate(ctx)
		}
	})
	if caught != nil {
		err = caught
	}
	return scores, generated, err
}

// judge compares a score with the best so far and says when patience is at its end.
func (s *state) judge(key string, e Evaluation, scores map[string]float64) (better bool, stop string, err error) {
	if e.Best == "" {
		return false, "", nil
	}
	name, lowest := strings.CutPrefix(e.Best, "-")
	score, ok := scores[name]
	if !ok {
		return false, "", fmt.Errorf("best: there is no score %q, only %v", name, slices.Sorted(maps.Keys(scores)))
	}
	b, seen := s.Best[key]
	if finite(score) && (!seen || score > b.Score && !lowest || score < b.Score && lowest) {
		s.setBest(key, bestOf{Score: score, Step: s.Step})
		return true, "", nil
	}
	b.Since++
	s.setBest(key, b)
	if e.Patience > 0 && b.Since >= e.Patience {
		return false, fmt.Sprintf("%s has not improved on %v, reached at step %d, in %d evaluations", name, b.Score, b.Step,
			b.Since), nil
	}
	return false, "", nil
}

func (s *state) setBest(name string, b bestOf) {
	if s.Best == nil {
		s.Best = map[string]bestOf{}
	}
	s.Best[name] = b
}

// swapAverage puts the averaged weights into the model and returns the function that takes them out again.
func (r *runner[B]) swapAverage() (back func(), err error) {
	if r.config.EMA == 0 {
		return func() {}, nil
	}
	r.hold()
	was := make([]*tensor.Tensor, len(r.all))
	for i, t := range r.all {
		was[i] = t.p.Clone()
	}
	return func() {
		for i, t := range r.all {
			t.p.CopyFrom(was[i])
		}
	}, r.useAverage(r.config.EMA)
}
