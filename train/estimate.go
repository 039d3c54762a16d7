package train

import (
	"context"
	"fmt"
	"math"
	"reflect"
	"time"

	"github.com/gollava/gollava/nn"
	"github.com/gollava/gollava/tensor"
)

// Estimate is what a stage will need. Sizes are in bytes.
type Estimate struct {
	Stage       string
	Weights     int64 // of the whole model
	Gradients   int64
	Optimizer   int64 // moments, float32 masters, averages
	Activations int64 // at the worst moment of a micro-batch, with temporaries
	Loader      int64 // the batches of a step that are in memory at once
	Other       int64 // what waits for the garbage collector at most
	Checkpoint  int64 // one checkpoint on disk
	Samples     int   // of a micro-batch; 0: batches do not say
	Sums        int64 // of several ranks: the share of the gradients that a rank adds up, and what is under way
	Traffic     int64 // of several ranks: what one sends in a step, and receives
	Ranks       int   // 0 or 1: a single one

	accumulate int     // micro-batches of a step
	trained    int64   // bytes of the weights that train
	groups     []Group // of the stage
	values     []int   // that train, of each group

	Steps    int
	FLOPs    float64 // of one step's matrix products and attentions
	Step     time.Duration
	Duration time.Duration // of the stage, without evaluations and checkpoints
}

// Memory is the sum of what must be in memory at once.
func (e Estimate) Memory() int64 {
	return e.Weights + e.Gradients + e.Optimizer + e.Activations + e.Loader + e.Other + e.Sums
}

// Over is the estimate for each of n ranks that train together, on a host each, with the optimizer's state sharded or
// not, by arithmetic: memory is that of the rank with the most, and the time is without what is not hidden of the
// transfers, Traffic bytes each way.
func (e Estimate) Over(n int, zero1 bool) Estimate {
	if n <= 1 {
		return e
	}
	share := func(x int64) int64 { return (x + int64(n) - 1) / int64(n) }
	e.Ranks = n
	rounds := (max(1, e.accumulate) + n - 1) / n
	e.Sums = share(e.Gradients) + 2*min(e.Gradients, inFlight*4*int64(bucketSize(n)))
	e.Traffic = (int64(rounds)*e.Gradients + e.Gradients) * int64(n-1) / int64(n)
	if zero1 {
		e.Optimizer = share(e.Optimizer)
		e.Traffic = (int64(rounds)*e.Gradients + e.trained) * int64(n-1) / int64(n)
	}
	e.FLOPs *= float64(rounds) / float64(max(1, e.accumulate))
	e.Step = time.Duration(float64(e.Step) * float64(rounds) / float64(max(1, e.accumulate)))
	e.Duration = time.Duration(math.Min(float64(e.Step)*float64(e.Steps), math.MaxInt64))
	return e
}

// Largest is how many samples a micro-batch can have so that the stage fits into limit bytes, supposing that
// activations and loader grow with it; 0 if not even one, or if batches do not say how many they have.
func (e Estimate) Largest(limit int64) int {
	free := limit - e.Weights - e.Gradients - e.Optimizer - e.Other
	if e.Samples == 0 || free <= 0 || e.Activations+e.Loader == 0 {
		return 0
	}
	return int(float64(free) / (float64(e.Activations+e.Loader) / float64(e.Samples)))
}

// probes is how many steps [Plan] takes.
const probes = 3

// Plan finds out what a stage will need by taking three of its steps without moving any weight: the model is the same
// afterwards, bit by bit.
func Plan[B any](ctx context.Context, model Model[B], s Stage[B]) (Estimate, error) {
	e, err := probe(ctx, model, s, probes)
	if err != nil {
		return e, fmt.Errorf("train: plan of stage %q: %w", s.Name, err)
	}
	return e, nil
}

// trial readies a runner that stores nothing, stops for nobody and evaluates nothing.
func trial[B any](model Model[B], s Stage[B]) (*runner[B], error) {
	c, err := resolveStage(model, &s)
	if err != nil {
		return nil, err
	}
	s.Evaluate, s.After = nil, nil
	r := &runner[B]{Model: model, stage: s, config: c,
		session: session{model: model, now: time.Now, signal: catchSignals(false)}}
	return r, r.enter()
}

func probe[B any](ctx context.Context, model Model[B], s Stage[B], steps int) (Estimate, error) {
	h := newHeap()
	before := h.alive()
	r, err := trial(model, s)
	if err != nil {
		return Estimate{}, err
	}
	r.dry = true
	defer nn.Autocast(model, s.Autocast)()
	defer func() {
		nn.Eval(model)
		r.forget()
	}()
	e := r.sizes()
	var rep StageReport
	var first time.Duration
	var others float64  // FLOPs of the later steps
	pace := math.Inf(1) // seconds per FLOP in the later step that was least disturbed; batches may differ in size
	for i := range steps {
		start := time.Now()
		if err := r.step(ctx, &rep); err != nil {
			return e, err
		}
		if i == 0 {
			first = time.Since(start) // it fills caches
		} else {
			flops := float64(max(r.flops, 1))
			others += flops
			pace = min(pace, time.Since(start).Seconds()/flops)
		}
		e.Activations = max(e.Activations, r.peak+r.second())
		e.FLOPs = max(e.FLOPs, float64(r.flops))
		e.Samples = max(e.Samples, r.samples/r.config.Accumulate)
		h.tidy()
	}
	alive := h.alive() // what operations had at once, and memory of sizes that did not fit each other
	e.Activations = max(e.Activations, alive-before-e.Gradients-e.Optimizer)
	if e.Step = first; steps > 1 {
		e.Step = time.Duration(pace * others / float64(steps-1) * float64(time.Second))
	}
	e.Duration = time.Duration(math.Min(float64(first)+float64(e.Step)*float64(e.Steps-1), math.MaxInt64))
	b, err := r.stage.Batches(ctx, 0)
	if err != nil {
		return e, err
	}
	e.Loader = int64(sizeOf(reflect.ValueOf(b), 0))
	if r.config.TokenWeighted {
		e.Loader *= int64(r.config.Accumulate)
	}
	e.Other = slack(alive)
	return e, nil
}

