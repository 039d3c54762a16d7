package main

import (
	"context"
	"fmt"
	"math/rand/v2"
	"runtime"
	"time"

	"github.com/gollava/gollava/nn"
	"github.com/gollava/gollava/tensor"
	"github.com/gollava/gollava/train"
	"github.com/gollava/gollava/train/mpi"
)

// rank measures our side; rank 0 prints names and seconds.
func rank(mib int) error {
	c, err := mpi.Open("")
	if err != nil {
		return err
	}
	defer c.Close()
	if l := c.Local(); l > 1 {
		runtime.GOMAXPROCS(max(1, runtime.NumCPU()/l))
	}
	say := func(name string, seconds float64) {
		if c.Rank() == 0 {
			fmt.Printf("%s\t%.6f\n", name, seconds)
		}
	}
	for _, r := range []struct {
		name string
		f    func(*mpi.Comm, []*tensor.Tensor) error
	}{{"reduce, exact", exact}, {"reduce, library", library}} {
		s, err := reduce(c, mib, r.f)
		if err != nil {
			return err
		}
		say(r.name, s)
	}
	for _, s := range []struct {
		name string
		comm bool
		zero bool
		rows int
	}{
		{"step, computation", false, false, tokens}, {"step, transfers", true, false, 1},
		{"step, both", true, false, tokens},
		{"step, transfers, ZeRO-1", true, true, 1}, {"step, both, ZeRO-1", true, true, tokens},
	} {
		seconds, err := step(c, mib, s.comm, s.zero, s.rows)
		if err != nil {
			return err
		}
		say(s.name, seconds)
	}
	return nil
}

// reduce is the least time of five sums over a buffer in buckets of 1 MiB.
func reduce(c *mpi.Comm, mib int, f func(*mpi.Comm, []*tensor.Tensor) error) (float64, error) {
	buckets := make([]*tensor.Tensor, mib)
	for i := range buckets {
		buckets[i] = tensor.Full(float32(c.Rank()+i), 1<<18)
	}
	best := 1e9
	for range 5 {
		if _, err := c.Share(nil); err != nil {
			return 0, err
		}
		start := time.Now()
		if err := f(c, buckets); err != nil {
			return 0, err
		}
		best = min(best, time.Since(start).Seconds())
	}
	return best, nil
}

func library(c *mpi.Comm, buckets []*tensor.Tensor) error {
	var all []train.Pending
	for _, b := range buckets {
		all = append(all, c.AllReduce(b))
	}
	for _, p := range all {
		if err := p.Wait(); err != nil {
			return err
		}
	}
	return nil
}

// arrived is what the exact sum needs besides a bucket.
var arrived *tensor.Tensor

// exact sums buckets up one after another, so that each stays in the cache.
func exact(c *mpi.Comm, buckets []*tensor.Tensor) error {
	n, me := c.Size(), c.Rank()
	piece := buckets[0].Len() / n
	sends, recvs := make([]int, n), make([]int, n)
	for i := range n {
		sends[i], recvs[i] = piece, piece
	}
	recvs[me] = 0
	if arrived == nil {
		arrived = tensor.New((n - 1) * piece)
	}
	for _, b := range buckets {
		b = b.Span(0, n*piece)
		if err := c.Exchange(arrived, recvs, b, sends).Wait(); err != nil {
			return err
		}
		own := b.Span(me*piece, (me+1)*piece)
		sum := own // of ranks 0 and 1, where the order of the two does not matter
		if me > 1 {
			sum = arrived.Span(0, piece)
		}
		for q := range n - 1 {
			part := arrived.Span(q*piece, (q+1)*piece)
			if me > 1 && q == me {
				sum.AddFrom(own)
			}
			if me <= 1 || q > 0 {
				sum.AddFrom(part)
			}
		}
		if me > 1 && me == n-1 {
			sum.AddFrom(own)
		}
		if err := c.AllGather(b, sends, sum).Wait(); err != nil {
			return err
		}
	}
	return nil
}

// tokens are the rows of a micro-batch: about one sample of LLaVA's stage 2.
const tokens = 800

// stack is a model of square layers.
type stack struct {
	Layers []*nn.Linear `param:"layers"`
}

// rows is a batch.
type rows struct{ x *tensor.Tensor }

func (r rows) In(s *tensor.Arena) rows { return rows{r.x.In(s)} }

func (m *stack) Loss(b rows) *tensor.Tensor {
	x := b.x
	for _, l := range m.Layers {
		x = x.Add(l.Forward(x).Tanh())
	}
	return x.Mul(x).Mean()
}

// step is the least time of a training step of a model of mib MiB, of one micro-batch of that many rows on each rank.
func step(c *mpi.Comm, mib int, together, zero bool, n int) (float64, error) {
	const width = 1024
	r := rand.New(rand.NewPCG(1, 1))
	m := &stack{}
	for range mib / 4 {
		m.Layers = append(m.Layers, nn.NewLinear(r, width, width, false))
	}
	best := 1e9
	o := train.Options{ZeRO1: zero, Observe: func(e train.Event) error {
		if e.Kind == "step" && e.Step > 2 {
			best = min(best, e.Seconds)
		}
		return nil
	}}
	s := train.Stage[rows]{Name: "step", Steps: 6, Accumulate: 1, Groups: []train.Group{{Params: "**", LR: 1e-5}},
		Batches: func(_ context.Context, k int) (rows, error) {
			return rows{tensor.Randn(rand.New(rand.NewPCG(uint64(k), 1)), 1, n, width)}, nil
		}}
	if together {
		o.Comm, s.Accumulate = c, c.Size()
	}
	_, err := train.Run(context.Background(), m, o, s)
	return best, err
}
