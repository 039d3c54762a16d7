package main

import (
	"runtime"
	"sync"
	"time"

	"github.com/gollava/gollava/internal/cpu"
)

// peaks are what this machine can do at best, as measured.
type peaks struct{ flops, bytes float64 } // per second

// share is the part of the peak that a run of the given seconds reaches.
func (p peaks) share(c Case, seconds float64) *float64 {
	s := c.Load / seconds * 1e9
	if c.Load == 0 {
		s = c.Work / seconds * 1e9
	}
	switch {
	case s == 0:
		return nil
	case c.Share == byArithmetic && p.flops > 0:
		s /= p.flops
	case c.Share == byMemory && p.bytes > 0:
		s /= p.bytes
	default:
		return nil
	}
	return &s
}

// measurePeaks runs loops of independent fused multiply-adds, and of reads of more memory than any cache holds, on n threads.
func measurePeaks(n int) peaks {
	const reads = 64 << 20 / 4 // elements a thread
	buffers := make([][]float32, n)
	for i := range buffers {
		buffers[i] = make([]float32, reads)
		for j := range buffers[i] {
			buffers[i][j] = 1
		}
	}
	var p peaks
	for range 8 {
		flops := make([]int, n)
		seconds := together(n, func(i int) { flops[i] = cpu.MultiplyAdds(1 << 20) })
		p.flops = max(p.flops, float64(n*flops[0])/seconds)
		p.bytes = max(p.bytes, float64(n*reads*4)/together(n, func(i int) { cpu.Read(buffers[i]) }))
	}
	return p
}

// together runs f(0) … f(n−1) on threads of their own and returns the seconds from the common start to the last end.
func together(n int, f func(i int)) float64 {
	var ready, done sync.WaitGroup
	begin := make(chan struct{})
	for i := range n {
		ready.Add(1)
		done.Go(func() {
			runtime.LockOSThread()
			defer runtime.UnlockOSThread()
			ready.Done()
			<-begin
			f(i)
		})
	}
	ready.Wait()
	start := time.Now()
	close(begin)
	done.Wait()
	return time.Since(start).Seconds()
}
