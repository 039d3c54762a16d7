package train

import (
	"context"
	"errors"
	"fmt"
	"math"
	"time"

	"github.com/gollava/gollava/nn"
	"github.com/gollava/gollava/tensor"
)

// Run trains model through the stages, one after another. It freezes every parameter that the stage's groups do not
// name, and checks before the first step all that can be checked. An error names the stage, and the group, field,
// sample or file that it is about. A run that a signal or ctx ended returns a *[Stopped].
func Run[B any](ctx context.Context, model Model[B], o Options, stages ...Stage[B]) (Report, error) {
	r := &runner[B]{Model: model, session: session{o: o, model: model, now: time.Now, heap: newHeap()}}
	return r.run(ctx, stages)
}

// session is the state of a run that does not depend on the type of its batches.
type session struct {
	o      Options
	model  any
	now    func() time.Time
	report Report

	at     state                // how far the run is, as checkpoints store it
	plan   []plan               // of every stage
	all    []*trained           // what the present stage trains
	moved  []piece              // every parameter that this or an earlier stage trains
	towers map[string][]int     // indices in all by the first part of the name
	reach  []bool               // beside all: what batches of the first step can give a gradient; nil before one is there
	items  [][]tensor.AdamWItem // of each pair of learning rate and decay
	rates  []rate               // beside items
	signal *signals
	sinks  []func(Event) error

	peers   []peer   // all ranks
	blocks  []*block // of what the stage trains, if there are several ranks
	own     []*block // this rank's
	red     *reducer
	watched *watched // the Comm, once it is watched

	samples  int      // of the step so far
	flops    uint64   // of the step so far
	peak     int64    // bytes, of the step's largest micro-batch so far
	improved []string // keys of state.Best that the next checkpoint is the best of

	fs      fileSystem
	lock    *lock
	shown   *progress
	metrics *recorder
	known   []string // checkpoints in Dir that look whole, oldest first
	last    string   // the newest of this state's past
	writing *writing // one under way
	old     *removal // of checkpoints that are too old, under way
	resumed string   // where the run went on from
	memory  memory
	heap    heap
	sums    map[*tensor.Tensor]string // checksums of frozen parameters
}

// rate says how a list of items is updated.
type rate struct {
	group int
	decay float64
}

// state is the part of a checkpoint that is no tensor.
type state struct {
	Stage   int    `json:"stage"`   // index of the stage in progress; the number of stages when all are done
	Step    int    `json:"step"`    // optimizer steps done in it, skipped ones included
	Micro   int    `json:"micro"`   // micro-batches of the next step already done; their gradient is stored
	Updates int    `json:"updates"` // steps that changed weights, which AdamW counts
	Skipped int    `json:"skipped"` // steps of the stage with NaN or Inf
	Bad     int    `json:"bad"`     // of which in a row up to now
	Pending int    `json:"pending"` // 1 + the next evaluation after Step that has not been done; 0: none
	Stop    string `json:"stop"`    // why the stage is to end early
	Rolled  bool   `json:"rolled"`  // no good step since the last rollback

	Loss   float64 `json:"loss"`   // weighted sum over the micro-batches done
	Tokens int     `json:"tokens"` // supervised in them

	Average float64           `json:"average"` // running mean of the loss
	Count   int               `json:"count"`   // steps in it
	Best    map[string]bestOf `json:"best,omitempty"`
	Metrics int64             `json:"metrics"` // bytes of metrics.jsonl

	Done []StageReport `json:"done,omitempty"` // stages before
}

// bestOf is the best score of one evaluation.
type bestOf struct {
	Score float64 `json:"score"`
	Step  int     `json:"step"`
	Since int     `json:"since"` // evaluations without a better one

	Checkpoint string `json:"checkpoint"` // of the best weights
}

// runner is a run on batches of type B.
type runner[B any] struct {
	session
	Model  Model[B]
	stage  Stage[B]
	config plan // of stage
	dry    bool // weights do not move
}

func (r *runner[B]) run(ctx context.Context, stages []Stage[B]) (rep Report, err error) {
	defer func() {
		r.fail(err)
		if r.watched != nil {
			r.watched.end(err)
		}
	}()
	if err := r.open(ctx, stages); err != nil {
		return Report{}, fmt.Errorf("train: %w", err)
	}
	defer r.close()
	for r.at.Stage < len(stages) {
		r.stage, r.config = stages[r.at.Stage], r.plan[r.at.Stage]
		if err := r.runStage(ctx); err != nil {
			var stop *Stopped
			if errors.As(err, &stop) {
				return r.report, err
			}
			return r.report, fmt.Errorf("train: stage %q: %w", r.stage.Name, err)
		}
	}
	return r.report, nil
}

