package train

import (
	"context"
	"fmt"
	"maps"
	"slices"
	"strings"

	"github.com/gollava/gollava/nn"
	"github.com/gollava/gollava/tensor"
)

// evaluate runs the evaluations that are due, on the averaged weights if there are any, and says why the stage is to stop, if it is.
func (r *runner[B]) evaluate(ctx context.Context, rep *StageReport, end bool) (stop string, err error) {
	var due []Evaluation
	for _, e := range r.stage.Evaluate {
		last := r.at.Step >= r.config.Steps // then at the end only
		if end || e.Every > 0 && r.at.Step%e.Every == 0 && !last {
			due = append(due, e)
		}
	}
	if len(due) == 0 {
		return "", nil
	}
	if !end {
		defer r.swapAverage()()
	}
	nn.Eval(r.model)
	for _, e := range due {
		start := r.now()
		var scores map[string]float64
		if caught := tensor.Catch(func() { scores, err = e.Run(ctx) }); caught != nil {
			err = nn.Locate(r.model, caught)
		}
		if err != nil {
			if ctx.Err() != nil {
				return "", nil // the loop saves and stops
			}
			return "", fmt.Errorf("evaluation %q after step %d: %w", e.Name, r.at.Step, err)
		}
		rep.Scores = maps.Clone(rep.Scores)
		if rep.Scores == nil {
			rep.Scores = map[string]float64{}
		}
		maps.Copy(rep.Scores, scores)
		if err := r.emit(Event{Kind: "evaluation", Stage: r.stage.Name, Step: r.at.Step, Scores: scores, Text: e.Name, Seconds: r.now().Sub(start).Seconds()}); err != nil {
			return "", err
		}
		better, why, err := r.at.judge(e, scores)
		if err != nil {
			return "", fmt.Errorf("evaluation %q after step %d: %w", e.Name, r.at.Step, err)
		}
		if better {
			r.improved = append(r.improved, e.Name)
		}
		if why != "" && stop == "" {
			stop = why
		}
	}
	return stop, nil
}

// judge compares a score with the best so far and says when patience is at its end.
func (s *state) judge(e Evaluation, scores map[string]float64) (better bool, stop string, err error) {
	if e.Best == "" {
		return false, "", nil
	}
	name, lowest := strings.CutPrefix(e.Best, "-")
	score, ok := scores[name]
	if !ok {
		return false, "", fmt.Errorf("best: there is no score %q, only %v", name, slices.Sorted(maps.Keys(scores)))
	}
	b, seen := s.Best[e.Name]
	if finite(score) && (!seen || score > b.Score && !lowest || score < b.Score && lowest) {
		s.setBest(e.Name, bestOf{Score: score, Step: s.Step})
		return true, "", nil
	}
	b.Since++
	s.setBest(e.Name, b)
	if e.Patience > 0 && b.Since >= e.Patience {
		return false, fmt.Sprintf("%s has not improved on %v, reached at step %d, in %d evaluations", name, b.Score, b.Step, b.Since), nil
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
func (s *session) swapAverage() (back func()) {
	var was []*tensor.Tensor
	for _, t := range s.all {
		if t.ema != nil {
			was = append(was, t.p.Clone())
			t.p.CopyFrom(t.ema)
		}
	}
	return func() {
		for i, w := range was {
			s.all[i].p.CopyFrom(w)
		}
	}
}
