package main

import (
	"runtime"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"github.com/gollava/gollava/internal/backend"
	"github.com/gollava/gollava/internal/cpu"
)

// peaks are what this machine can do at best, as measured.
type peaks struct {
	flops, half, bytes float64 // per second; half: of bfloat16
	memory             [][]float32
	at                 int // where the next reading begins
}

// share is the part of the peak that a run of the given seconds reaches.
func (p peaks) share(c Case, seconds float64) *float64 {
	s := c.Load / seconds * 1e9
	if c.Load == 0 {
		s = c.Work / seconds * 1e9
	}
	switch {
	case s == 0:
		return nil
	case c.Share == byArithmetic && c.Half && p.half > 0:
		s /= p.half
	case c.Share == byArithmetic && !c.Half && p.flops > 0:
		s /= p.flops
	case c.Share == byMemory && p.bytes > 0:
		s /= p.bytes
	default:
		return nil
	}
	return &s
}

// measurePeaks runs loops of independent multiply-adds of float32, of those of bfloat16, and of reads of more memory
// than any cache holds, on n threads.
func measurePeaks(n int) peaks {
	const reads = 512 << 20 / 4 // elements a thread: a server's third-level cache may hold 480 MiB
	var p peaks
	for range n {
		x := cpu.New().Alloc(backend.Float32, reads).Float32() // in large pages, as what is measured
		for i := range x {
			x[i] = 1
		}
		p.memory = append(p.memory, x)
	}
	for range 32 {
		flops := make([]int, n)
		seconds := together(n, func(i int) { flops[i] = cpu.MultiplyAdds(1 << 18) })
		p.flops = max(p.flops, float64(n*flops[0])/seconds)
		seconds = together(n, func(i int) { flops[i] = cpu.HalfMultiplyAdds(1 << 16) })
		p.half = max(p.half, float64(n*flops[0])/seconds)
		p.read()
	}
	return p
}

// read measures the rate of reading the next stretch of memory, of about the size that a case reads.
func (p *peaks) read() {
	const stretch = 32 << 20 / 4
	n := len(p.memory)
	if n == 0 {
		return
	}
	seconds := together(n, func(i int) { cpu.Read(p.memory[i][p.at:][:stretch]) })
	p.bytes = max(p.bytes, float64(n*stretch*4)/seconds)
	p.at = (p.at + stretch) % len(p.memory[0])
}

// together runs f(0) … f(n−1) on threads of their own, which wait for each other awake, and returns the seconds from
// the first start to the last end.
func together(n int, f func(i int)) float64 {
	var done sync.WaitGroup
	var ready atomic.Int64
	starts, ends := make([]time.Time, n), make([]time.Time, n)
	for i := range n {
		done.Go(func() {
			runtime.LockOSThread()
			defer runtime.UnlockOSThread()
			for ready.Add(1); ready.Load() < int64(n); {
			}
			starts[i] = time.Now()
			f(i)
			ends[i] = time.Now()
		})
	}
	done.Wait()
	return slices.MaxFunc(ends, time.Time.Compare).Sub(slices.MinFunc(starts, time.Time.Compare)).Seconds()
}