// open checks everything and gets ready for the first step.
func (r *runner[B]) open(ctx context.Context, stages []Stage[B]) error {
	if len(stages) == 0 {
		return fmt.Errorf("no stages")
	}
	names := map[string]bool{}
	for i := range stages {
		c, err := resolveStage(r.model, &stages[i])
		if err == nil && names[c.Name] {
			err = fmt.Errorf("an earlier stage has the same name")
		}
		if err != nil {
			return fmt.Errorf("stage %q: %w", stages[i].Name, err)
		}
		names[c.Name] = true
		if n := r.comm().Size(); c.Accumulate < n {
			return fmt.Errorf("stage %q: accumulate %d: %d ranks need at least as many micro-batches per step, one each: use "+
				"smaller micro-batches, or fewer ranks",
				c.Name, c.Accumulate, n)
		}
		if n := r.comm().Size(); n > 1 && r.o.InexactSum {
			c.Ranks = n
		}
		r.plan = append(r.plan, c)
	}
	r.fs = r.o.fs
	met, err := r.meet()
	if err != nil {
		return err
	}
	notes, err := r.openDir()
	notes = append(met, notes...)
	if err == nil {
		err = r.watch()
	}
	if err == nil {
		err = r.afford(ctx, stages)
	}
	if err == nil && r.o.Accepted != nil && r.comm().Rank() == 0 {
		err = r.o.Accepted()
	}
	if err == nil && r.o.Dir != "" && r.comm().Rank() == 0 {
		var failed error
		if r.metrics, failed = openRecorder(r.o.Dir, r.at.Metrics); failed == nil {
			r.sinks = append(r.sinks, r.record)
		} else {
			notes = append(notes, fmt.Sprintf("no metrics are recorded: %v", failed))
		}
	}
	if r.o.Observe != nil {
		r.sinks = append(r.sinks, r.o.Observe)
	}
	if r.o.Progress != nil && r.comm().Rank() == 0 {
		r.shown = newProgress(r.o.Progress)
		r.sinks = append(r.sinks, r.shown.event)
	}
	r.signal = catchSignals(r.o.Signals) // before anything tells others that the run is there
	for _, n := range notes {
		err = errors.Join(err, r.note("note", "%s", n))
	}
	if err != nil {
		r.signal.stop()
		return errors.Join(err, r.release())
	}
	return nil
}

// release closes files and gives the lock back.
func (s *session) release() (err error) {
	if s.metrics != nil {
		err = s.metrics.close()
	}
	if s.lock != nil {
		s.lock.release()
	}
	return err
}

// close gives back what open took.
func (r *runner[B]) close() {
	nn.Eval(r.model)
	if w := r.writing; w != nil {
		if <-w.done; r.comm().Size() == 1 { // other ranks may not be there any more
			_ = r.settle(true)
		}
	}
	if r.old != nil && r.comm().Rank() == 0 {
		if err := r.old.wait(); err != nil {
			_ = r.note("note", "%v", err)
		}
	}
	r.signal.stop()
	_ = r.release() // what matters in these files was synced with the last checkpoint
}

// emit shows an event to everybody who watches.
func (s *session) emit(e Event) error {
	e.Time = s.now()
	for _, see := range s.sinks {
		if err := see(e); err != nil {
			return fmt.Errorf("after step %d: observer: %w", e.Step, err)
		}
	}
	return nil
}

// record writes an event to the metrics. They only report: what cannot be written ends the recording, with a note, and
// not the run.
func (r *runner[B]) record(e Event) error {
	var err error
	for _, failed := range r.metrics.event(e) {
		err = errors.Join(err, r.note("note", "training goes on without %v", failed))
	}
	return err
}

// note emits a message.
func (r *runner[B]) note(kind, format string, args ...any) error {
	return r.emit(Event{Kind: kind, Stage: r.stage.Name, Step: r.at.Step, Text: fmt.Sprintf(format, args...)})
}

// enter resolves the stage's groups and gives its parameters fresh optimizer state.
func (r *runner[B]) enter() error {
	all, err := resolve(r.model, r.stage.Groups)
	if err != nil {
		return err
	}
	if m, ok := r.model.(interface{ SetRecompute(bool) }); ok {
		m.SetRecompute(r.stage.Recompute)
	}
	r.all, r.towers, r.reach = all, map[string][]int{}, nil
	if r.comm().Size() > 1 {
		r.blocks = cut(all, r.comm().Size())
		r.red = newReducer(r.comm(), all, r.blocks, r.o.InexactSum)
		r.own = r.red.own()
	}
	if r.sharded() {
		prepareShards(r.own, r.stage.EMA)
	} else {
		prepare(all, r.stage.EMA)
	}
	r.items, r.rates = nil, nil
	at := map[rate]int{}
	add := func(t *trained, items ...tensor.AdamWItem) {
		k := rate{t.group, t.decay}
		j, ok := at[k]
		if !ok {
			j = len(r.items)
			at[k] = j
			r.items, r.rates = append(r.items, nil), append(r.rates, k)
		}
		r.items[j] = append(r.items[j], items...)
	}
	for i, t := range all {
		r.move(t.name, t.p)
		head := part(t.name)
		r.towers[head] = append(r.towers[head], i)
		if !r.sharded() {
			add(t, tensor.AdamWItem{Param: t.p, Master: t.master, M: t.m, V: t.v})
			continue
		}
		for _, x := range t.blocks {
			if x.m != nil {
				add(t, tensor.AdamWItem{Param: x.span(t.p), Master: x.master, Grad: x.sum, M: x.m, V: x.v})
			}
		}
	}
	return nil
}

