// Package traincase checks training against folders of reference runs, by way of the public trainer: the tasks "adamw" (ten updates with given
// gradients), "schedule" (learning rates), "accumulation" (micro-batches of different lengths) and "llava_stages" (a small LLaVA through both stages).
package traincase

import (
	"encoding/json"
	"fmt"
	"io"
	"math"
	"os"
	"path/filepath"

	"github.com/gollava/gollava/internal/safetensors"
	"github.com/gollava/gollava/tensor"
	"github.com/gollava/gollava/train"
)

// Row is how far one result is off.
type Row struct {
	What      string  // "plain: parameter a", "stage1: loss", …
	MaxAbs    float64 // largest difference of any number
	MaxRel    float64 // what a relative tolerance looks at: ‖got−want‖₂/‖want‖₂ of a tensor, or the largest |got−want|/|want| of numbers
	Tolerance float64 // of MaxAbs or MaxRel
	Pass      bool
	Detail    string
}

// caseFile is case.json.
type caseFile struct {
	Format     int
	Task       string
	Runs       map[string]runConfig
	Micro      int       `json:"micro_batches"`
	Supervised []int     `json:"supervised_tokens"`
	File       string    // schedule: where the rates are
	Relative   float64   `json:"relative_tolerance"`
	Tolerance  tolerance // of everything else
}

type tolerance struct {
	Loss      float64 `json:"loss_abs"`
	Grad      float64 `json:"grad_rel"`
	GradFloor float64 `json:"grad_floor"`
	TrajLoss  float64 `json:"traj_loss_abs"`
	TrajNorm  float64 `json:"traj_grad_norm_rel"`
	TrajFinal float64 `json:"traj_final_rel"`
}

// runConfig is one recorded run.
type runConfig struct {
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
func stage[B any](c runConfig, name string, batches train.Batches[B], groups ...train.Group) (train.Stage[B], error) {
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
	if err := readJSON(path, &c); err != nil {
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

func readJSON(path string, to any) error {
	f, err := os.Open(path)
	if err != nil {
		return err
	}
	defer f.Close()
	b, err := io.ReadAll(io.LimitReader(f, 16<<20))
	if err == nil {
		err = json.Unmarshal(b, to)
	}
	if err != nil {
		return fmt.Errorf("%s: %w", path, err)
	}
	return nil
}

// expected holds the tensors of a case by name.
type expected struct {
	*safetensors.File
	err error // the first of get's
}

func open(dir, name string) (*expected, error) {
	f, err := safetensors.Open(filepath.Join(dir, name))
	return &expected{File: f}, err
}

// get reads a tensor, float32 or int32. A missing one is remembered and nil.
func (e *expected) get(name string) *tensor.Tensor {
	i, ok := e.Info(name)
	dt := map[string]tensor.DType{"F32": tensor.Float32, "I32": tensor.Int32}
	if _, known := dt[i.DType]; !ok || !known {
		if e.err == nil {
			e.err = fmt.Errorf("%s: there is no float32 or int32 tensor %s", e.Path(), name)
		}
		return nil
	}
	t := tensor.NewOf(dt[i.DType], i.Shape...)
	if err := e.ReadAt(i, t.Bytes(), 0); err != nil && e.err == nil {
		e.err = err
	}
	return t
}

// numbers reads a float32 tensor as float64.
func (e *expected) numbers(name string) []float64 {
	t := e.get(name)
	if t == nil || t.DType() != tensor.Float32 {
		return nil
	}
	return widen(t.Data())
}

func widen(x []float32) []float64 {
	out := make([]float64, len(x))
	for i, v := range x {
		out[i] = float64(v)
	}
	return out
}

// compare measures got against want.
func compare(what string, got, want []float64) Row {
	r := Row{What: what, Detail: fmt.Sprintf("%d numbers", len(want))}
	if len(got) != len(want) {
		r.MaxAbs, r.MaxRel = math.Inf(1), math.Inf(1)
		r.Detail = fmt.Sprintf("%d numbers instead of %d", len(got), len(want))
		return r
	}
	at := 0
	for i, w := range want {
		d := math.Abs(got[i] - w)
		if math.IsNaN(d) {
			d = math.Inf(1)
		}
		if d > r.MaxAbs {
			r.MaxAbs, at = d, i
		}
		if w != 0 {
			r.MaxRel = max(r.MaxRel, d/math.Abs(w))
		}
	}
	if r.MaxAbs > 0 {
		r.Detail += fmt.Sprintf("; farthest off at %d: %.7g instead of %.7g", at, got[at], want[at])
	}
	return r
}

// absolute passes if every number is within tol.
func absolute(what string, got, want []float64, tol float64) Row {
	r := compare(what, got, want)
	r.Tolerance, r.Pass = tol, r.MaxAbs <= tol
	return r
}

// relative passes if every number is within tol of its own size.
func relative(what string, got, want []float64, tol float64) Row {
	r := compare(what, got, want)
	r.Tolerance, r.Pass = tol, true
	for i := range want {
		if len(got) != len(want) || !(math.Abs(got[i]-want[i]) <= tol*math.Abs(want[i])) {
			r.Pass = false
		}
	}
	return r
}

// norm passes if ‖got−want‖₂ ≤ tol·‖want‖₂ + floor.
func norm(what string, got, want []float64, tol, floor float64) Row {
	r := compare(what, got, want)
	r.Tolerance = tol
	if len(got) != len(want) {
		return r
	}
	d, w := 0.0, 0.0
	for i := range want {
		d += (got[i] - want[i]) * (got[i] - want[i])
		w += want[i] * want[i]
	}
	d, w = math.Sqrt(d), math.Sqrt(w)
	r.Pass = d <= tol*w+floor
	if r.MaxRel = d; w > 0 {
		r.MaxRel = d / w
	}
	return r
}
