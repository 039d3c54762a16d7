//go:build linux || darwin

package mpi

import (
	"runtime"
	"time"
	"unsafe"
)

// serve makes all calls of MPI, on one thread. A transfer advances only within such calls, so while some are under
// way it tests the oldest again and again: without pause as long as somebody waits for it, else now and then, so that
// computation has the processor.
func (c *Comm) serve(ready chan<- error) {
	runtime.LockOSThread()
	if err := c.join(); err != nil {
		ready <- err
		return
	}
	ready <- nil
	vain, since := 0, time.Now() // tests without progress, and since when
	for {
		if len(c.queue) == 0 {
			job, ok := <-c.jobs
			if !ok {
				return
			}
			job()
			vain, since = 0, time.Now()
			continue
		}
		select {
		case job, ok := <-c.jobs:
			if !ok {
				return
			}
			job()
			vain, since = 0, time.Now()
		default:
		}
		if len(c.queue) > 0 && c.advance() {
			vain, since = 0, time.Now()
			continue
		}
		c.pause(vain, since)
		vain++
	}
}

// join initializes MPI.
func (c *Comm) join() error {
	l := c.lib
	got := new([3]int32)
	if err := l.check("MPI_Init_thread", call(l.init, 0, 0, l.funneled, uintptr(unsafe.Pointer(&got[0])))); err != nil {
		return err
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

// advance tests the oldest transfer, which lets all advance, and reports whether it has ended.
func (c *Comm) advance() bool {
	t := c.queue[0]
	t.err = c.lib.check(t.name, call(c.lib.test, uintptr(unsafe.Pointer(&t.request)),
		uintptr(unsafe.Pointer(&t.flag)), c.lib.ignoreStatus))
	if t.err == nil && t.flag == 0 {
		return false
	}
	c.queue = c.queue[1:]
	t.end()
	return true
}

// Pauses between tests, in nanoseconds.
const (
	pauseComputing = 20_000
	pauseLate      = 200_000 // of a transfer that somebody has waited for since lateAfter: another rank is busy
	lateAfter      = 5 * time.Millisecond
)

// pause lets others have the processor after a test in vain.
func (c *Comm) pause(vain int, since time.Time) {
	switch {
	case c.waiting.Load() == 0:
		nanosleep(pauseComputing)
	case vain > 64 && time.Since(since) > lateAfter:
		nanosleep(pauseLate)
	default:
		yield()
	}
}