func (r *runner[B]) runStage(ctx context.Context) error {
	if err := r.enter(); err != nil {
		return err
	}
	defer nn.Autocast(r.model, r.stage.Autocast)()
	if r.resumed != "" && (r.at.Step > 0 || r.at.Micro > 0) {
		if err := r.load(r.resumed, false); err != nil {
			return err
		}
	}
	r.resumed, r.memory = "", memory{}
	if r.o.Dir == "" && r.stage.Every > 0 {
		if err := r.remember(); err != nil {
			return err
		}
	}
	start := r.now()
	r.report.Stages = append(r.report.Stages, StageReport{Name: r.stage.Name})
	rep := &r.report.Stages[len(r.report.Stages)-1]
	if r.shown != nil {
		r.shown.begin(r.stage.Groups, r.config.Steps, start)
	}
	begin := Event{Kind: "stage", Stage: r.stage.Name, Step: r.at.Step, Steps: r.config.Steps,
		Text: fmt.Sprintf("%d steps of %s; %s", r.config.Steps,
			counted(r.config.Accumulate, "micro-batch", "micro-batches"), r.describe())}
	if err := r.emit(begin); err != nil {
		return err
	}
	if r.stage.Autocast && !tensor.FastBFloat16() {
		err := r.note("note", "autocast: this processor (%s) multiplies bfloat16 no faster than float32", tensor.Unit())
		if err != nil {
			return err
		}
	}
	for r.at.Step < r.config.Steps && r.at.Stop == "" {
		if err := r.settle(false); err != nil {
			return err
		}
		if err := r.stopped(ctx); err != nil {
			return err
		}
		if r.at.Pending == 0 {
			if err := r.step(whole(ctx, r.comm()), rep); err != nil {
				return err
			}
			r.at.Pending = 1
			r.heap.tidy()
		}
		if err := r.evaluate(whole(ctx, r.comm()), rep, false); err != nil {
			return err
		}
		if e := r.stage.Every; e > 0 && r.at.Step%e == 0 && r.at.Step < r.config.Steps && r.at.Bad == 0 ||
			len(r.improved) > 0 {
			if err := r.checkpoint(); err != nil {
				return err
			}
		}
	}
	if err := r.evaluate(whole(ctx, r.comm()), rep, true); err != nil {
		return err
	}
	if err := r.settle(true); err != nil {
		return err
	}
	if err := r.allFinite(); err != nil {
		return fmt.Errorf("after step %d: %w; lower its learning rate", r.at.Step, err)
	}
	if r.at.Bad > 0 {
		return fmt.Errorf("the last %d of %d steps were skipped, because their loss or gradient was not finite: the model "+
			"computes NaN; lower the learning rate", r.at.Bad, r.at.Step)
	}
	for _, t := range r.all {
		t.p.ZeroGrad()
	}
	if err := r.useAverage(r.config.EMA); err != nil {
		return err
	}
	rep.Steps, rep.Skipped, rep.Seconds, rep.Stopped = r.at.Step, r.at.Skipped, r.now().Sub(start).Seconds(), r.at.Stop
	done := *rep
	done.Loss, done.Norm, done.LR = nil, nil, nil
	r.at = state{Stage: r.at.Stage + 1, Done: append(r.at.Done, done), Best: r.at.Best, Metrics: r.at.Metrics}
	r.all, r.items, r.blocks, r.own, r.red = nil, nil, nil, nil, nil
	if err := r.cleared(); err != nil {
		return err
	}
	if err := r.save(); err != nil {
		return fmt.Errorf("the weights after the last step could not be stored: %w", err)
	}
	return r.emit(Event{Kind: "stage", Stage: r.stage.Name, Step: rep.Steps,
		Text: fmt.Sprintf("done: %d steps, %d skipped", rep.Steps, rep.Skipped)})
}

// allFinite returns an error that names a parameter that the stage trains and that holds NaN or Inf.
func (s *session) allFinite() (err error) {
	var values []*tensor.Tensor
	var names []string
	for _, t := range s.all {
		if !s.sharded() {
			values, names = append(values, t.value()), append(names, t.name)
			continue
		}
		for _, x := range t.blocks {
			if x.m != nil {
				values, names = append(values, x.value()), append(names, t.name)
			}
		}
	}
	if ok, bad := tensor.AllFinite(values); !ok {
		err = fmt.Errorf("parameter %s is not finite", names[bad])
	}
	return s.agree(err)
}

// finite reports whether x is neither NaN nor infinite.
func finite(x float64) bool { return !math.IsNaN(x) && !math.IsInf(x, 0) }
