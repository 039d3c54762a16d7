package study

import (
	"context"
	"math/rand/v2"
	"slices"

	"github.com/gollava/gollava/data/shapes"
	"github.com/gollava/gollava/nn"
	"github.com/gollava/gollava/tensor"
	"github.com/gollava/gollava/train"
	"github.com/gollava/gollava/vit"
)

// A linear probe asks what the frozen tower's features hold at all: what one matrix can read off the patches of a
// cell, a connector can pass on. What the model misses beyond it is not the tower's fault.

// trait is something about a cell that a probe reads: one of n kinds, or −1 where the cell is none of its business.
type trait struct {
	name string
	n    int
	kind func(*shapes.Object) int // of nil where the cell is empty
}

var traits = []trait{
	{"color", 6, func(o *shapes.Object) int {
		if o == nil {
			return -1
		}
		return int(o.Color)
	}},
	{"shape", 5, func(o *shapes.Object) int {
		if o == nil {
			return -1
		}
		return int(o.Shape)
	}},
	{"occupied", 2, func(o *shapes.Object) int {
		if o == nil {
			return 0
		}
		return 1
	}},
}

// perceive fits the probes on pictures of the pool, which t has looked at, and scores them on new ones and on the
// pairs that no training picture showed.
func (j *Study) perceive(ctx context.Context, known *Pool, t vit.Tower) error {
	n := 4 * j.Preset.Questions
	known = known.first(min(len(known.Scenes), 4*n))
	test, strange := poolOf(j.World, drawScenes(j.World, shapes.Test, n, nil)),
		poolOf(j.World, drawScenes(j.World, shapes.Comp, n, nil))
	test.Look(t, j.Selects)
	strange.Look(t, j.Selects)
	for _, of := range traits {
		w, err := of.fit(ctx, known, j.World.Rand("probe/"+of.name, 0))
		if err != nil {
			return err
		}
		j.Report.Scores["probe_"+of.name] = of.score(w, test)
		if of.name == "occupied" {
			continue
		}
		only := of // the held-out objects alone
		only.kind = func(o *shapes.Object) int {
			if o == nil || !slices.Contains(j.World.HeldOut, o.Pair()) {
				return -1
			}
			return of.kind(o)
		}
		j.Report.Scores["probe_held_out_"+of.name] = only.score(w, strange)
	}
	return nil
}

// cells are the features of the cells that have the trait, [N, D], those of a cell's patches side by side, and which
// kind each is.
func (t trait) cells(p *Pool) (x *tensor.Tensor, kinds []int32) {
	side := 1
	for side*side < p.features.Dim(1) {
		side++
	}
	grid := p.Scenes[0].World().Grid
	D, each := p.features.Dim(2), side/grid
	var rows []float32
	for i, s := range p.Scenes {
		objects := map[shapes.Cell]*shapes.Object{}
		for k := range s.Objects {
			objects[s.Objects[k].Cell] = &s.Objects[k]
		}
		f := p.feature(i)
		for row := range grid {
			for col := range grid {
				kind := t.kind(objects[shapes.Cell{Row: row, Col: col}])
				if kind < 0 {
					continue
				}
				kinds = append(kinds, int32(kind))
				for y := range each {
					from := ((row*each+y)*side + col*each) * D
					rows = append(rows, f[from:from+each*D]...)
				}
			}
		}
	}
	return tensor.Wrap(rows, len(kinds), each*each*D), kinds
}

// prober is a linear classifier of cells.
type prober struct {
	Linear *nn.Linear `param:"linear"`
}

// some are cells with what they are.
type some struct {
	X     *tensor.Tensor // [B, D]
	Kinds []int32
}

// In is b in scope s.
func (b some) In(s *tensor.Arena) some {
	b.X = b.X.In(s)
	return b
}

// Loss is the mean cross-entropy.
func (m *prober) Loss(b some) *tensor.Tensor {
	return tensor.CrossEntropy(m.Linear.Forward(b.X), tensor.WrapInts(b.Kinds, len(b.Kinds)))
}

// fit is softmax regression on the cells of a pool.
func (t trait) fit(ctx context.Context, p *Pool, r *rand.Rand) (*nn.Linear, error) {
	x, kinds := t.cells(p)
	N, D := x.Dims2()
	all := x.Host().Data()
	m := &prober{nn.NewLinear(r, D, t.n, true)}
	const batch = 512
	_, err := train.Run(ctx, m, train.Options{}, train.Stage[some]{
		Name: "probe " + t.name, Steps: 2000, Schedule: train.Cosine(0.03), Groups: []train.Group{{Params: "**", LR: 1e-2}},
		Batches: func(_ context.Context, n int) (some, error) {
			rows := tensor.New(batch, D)
			b := some{rows, make([]int32, batch)}
			for k := range batch {
				i := r.IntN(N)
				copy(rows.Data()[k*D:(k+1)*D], all[i*D:])
				b.Kinds[k] = kinds[i]
			}
			return b, nil
		},
	})
	return m.Linear, err
}

// score is the share of the cells of which l tells the kind.
func (t trait) score(l *nn.Linear, p *Pool) float64 {
	x, kinds := t.cells(p)
	right := 0
	for i, k := range l.Forward(x).ArgMax(1).Host().IntData() {
		if k == kinds[i] {
			right++
		}
	}
	return float64(right) / float64(max(1, len(kinds)))
}
