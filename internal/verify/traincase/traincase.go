// Package traincase checks training against folders of reference runs, by way of the public trainer: the tasks "adamw" (ten updates with given
// gradients), "schedule" (learning rates), "accumulation" (micro-batches of different lengths) and "llava_stages" (a small LLaVA through both stages).
package traincase

import (
	"fmt"

	"github.com/gollava/gollava/train"
)

// caseFile is case.json.
type caseFile struct {
	Runs       map[string]Recorded
	Micro      int     `json:"micro_batches"`
	Supervised []int   `json:"supervised_tokens"`
	File       string  // schedule: where the rates are
	Relative   float64 `json:"relative_tolerance"`
}

// Recorded is one recorded run.
type Recorded struct {
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
func stage[B any](c Recorded, name string, batches train.Batches[B], groups ...train.Group) (train.Stage[B], error) {
	if c.Optimizer != "adamw" {
		return train.Stage[B]{}, fmt.Errorf("run %s: optimizer %q is not known: adamw is", name, c.Optimizer)
	}
	if len(groups) == 0 {
		groups = []train.Group{{Params: "**"}}
	}
	for i := range groups {
		groups[i].LR, groups[i].WeightDecay = c.LR, c.Decay
	}
	return train.Stage[B]{Name: name, Batches: batches, Steps: c.Steps, Groups: groups, Betas: c.Betas, Eps: c.Eps, Clip: c.Clip,
		Schedule: train.Schedule{Kind: c.Schedule, WarmupSteps: c.Warmup}}, nil
}
