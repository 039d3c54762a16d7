package train

import (
	"fmt"
	"maps"
	"math"
	"slices"

	"github.com/gollava/gollava/tensor"
)

// prepareShards gives the blocks of this rank fresh optimizer state: with ZeRO-1 a rank has that of its own blocks
// only.
func prepareShards(own []*block, ema float64) {
	for _, x := range own {
		p := x.span(x.of.p)
		at := p.Device()
		x.m, x.v = tensor.New(x.len()).To(at), tensor.New(x.len()).To(at)
		if p.DType() == tensor.BFloat16 {
			x.master = tensor.New(x.len()).To(at)
			x.master.CopyFrom(p)
		}
		if ema > 0 {
			x.ema = tensor.New(x.len()).To(at)
			x.ema.CopyFrom(x.value())
		}
	}
}

// sharded reports whether each rank holds the optimizer state of its own blocks only.
func (s *session) sharded() bool { return s.o.ZeRO1 && s.comm().Size() > 1 }

// exchanged is what ranks tell each other after the micro-batches of a step.
type exchanged struct {
	Losses  map[int]float64 // of this rank's micro-batches, weighted, by their index in the step
	Tokens  int
	Samples int
	Seen    []bool // parameters that a gradient came for
	Reach   []bool // that one could come for, in the first step
	Problem string // where NaN or Inf came from, if one did
}

// exchange completes the step's gradient, loss and counts over all ranks; one rank's bad step is everybody's.
func (r *runner[B]) exchange(mine exchanged) (loss float64, problem string, err error) {
	if r.comm().Size() == 1 {
		return r.at.Loss, mine.Problem, nil
	}
	for _, t := range r.all {
		if t.whole == nil && !r.sharded() {
			t.whole = tensor.New(t.p.Shape()...).To(t.p.Device())
		}
	}
	if err := r.red.collect(); err != nil {
		return 0, "", fmt.Errorf("reducing gradients over ranks: %w", err)
	}
	all, err := share(r.comm(), mine)
	if err != nil {
		return 0, "", fmt.Errorf("after the step's micro-batches: %w", err)
	}
	losses := map[int]float64{}
	for _, x := range all {
		maps.Copy(losses, x.Losses)
	}
	for _, k := range slices.Sorted(maps.Keys(losses)) {
		r.at.Loss += losses[k]
	}
	seen := make([]bool, len(r.all))
	for rank, x := range all {
		r.at.Tokens, r.samples = r.at.Tokens+x.Tokens, r.samples+x.Samples
		for i, ok := range x.Seen {
			seen[i] = seen[i] || ok
		}
		if x.Problem != "" && problem == "" {
			problem = r.named(rank) + ": " + x.Problem
		}
	}
	if problem != "" {
		return r.at.Loss, problem, nil
	}
	if r.at.Step == 0 {
		reach := make([]bool, len(r.all))
		for _, x := range all {
			for i, ok := range x.Reach {
				reach[i] = reach[i] || ok
			}
		}
		if err := r.reached(seen, reach); err != nil {
			return 0, "", agreed{err}
		}
	}
	for i, t := range r.all { // as trained.fill
		for _, x := range t.blocks {
			if x.sum != nil && !seen[i] {
				x.sum.Fill(0)
			}
		}
	}
	if r.sharded() {
		return r.at.Loss, "", nil
	}
	for _, t := range r.all {
		t.p.SetGrad(t.whole)
	}
	if r.red.inexact {
		return r.at.Loss, "", nil
	}
	return r.at.Loss, "", r.red.gather(tensor.Float32, r.blocks, func(x *block) *tensor.Tensor { return x.sum },
		func(x *block, v *tensor.Tensor) { x.span(x.of.whole).CopyFrom(v) })
}

// squares returns Σg² of every block, in the order of s.blocks: each owner adds up its own.
func (s *session) squares() (map[*block]float64, error) {
	sums := make([]*tensor.Tensor, len(s.own))
	for i, x := range s.own {
		sums[i] = x.sum
	}
	all, err := share(s.comm(), tensor.SquareSums(sums))
	if err != nil {
		return nil, fmt.Errorf("the gradient's norm over ranks: %w", err)
	}
	out := make(map[*block]float64, len(s.blocks))
	for _, x := range s.blocks {
		out[x] = all[x.owner][0]
		all[x.owner] = all[x.owner][1:]
	}
	return out, nil
}

// shardNorm is the norm of the gradients of some parameters, as tensor.GlobalNorm adds it up.
func shardNorm(squares map[*block]float64, params []*trained) float64 {
	sum := 0.0
	for _, t := range params {
		for _, x := range t.blocks {
			sum += squares[x]
		}
	}
	return math.Sqrt(sum)
}

// spread gives every rank the parameters that their owners have updated.
func (s *session) spread() error {
	for _, dt := range []tensor.DType{tensor.Float32, tensor.BFloat16} {
		blocks := slices.DeleteFunc(slices.Clone(s.blocks), func(x *block) bool { return x.of.p.DType() != dt })
		get := func(x *block) *tensor.Tensor { return x.span(x.of.p) }
		if err := s.red.gather(dt, blocks, get, func(x *block,
			v *tensor.Tensor) {
			x.span(x.of.p).CopyFrom(v)
		}); err != nil {
			return fmt.Errorf("spreading the updated parameters over ranks: %w", err)
		}
	}
	return nil
}

// useAverage puts the averaged weights into the model.
func (s *session) useAverage(ema float64) error {
	switch {
	case ema == 0:
	case s.sharded():
		return s.red.gather(tensor.Float32, s.blocks, func(x *block) *tensor.Tensor { return x.ema },
			func(x *block, v *tensor.Tensor) { x.span(x.of.p).CopyFrom(v) })
	default:
		for _, t := range s.all {
			t.p.CopyFrom(t.ema)
		}
	}
	return nil
}
