package train

import (
	"context"
	"fmt"
	"sync"
)

// Prefetch makes a source of batches that works ahead: asked for batch n, it also starts on the next ahead ones, each
// in a goroutine of its own. It gives the same batches as b. The result serves one run at a time.
func Prefetch[B any](b Batches[B], ahead int) Batches[B] {
	if ahead <= 0 {
		return b
	}
	p := &prefetch[B]{source: b, ahead: ahead, jobs: map[int]*job[B]{}}
	return p.batch
}

type prefetch[B any] struct {
	source Batches[B]
	ahead  int

	mu   sync.Mutex
	step int // between the last two requests: ranks of a run that is spread take every k-th batch
	last int
	jobs map[int]*job[B]
}

// job is a batch that is being made.
type job[B any] struct {
	ctx  context.Context
	done chan struct{}
	b    B
	err  error
}

func (p *prefetch[B]) batch(ctx context.Context, n int) (B, error) {
	p.mu.Lock()
	stride := n - p.last
	if stride <= 0 || p.step == 0 {
		stride = 1
	}
	p.last, p.step = n, stride
	j := p.job(ctx, n)
	wanted := map[int]bool{}
	for i := 1; i <= p.ahead; i++ {
		wanted[n+i*stride] = true
		p.job(ctx, n+i*stride)
	}
	for k := range p.jobs {
		if !wanted[k] {
			delete(p.jobs, k)
		}
	}
	p.mu.Unlock()
	select {
	case <-j.done:
		return j.b, j.err
	case <-ctx.Done():
		var none B
		return none, fmt.Errorf("waiting for batch %d: %w", n, ctx.Err())
	}
}

// job returns the job of batch n, which it starts if there is none or if the one there is was cancelled. p.mu is held.
func (p *prefetch[B]) job(ctx context.Context, n int) *job[B] {
	if j := p.jobs[n]; j != nil && (j.ctx == ctx || j.ctx.Err() == nil) {
		return j
	}
	j := &job[B]{ctx: ctx, done: make(chan struct{})}
	p.jobs[n] = j
	go func() {
		defer close(j.done)
		defer func() {
			if e := recover(); e != nil {
				j.err = fmt.Errorf("making batch %d panicked: %v", n, e)
			}
		}()
		j.b, j.err = p.source(ctx, n)
	}()
	return j
}