// second is the size of the largest gradient, of which there are two while a later micro-batch's is added to the sum.
func (r *runner[B]) second() (n int64) {
	for _, t := range r.all {
		if r.config.Accumulate > 1 {
			n = max(n, int64(4*t.p.Len()))
		}
	}
	return n
}

// forget gives the gradients back.
func (s *session) forget() {
	for _, t := range s.all {
		t.p.ZeroGrad()
	}
}

// sizes fills in what follows from the parameters alone.
func (r *runner[B]) sizes() Estimate {
	e := Estimate{
		Stage: r.stage.Name, Steps: r.config.Steps, accumulate: r.config.Accumulate,
		groups: r.stage.Groups, values: r.values(),
	}
	for _, p := range nn.Params(r.model) {
		e.Weights += int64(p.DType().Bytes(p.Len()))
	}
	for _, t := range r.all {
		e.Gradients += int64(4 * t.p.Len())
		e.trained += int64(t.p.DType().Bytes(t.p.Len()))
	}
	for _, p := range r.optimizer() {
		e.Optimizer += int64(p.t.DType().Bytes(p.t.Len()))
	}
	e.Checkpoint = e.Optimizer
	for _, p := range r.moved {
		e.Checkpoint += int64(p.t.DType().Bytes(p.t.Len()))
	}
	return e
}

// sizeOf is how many bytes of tensors, slices and strings v holds.
func sizeOf(v reflect.Value, depth int) int {
	if depth > 4 {
		return 0
	}
	n := 0
	switch v.Kind() {
	case reflect.Pointer, reflect.Interface:
		if v.IsNil() {
			return 0
		}
		if v.Type() == reflect.TypeFor[*tensor.Tensor]() {
			if !v.CanInterface() {
				return 0
			}
			t := v.Interface().(*tensor.Tensor)
			return t.DType().Bytes(t.Len())
		}
		return sizeOf(v.Elem(), depth+1)
	case reflect.Struct:
		for i := range v.NumField() {
			n += sizeOf(v.Field(i), depth+1)
		}
	case reflect.Slice:
		n = v.Len() * int(v.Type().Elem().Size())
		if k := v.Type().Elem().Kind(); k == reflect.Pointer || k == reflect.Struct || k == reflect.Slice ||
			k == reflect.Interface {
			for i := range v.Len() {
				n += sizeOf(v.Index(i), depth+1)
			}
		}
	case reflect.String:
		n = v.Len()
	}
	return n
}

// afford returns an error if a stage does not fit into Options.Memory, or its checkpoints onto the disk.
func (r *runner[B]) afford(ctx context.Context, stages []Stage[B]) error {
	if r.o.Memory < 0 {
		return fmt.Errorf("memory limit %d is negative", r.o.Memory)
	}
	if r.o.Memory > 0 {
		for i := r.at.Stage; i < len(stages); i++ {
			e, err := probe(ctx, r.Model, stages[i], 1)
			if err != nil {
				return fmt.Errorf("stage %q: %w", stages[i].Name, err)
			}
			e = e.Over(r.comm().Size(), r.o.ZeRO1)
			if e.Memory() <= r.o.Memory {
				continue
			}
			way := "even the weights and their optimizer do not: train fewer parameters"
			if n := e.Largest(r.o.Memory); n > 0 {
				way = fmt.Sprintf("micro-batches of at most %d samples instead of %d would fit", n, e.Samples)
			} else if e.Memory()-e.Activations-e.Loader < r.o.Memory {
				way = "use smaller micro-batches, or Recompute"
			}
			return fmt.Errorf("%s, over the limit of %s: %s", e.memoryText(), bytesText(r.o.Memory), way)
		}
	}
	if r.o.Dir == "" || r.comm().Rank() != 0 {
		return nil
	}
	free, ok := freeSpace(r.o.Dir)
	moved := map[*tensor.Tensor]bool{}
	for i := range stages {
		all, err := resolve(r.model, stages[i].Groups)
		if err != nil || !ok || i < r.at.Stage {
			continue // resolve has been through once
		}
		var size int64
		for _, t := range all {
			moved[t.p] = true
			per := 8 // m and v
			if t.p.DType() == tensor.BFloat16 {
				per += 4
			}
			if stages[i].EMA > 0 {
				per += 4
			}
			size += int64(per * t.p.Len())
		}
		for p := range moved {
			size += int64(p.DType().Bytes(p.Len()))
		}
		if n := int64(r.o.Keep + 1); len(r.known) == 0 && free < n*size { // one more while the next is being written
			return fmt.Errorf("stage %q: %d checkpoints of %s do not fit into the %s that are free in %s: lower Keep, or "+
				"choose another directory", stages[i].Name, n,
				bytesText(size), bytesText(free), r.o.Dir)
		}
	}
	return nil
}
