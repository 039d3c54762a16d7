// Package traincase checks training against folders of reference runs, by way of the public trainer: the tasks "adamw" (ten updates with given
// gradients), "schedule" (learning rates), "accumulation" (micro-batches of different lengths) and "llava_stages" (a small LLaVA through both stages).
package traincase

import (
	"fmt"
	"path/filepath"

	"github.com/gollava/gollava/internal/verify"
	"github.com/gollava/gollava/tensor"
	"github.com/gollava/gollava/train"
)

// Row is how far one result is off.
type Row = verify.Row

// caseFile is case.json.
type caseFile struct {
	Format     int
	Task       string
	Runs       map[string]Recorded
	Micro      int              `json:"micro_batches"`
	Supervised []int            `json:"supervised_tokens"`
	File       string           // schedule: where the rates are
	Relative   float64          `json:"relative_tolerance"`
	Tolerance  verify.Tolerance // of everything else
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

// Run checks a folder and returns a row for each result. Differences are no errors; a folder that cannot be read is.
func Run(dir string) (rows []Row, err error) {
	path := filepath.Join(dir, "case.json")
	var c caseFile
	if err := verify.ReadJSON(path, &c); err != nil {
		return nil, fmt.Errorf("traincase: %w", err)
	}
	tasks := map[string]func(string, caseFile) ([]Row, error){"adamw": adamw, "schedule": schedule, "accumulation": accumulation, "llava_stages": stages}
	task := tasks[c.Task]
	switch {
	case c.Format != 1:
		err = fmt.Errorf("%s: format %d is not known: 1 is", path, c.Format)
	case task == nil:
		err = fmt.Errorf("%s: task %q is not known: adamw, schedule, accumulation and llava_stages are", path, c.Task)
	default:
		caught := tensor.Catch(func() { rows, err = task(dir, c) })
		if caught != nil {
			err = caught
		}
	}
	if err != nil {
		return nil, fmt.Errorf("traincase: %s: %w", dir, err)
	}
	return rows, nil
}
