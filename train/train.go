// Package train runs training in stages, as LLaVA's recipe does: exactly reproducible, resumable at any step, and loud
// when something is wrong.
//
// It knows no model and no data set. A model reports the loss of a batch; a stage says where batches come from, which
// parameters train at which learning rate, and for how long. Everything that no group names is frozen.
//
//	report, err := train.Run(ctx, model, train.Options{Dir: "run"},
//		train.Stage[Batch]{Name: "align", Batches: captions, Steps: 2181, Schedule: train.Cosine(0.03),
//			Groups: []train.Group{{Params: "multi_modal_projector.**", LR: 1e-3}}},
//		train.Stage[Batch]{Name: "tune", Batches: instructions, Steps: 5198, Schedule: train.Cosine(0.03),
//			Groups: []train.Group{{Params: "multi_modal_projector.**", LR: 2e-5}, {Params: "language_model.**", LR: 2e-5}}})
package train

import (
	"context"
	"fmt"
	"io"
	"path/filepath"
	"strconv"
	"time"

	"github.com/gollava/gollava/tensor"
)

// Model reports the loss of a batch, a scalar, recorded.
// Loss is called by one goroutine at a time; runs side by side need models whose trained parameters are
// different ones. What is frozen may be shared, and serve others meanwhile.
type Model[B any] interface {
	Loss(batch B) *tensor.Tensor
}

// Batches gives micro-batch n of a stage, n = 0, 1, 2, …, across epochs. It is a function of n alone, so that a stage
// can go on from anywhere; see [Prefetch] for doing it ahead of time. It may be called from several goroutines.
type Batches[B any] func(ctx context.Context, n int) (B, error)

// Counted is a batch that knows over how many tokens its loss averages. Stage.TokenWeighted needs it, and zero is an
// error.
type Counted interface{ Supervised() int }

// Described is a batch that can name its samples, for messages.
type Described interface{ Samples() []string }

// Partial is a batch that says on which parameters its loss can depend: one of text alone leaves a projector out. The
// first step checks that every parameter that trains got a gradient, but for those that none of its batches reaches.
type Partial interface{ Reaches(parameter string) bool }

// Scoped is a batch that can join the scope of a step, so that the memory of all that is computed from it is recycled:
// In returns the batch with its tensors marked, each by [tensor.Tensor.In]. A *tensor.Tensor is one as it is. With
// other batches a step leaves what Backward does not release, such as the results of frozen parts, to the garbage
// collector.
type Scoped[B any] interface{ In(s *tensor.Arena) B }

// Group is a set of parameters that train alike.
type Group struct {
	Params      string   `json:"params"`                 // pattern of nn.Match, such as "language_model.**"
	Except      []string `json:"except,omitempty"`       // patterns of what Params matches but is to stay out of this group
	LR          float64  `json:"lr"`                     // peak learning rate
	WeightDecay float64  `json:"weight_decay,omitempty"` // decoupled; on every parameter of the group, as the reference's own runs
	NoDecay     []string `json:"no_decay,omitempty"`     // patterns of parameters without weight decay; HF Trainer leaves out norms and biases
}

// Stage is one phase of training.
// A stage serves one run; its functions are called from several goroutines only where they say so.
type Stage[B any] struct {
	Name    string
	Batches Batches[B]
	Steps   int     // optimizer steps; or
	Epochs  float64 // passes over the data, with
	Length  int     // micro-batches in one pass

	Groups   []Group
	Schedule Schedule   // of the learning rates; the zero value is constant
	Betas    [2]float64 // of AdamW; zero: 0.9, 0.999
	Eps      float64    // of AdamW; 0: 1e-8
	Clip     float64    // gradients are scaled down to this global norm; 0: never (LLaVA: 1)

	Accumulate    int  // micro-batches per step, over all ranks, which share them out in turn; 0: 1
	TokenWeighted bool // weigh micro-batches by their supervised tokens (newer transformers) instead of equally (LLaVA)
	Autocast      bool // products with weights in bfloat16, sums and all else in float32 (see [nn.Autocast])
	Recompute     bool // keep only the inputs of each block and compute the rest again: less memory, a third more time
	// keep an average of the weights with this decay (0: none); it is what is evaluated and saved at the end
	EMA  float64
	Seed uint64 // of dropout

	Every    int // steps between checkpoints, which are written while the next step computes; 0: only at the stage's end
	Evaluate []Evaluation
	After    func(step int) // after every optimizer step, such as clamping a parameter; it must be deterministic

	Config any // whatever else decides the result, such as data paths: resuming with another value is refused
}

// Evaluation measures the model during training.
type Evaluation struct {
	Name  string
	Every int                                                   // steps; 0: only at the end of the stage
	Run   func(ctx context.Context) (map[string]float64, error) // named scores; nil if Generate is there
	// what the model makes of a fixed probe set, to be looked at; nil: nothing
	Generate func(ctx context.Context) ([]string, error)
	// score whose highest value marks the best checkpoint; "-name" for lowest; "": none
	Best string
	// stop the stage after so many evaluations without a better one; 0: never
	Patience int
}

