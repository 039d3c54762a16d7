package data

import (
	"context"
	"fmt"
	"sync"
)

// Prefetcher makes batches before they are asked for. It gives the same batches as what it wraps, whatever the number of workers.
type Prefetcher[B any] struct {
	make  func(ctx context.Context, n int) (B, error)
	ahead int
	slots chan struct{}

	ctx  context.Context
	stop context.CancelFunc
	all  sync.WaitGroup

	mu   sync.Mutex
	jobs map[int]*job[B]
}

type job[B any] struct {
	stop  context.CancelFunc
	done  chan struct{}
	batch B
	err   error
}

// Prefetch wraps a function such as Loader.Batch, which makes batch n from n alone. While batch n is in use, up to ahead batches after
// it are being made or wait, by that many workers: this bounds the memory. Close ends it.
func Prefetch[B any](batch func(ctx context.Context, n int) (B, error), workers, ahead int) *Prefetcher[B] {
	if workers < 1 || ahead < 0 {
		panic(fmt.Sprintf("data: Prefetch: %d workers, %d batches ahead", workers, ahead))
	}
	p := &Prefetcher[B]{make: batch, ahead: ahead, slots: make(chan struct{}, workers), jobs: map[int]*job[B]{}}
	p.ctx, p.stop = context.WithCancel(context.Background())
	return p
}

// Batch returns batch n. It is meant to be asked for n, n+1, n+2, …; any other n works too, and begins anew there. A batch is handed
// out once: asked for again it is made again.
func (p *Prefetcher[B]) Batch(ctx context.Context, n int) (B, error) {
	j := p.take(n)
	select {
	case <-j.done:
		return j.batch, j.err
	case <-ctx.Done():
		j.stop()
		var none B
		return none, fmt.Errorf("data: batch %d: %w", n, context.Cause(ctx))
	}
}

// take starts what is in the window after n and drops what is not.
func (p *Prefetcher[B]) take(n int) *job[B] {
	p.mu.Lock()
	defer p.mu.Unlock()
	for k, j := range p.jobs {
		if k < n || k > n+p.ahead {
			j.stop()
			delete(p.jobs, k)
		}
	}
	for k := n; k <= n+p.ahead; k++ {
		if p.jobs[k] == nil {
			p.jobs[k] = p.start(k)
		}
	}
	j := p.jobs[n]
	delete(p.jobs, n)
	return j
}

func (p *Prefetcher[B]) start(n int) *job[B] {
	ctx, stop := context.WithCancel(p.ctx)
	j := &job[B]{stop: stop, done: make(chan struct{})}
	p.all.Go(func() {
		defer close(j.done)
		defer stop()
		select {
		case p.slots <- struct{}{}:
			defer func() { <-p.slots }()
			if j.err = ctx.Err(); j.err == nil {
				j.batch, j.err = p.make(ctx, n)
			}
		case <-ctx.Done():
			j.err = ctx.Err()
		}
	})
	return j
}

// Close stops all work and waits for its end.
func (p *Prefetcher[B]) Close() {
	p.stop()
	p.all.Wait()
}
