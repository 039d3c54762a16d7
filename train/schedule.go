package train

import (
	"fmt"
	"math"
)

// Schedule is how learning rates change over the steps of a stage, as transformers' get_scheduler has it: the first
// step of a warm-up has rate 0.
type Schedule struct {
	Kind        string  `json:"kind,omitempty"`         // constant (or ""), constant_with_warmup, linear, cosine
	WarmupRatio float64 `json:"warmup_ratio,omitempty"` // warm-up takes ⌈ratio·steps⌉ steps, or
	WarmupSteps int     `json:"warmup_steps,omitempty"` // this many, if positive
	Floor       float64 `json:"floor,omitempty"`        // the share of the peak that linear and cosine end at; 0 as transformers
}

// Constant keeps the rate.
func Constant() Schedule { return Schedule{Kind: "constant"} }

// Linear warms up over the given share of the steps, then falls to 0 in a straight line.
func Linear(warmupRatio float64) Schedule { return Schedule{Kind: "linear", WarmupRatio: warmupRatio} }

// Cosine warms up over the given share of the steps, then falls to 0 along half a cosine: LLaVA's, with 0.03.
func Cosine(warmupRatio float64) Schedule { return Schedule{Kind: "cosine", WarmupRatio: warmupRatio} }

// Warmup is the number of warm-up steps of a stage of the given length.
func (s Schedule) Warmup(steps int) int {
	if s.WarmupSteps > 0 {
		return s.WarmupSteps
	}
	return int(math.Ceil(s.WarmupRatio * float64(steps)))
}

// Factor is what the peak rate is multiplied with at step (0 is the first) of a stage of the given length.
func (s Schedule) Factor(step, steps int) float64 {
	if s.Kind == "" || s.Kind == "constant" {
		return 1
	}
	warm := s.Warmup(steps)
	if step < warm {
		return float64(step) / float64(max(1, warm))
	}
	done := float64(step-warm) / float64(max(1, steps-warm))
	f := 1.0
	switch s.Kind {
	case "linear":
		f = math.Max(0, 1-done)
	case "cosine":
		f = math.Max(0, 0.5*(1+math.Cos(math.Pi*done)))
	}
	return s.Floor + (1-s.Floor)*f
}

// Validate returns an error that names the field.
func (s Schedule) Validate() error {
	switch s.Kind {
	case "", "constant", "constant_with_warmup", "linear", "cosine":
	default:
		return fmt.Errorf("schedule kind %q is not known (constant, constant_with_warmup, linear, cosine are)", s.Kind)
	}
	switch {
	case !(s.WarmupRatio >= 0 && s.WarmupRatio <= 1):
		return fmt.Errorf("schedule warmup_ratio %v is outside [0, 1]", s.WarmupRatio)
	case s.WarmupSteps < 0:
		return fmt.Errorf("schedule warmup_steps %d is negative", s.WarmupSteps)
	case !(s.Floor >= 0 && s.Floor <= 1):
		return fmt.Errorf("schedule floor %v is outside [0, 1]", s.Floor)
	}
	return nil
}
