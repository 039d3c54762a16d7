//go:build linux || darwin

package mpi

import (
	"fmt"
	"runtime"
	"time"
	"unsafe"
)

// transfer is an operation under way: one request or several.
type transfer struct {
	c        *Comm
	name     string
	requests []byte // handles, as wide as the library's
	n        int    // of them
	flag     int32
	pins     runtime.Pinner // memory that the library reads and writes meanwhile
	ended    bool
	err      error
}

// transfer prepares an operation of at most n requests.
func (c *Comm) transfer(name string, n int) *transfer {
	t := &transfer{c: c, name: name, requests: make([]byte, (n+1)*c.lib.handle)}
	t.pin(unsafe.Pointer(t))
	t.keep(t.requests)
	return t
}

// pin keeps memory where it is until the transfer has ended, and returns its address.
func (t *transfer) pin(p unsafe.Pointer) uintptr {
	t.pins.Pin(p)
	return uintptr(p)
}

// keep pins a slice.
func (t *transfer) keep(b []byte) uintptr {
	if cap(b) == 0 {
		return uintptr(unsafe.Pointer(t)) // nothing is read or written, but libraries refuse null
	}
	return t.pin(unsafe.Pointer(unsafe.SliceData(b)))
}

// next is the address of one more request.
func (t *transfer) next() uintptr {
	t.n++
	return uintptr(unsafe.Pointer(&t.requests[(t.n-1)*t.c.lib.handle]))
}

// advances is how many times at most [Comm.start] lets the library work on what is under way: a message of a bucket is
// moved in pieces, of which each call moves a few.
const advances = 32

// start begins an operation, and lets those under way advance.
func (c *Comm) start(t *transfer, begin func() int32) *transfer {
	c.mu.Lock()
	defer c.mu.Unlock()
	if t.err = c.lib.check(t.name, begin()); t.err != nil || t.n == 0 {
		t.end()
		return t
	}
	c.queue = append(c.queue, t)
	for i := 0; i < advances && len(c.queue) > 0; i++ {
		c.advance()
	}
	select {
	case c.work <- struct{}{}:
	default:
	}
	return t
}

// end notes that the transfer has ended. c.mu is held. After an error some of its requests may still be under way, so
// that the library may still write to its memory: that stays pinned for as long as the process lives.
func (t *transfer) end() {
	t.ended = true
	if t.err != nil {
		t.c.failed = append(t.c.failed, t)
		return
	}
	t.pins.Unpin()
}

// advance tests the oldest transfer, which lets all advance, and takes off the queue what has ended. c.mu is held.
func (c *Comm) advance() {
	for len(c.queue) > 0 {
		t := c.queue[0]
		t.err = c.lib.check(t.name, call(c.lib.testall, uintptr(t.n), uintptr(unsafe.Pointer(&t.requests[0])),
			uintptr(unsafe.Pointer(&t.flag)), c.lib.ignoreStatus))
		if t.err == nil && t.flag == 0 {
			return
		}
		c.queue = c.queue[1:]
		t.end()
	}
}

// Pauses between tests in vain.
const (
	lateAfter = 5 * time.Millisecond   // then another rank is busy
	pauseLate = 200 * time.Microsecond // and the processor is left to others for so long
	pauseIdle = time.Millisecond       // between the tests of advanceAlone
)

// Wait waits for the transfer's end.
func (t *transfer) Wait() error {
	c := t.c
	start := time.Now()
	for vain := 0; ; vain++ {
		c.mu.Lock()
		if !t.ended {
			c.advance()
		}
		ended := t.ended
		c.mu.Unlock()
		switch {
		case ended:
			return t.err
		case vain > 64 && time.Since(start) > lateAfter:
			time.Sleep(pauseLate)
		default:
			yield()
		}
	}
}

// Done reports whether the transfer has ended.
func (t *transfer) Done() bool {
	t.c.mu.Lock()
	defer t.c.mu.Unlock()
	if !t.ended {
		t.c.advance()
	}
	return t.ended
}

// advanceAlone lets transfers advance now and then while the program computes and begins no others.
func (c *Comm) advanceAlone() {
	for range c.work {
		for under := true; under; {
			time.Sleep(pauseIdle)
			if !c.mu.TryLock() {
				continue // somebody else makes them advance
			}
			c.advance()
			under = len(c.queue) > 0
			c.mu.Unlock()
		}
	}
}

// join initializes MPI.
func (c *Comm) join() error {
	l := c.lib
	got := new([3]int32)
	code := call(l.init, 0, 0, l.serialized, uintptr(unsafe.Pointer(&got[0])))
	if err := l.check("MPI_Init_thread", code); err != nil {
		return err
	}
	if got[0] < int32(l.serialized) {
		return fmt.Errorf("mpi: %s lets only a single thread call it (MPI_Init_thread gives level %d, not "+
			"MPI_THREAD_SERIALIZED): use a library that was built with threads", l.named(), got[0])
	}
	if err := l.check("MPI_Comm_set_errhandler", call(l.setErrhandler, l.world, l.errorsReturn)); err != nil {
		return err
	}
	if err := l.check("MPI_Comm_rank", call(l.rank, l.world, uintptr(unsafe.Pointer(&got[1])))); err != nil {
		return err
	}
	err := l.check("MPI_Comm_size", call(l.size, l.world, uintptr(unsafe.Pointer(&got[2]))))
	c.rank, c.size = int(got[1]), int(got[2])
	return err
}
