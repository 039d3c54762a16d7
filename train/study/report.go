package study

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"runtime"
	"slices"
	"time"

	"github.com/gollava/gollava/train"
)

// Report is what report.json holds.
type Report struct {
	Preset  string             `json:"preset"`
	Seed    uint64             `json:"seed"`
	Scores  map[string]float64 `json:"scores"` // fractions
	Stages  []Cost             `json:"stages"`
	Seconds float64            `json:"seconds"` // of the whole run, evaluations included; of the last process where it was resumed
	RSS     int64              `json:"peak_rss_bytes"`
	Machine Machine            `json:"machine"`
	Curves  []Point            `json:"curves"` // what was measured while training
}

// Cost is what a stage took.
type Cost struct {
	Name    string  `json:"name"`
	Steps   int     `json:"steps"`
	Seconds float64 `json:"seconds"`
	FLOPs   float64 `json:"flops"`
	Loss    float64 `json:"loss"` // at the end, averaged
}

// Point is a step of a stage: a loss, or scores.
type Point struct {
	Stage  string             `json:"stage"`
	Step   int                `json:"step"`
	Loss   float64            `json:"loss,omitempty"` // averaged
	Scores map[string]float64 `json:"scores,omitempty"`
}

// Machine is where it ran.
type Machine struct {
	OS   string `json:"os"`
	Arch string `json:"arch"`
	CPU  string `json:"cpu"`
	Used int    `json:"processors"`
	Go   string `json:"go"`
}

func machine() Machine {
	return Machine{OS: runtime.GOOS, Arch: runtime.GOARCH, CPU: cpuName(), Used: runtime.GOMAXPROCS(0),
		Go: runtime.Version()}
}

// Starts are where a text stage and its repetitions live.
var Starts = []string{"language", "language-2", "language-3"}

// Parts are the folders of a run in which something trains, in order.
var Parts = slices.Concat([]string{"clip"}, Starts, []string{"vlm", "short", "blind", "no-stage-1", "random-encoder",
	"lora"})

// MadeParts are the folders in which the models of -made train.
var MadeParts = []string{"made", "made-blind"}

// tally reads what the stages cost and showed from the metrics that the trainer keeps, those of earlier processes of
// the run included.
func (r *Report) tally(dir string) error {
	r.Stages, r.Curves = nil, nil
	for _, part := range slices.Concat(Parts, MadeParts) {
		name := func(stage string) string { return stage }
		switch part {
		case "short", "blind", "no-stage-1", "random-encoder", MadeParts[0], MadeParts[1]:
			name = func(stage string) string { return part + "/" + stage }
		case Starts[1], Starts[2]:
			name = func(string) string { return part }
		}
		if err := r.Read(filepath.Join(dir, part, "metrics.jsonl"), name); !errors.Is(err, fs.ErrNotExist) && err != nil {
			return err
		}
	}
	return nil
}

// Read adds to Stages and Curves what a trainer's metrics.jsonl says, with its stages named as name has it. Its errors
// name the file.
func (r *Report) Read(metrics string, name func(stage string) string) error {
	f, err := os.Open(metrics)
	if err != nil {
		return err
	}
	defer f.Close()
	for lines := json.NewDecoder(f); ; {
		var e train.Event
		switch err := lines.Decode(&e); {
		case errors.Is(err, io.EOF):
			return nil
		case err != nil:
			return fmt.Errorf("%s: %w", metrics, err)
		}
		r.add(name(e.Stage), e)
	}
}

// add counts an event of a stage.
func (r *Report) add(stage string, e train.Event) {
	switch e.Kind {
	case "step":
		c := r.cost(stage)
		c.Steps, c.Loss = e.Step, e.Average
		c.Seconds += e.Seconds
		c.FLOPs += e.FLOPs
		if e.Step%lossEvery == 0 || e.Step < lossEvery {
			r.Curves = append(r.Curves, Point{Stage: stage, Step: e.Step, Loss: e.Average})
		}
	case "evaluation":
		r.Curves = append(r.Curves, Point{Stage: stage, Step: e.Step, Scores: e.Scores})
	}
}

// lossEvery is how many steps lie between two points of a loss curve.
const lossEvery = 20

// cost is the entry of a stage.
func (r *Report) cost(stage string) *Cost {
	for i := range r.Stages {
		if r.Stages[i].Name == stage {
			return &r.Stages[i]
		}
	}
	r.Stages = append(r.Stages, Cost{Name: stage})
	return &r.Stages[len(r.Stages)-1]
}

// save writes report.json.
func (j *Study) save() error {
	r := &j.Report
	r.Preset, r.Seed, r.Machine, r.RSS = j.Preset.Name, j.Flags.seed, machine(), peakRSS()
	r.Seconds = time.Since(j.started).Seconds()
	b, err := json.MarshalIndent(r, "", " ")
	if err != nil {
		return err
	}
	return write(filepath.Join(j.Flags.Out, "report.json"), append(b, '\n'))
}
