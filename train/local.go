package train

import (
	"fmt"
	"slices"
	"sync"

	"github.com/gollava/gollava/tensor"
)

// Local returns the Comms of n ranks that are goroutines of one process, each with a model of its own: how a test
// shows that a run does not depend on the number of ranks. Sums are in rank order. Each Comm serves one goroutine.
func Local(n int) []Comm {
	w := &world{size: n, calls: map[int]*call{}}
	comms := make([]Comm, n)
	for i := range comms {
		comms[i] = &local{world: w, rank: i}
	}
	return comms
}

// world is what the ranks of a process share.
type world struct {
	size  int
	mu    sync.Mutex
	calls map[int]*call // by number; removed once every rank has made it
	err   error         // of the rank that failed first
}

// call is one collective operation.
type call struct {
	kind  string
	parts []entry // by rank
	here  int     // ranks that have made it
	done  chan struct{}
	err   error
}

// entry is what one rank brings to a call.
type entry struct {
	recv, send   *tensor.Tensor
	recvs, sends []int
	message      []byte
}

type local struct {
	*world
	rank int
	next int // number of the next call
}

func (l *local) Rank() int { return l.rank }
func (l *local) Size() int { return l.size }

func (l *local) Exchange(recv *tensor.Tensor, recvs []int, send *tensor.Tensor, sends []int) Pending {
	return l.join("Exchange", entry{recv: recv, recvs: slices.Clone(recvs), send: send, sends: slices.Clone(sends)})
}

func (l *local) AllGather(recv *tensor.Tensor, counts []int, send *tensor.Tensor) Pending {
	return l.join("AllGather", entry{recv: recv, recvs: slices.Clone(counts), send: send})
}

func (l *local) AllReduce(x *tensor.Tensor) Pending { return l.join("AllReduce", entry{recv: x}) }

func (l *local) Share(message []byte) ([][]byte, error) {
	c := l.join("Share", entry{message: slices.Clone(message)})
	if err := c.Wait(); err != nil {
		return nil, err
	}
	out := make([][]byte, l.size)
	for i, p := range c.parts {
		out[i] = slices.Clone(p.message)
	}
	return out, nil
}

func (l *local) Abort(err error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.err != nil {
		return
	}
	l.err = fmt.Errorf("rank %d ended: %w", l.rank, err)
	for n, c := range l.calls {
		c.err = l.err
		close(c.done)
		delete(l.calls, n)
	}
}

// join adds this rank to its next call; the last one to come does the work.
func (l *local) join(kind string, p entry) *call {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.err != nil {
		c := &call{err: l.err, done: make(chan struct{})}
		close(c.done)
		return c
	}
	c := l.calls[l.next]
	if c == nil {
		c = &call{kind: kind, parts: make([]entry, l.size), done: make(chan struct{})}
		l.calls[l.next] = c
	}
	if c.kind != kind {
		c.err = fmt.Errorf("train: call %d is %s on rank %d and %s on another: ranks must make the same calls",
			l.next, kind, l.rank, c.kind)
	}
	c.parts[l.rank] = p
	if c.here++; c.here == l.size {
		if c.err == nil {
			c.err = tensor.Catch(c.run)
		}
		close(c.done)
		delete(l.calls, l.next)
	}
	l.next++
	return c
}

func (c *call) Wait() error {
	<-c.done
	return c.err
}

func (c *call) Done() bool {
	select {
	case <-c.done:
		return true
	default:
		return false
	}
}

// run does what the call is for, for all ranks.
func (c *call) run() {
	switch c.kind {
	case "Exchange":
		for me, p := range c.parts {
			at := 0
			for q, n := range p.recvs {
				if q == me {
					continue
				}
				from := 0
				for _, k := range c.parts[q].sends[:me] {
					from += k
				}
				p.recv.Span(at, at+n).CopyFrom(c.parts[q].send.Span(from, from+c.parts[q].sends[me]))
				at += n
			}
		}
	case "AllGather":
		for _, p := range c.parts {
			at := 0
			for q, n := range p.recvs {
				if to := p.recv.Span(at, at+n); n > 0 && &to.Bytes()[0] != &c.parts[q].send.Bytes()[0] {
					to.CopyFrom(c.parts[q].send)
				}
				at += n
			}
		}
	case "AllReduce":
		sum := c.parts[0].recv
		for _, p := range c.parts[1:] {
			sum.AddFrom(p.recv)
		}
		for _, p := range c.parts[1:] {
			p.recv.CopyFrom(sum)
		}
	}
}