// Options are about the run as a whole.
type Options struct {
	Dir    string // checkpoints, metrics.jsonl, tensorboard/ and the resolved config; "": nothing is stored
	Resume bool   // go on from the newest checkpoint of Dir, if there is one
	// resume on another unit than the checkpoint's (see [tensor.Unit]): right, but not the same bits
	AnyUnit  bool
	Keep     int       // newest checkpoints kept besides the best; 0: 2
	Memory   int64     // bytes that a stage may take by [Plan]'s estimate, else Run refuses; 0: do not ask
	Progress io.Writer // a line now and then; nil: silent
	// on the first SIGINT, SIGTERM or SIGUSR1 finish the step, save and return a *Stopped; the second ends the process
	Signals bool
	Command string            // how to resume, for the message; "": none
	Observe func(Event) error // sees every event; an error stops the run
	Control *Control          // asks the run to save or to stop; nil: nobody does
	Comm    Comm              // the other processes that train this model; nil: none
	ZeRO1   bool              // each rank keeps the optimizer state of its share of the parameters only; the same bits
	// called when the run is accepted, its directory locked and its state restored, before anything else is written there;
	// nil: nothing
	Accepted func() error
	// let Comm add up gradients, once per step: less traffic, but the result depends on the number of ranks
	InexactSum bool
	// how long a rank waits for the others before it ends the run and names them; 0: 30 minutes; negative: for ever
	Timeout time.Duration
	Same    map[string]string // what must be equal on all ranks, such as digests of data files, by name

	fs fileSystem // nil: the disk
}

// ProbeFile is where a run may keep the image of what [Evaluation].Generate makes text n of, for the page of package
// live: a PNG of a few hundred pixels at most, in the run's folder.
func ProbeFile(dir string, n int) string { return filepath.Join(dir, "probes", strconv.Itoa(n)+".png") }

// Event is something that happened. Fields that do not apply are zero.
type Event struct {
	Time  time.Time `json:"time"`
	Kind  string    `json:"kind"` // step, evaluation, checkpoint, skipped, rollback, note, stage
	Stage string    `json:"stage"`
	Step  int       `json:"step"`            // optimizer steps done in this stage
	Steps int       `json:"steps,omitempty"` // that the stage has, where it begins

	Loss     float64            `json:"loss,omitempty"`
	Average  float64            `json:"average,omitempty"`    // running mean of the loss
	GradNorm float64            `json:"grad_norm,omitempty"`  // global, before clipping
	Norms    map[string]float64 `json:"grad_norms,omitempty"` // by the first part of the parameter names
	LR       []float64          `json:"lr,omitempty"`         // of each group, in this update
	Tokens   int                `json:"tokens,omitempty"`     // supervised ones of the step
	Samples  int                `json:"samples,omitempty"`    // of the step, where batches are Described
	Seconds  float64            `json:"seconds,omitempty"`    // that it took; of a checkpoint, that training stood still for it
	FLOPs    float64            `json:"flops,omitempty"`      // of the step's matrix products and attentions
	Memory   int64              `json:"memory,omitempty"`     // bytes of the process in RAM after the step
	Scores   map[string]float64 `json:"scores,omitempty"`
	Text     string             `json:"text,omitempty"`

	Generated []string `json:"generated,omitempty"` // by an evaluation's Generate
}

// Report is what a run did.
type Report struct {
	Stages []StageReport `json:"stages"`
}

// StageReport is what one stage did.
type StageReport struct {
	Name    string             `json:"name"`
	Steps   int                `json:"steps"`
	Loss    []float64          `json:"-"` // of every step of this process
	Norm    []float64          `json:"-"`
	LR      []float64          `json:"-"`       // of the first group
	Skipped int                `json:"skipped"` // steps with NaN or Inf
	Seconds float64            `json:"seconds"`
	Scores  map[string]float64 `json:"scores,omitempty"`  // of the last evaluation
	Stopped string             `json:"stopped,omitempty"` // why it ended early
}

// Stopped is the error of a run that a signal or the context ended after it saved its state.
type Stopped struct {
	Stage  string
	Step   int
	Dir    string // where the checkpoint is; "" if nothing is stored
	Resume string // the command that goes on
	Code   int    // exit status: 130 for SIGINT, 143 for SIGTERM, 138 for SIGUSR1, else 1
	Cause  error
}

func (e *Stopped) Error() string {
	s := fmt.Sprintf("train: stopped in stage %q after step %d", e.Stage, e.Step)
	if e.Dir != "" {
		s += ", saved in " + e.Dir
	}
	if e.Cause != nil {
		s += " (" + e.Cause.Error() + ")"
	}
	if e.Resume != "" {
		s += "; go on with: " + e.Resume
	}
	return s
}

func (e *Stopped) Unwrap() error { return e.Cause }
