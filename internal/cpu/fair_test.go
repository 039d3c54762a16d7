package cpu

import (
	"sync"
	"testing"
	"time"

	"github.com/gollava/gollava/internal/backend"
)

// products returns a function that computes n products of size×size matrices.
func products(d *Device, size int) func(n int) {
	matrix := func() *backend.Buffer { return d.Alloc(backend.Float32, size*size) }
	a, b, c := matrix(), matrix(), matrix()
	d.Fill(a, 0.5)
	d.Fill(b, 2)
	return func(n int) {
		for range n {
			d.MatMul(&backend.MatMul{A: a, B: b, C: c, M: size, N: size, K: size, BT: true, Batch: 1})
		}
	}
}

// Four goroutines that multiply together take little longer than one after the other. They take turns, and the best of
// several rounds counts: whatever else the machine does can only make a round worse. A goroutine has about 5 ms of work
// in a round, so that some rounds are undisturbed on a busy machine too. Plain Go, where one product of 1024 takes seconds,
// multiplies the smaller ones: the pool is the same.
func TestGoroutinesTogetherReachTheThroughputOfOneAfterTheOther(t *testing.T) {
	if testing.Short() {
		t.Skip("measures time, which -short, as with the race detector, is no place for")
	}
	const goroutines = 4
	sizes := []int{64, 192, 512, 1024}
	if active == generic {
		sizes = sizes[:2]
	}
	for _, size := range sizes {
		var work [goroutines]func(n int)
		for i := range work {
			work[i] = products(New(), size)
		}
		timed := func(f func()) time.Duration {
			start := time.Now()
			f()
			return time.Since(start)
		}
		once := time.Hour
		for range 5 {
			once = min(once, timed(func() { work[0](1) }))
		}
		n := max(1, int(5*time.Millisecond/once))
		alone := func() {
			for _, f := range work {
				f(n)
			}
		}
		together := func() {
			var wg sync.WaitGroup
			for _, f := range work {
				wg.Go(func() { f(n) })
			}
			wg.Wait()
		}
		alone()
		together()
		best, other := time.Hour, time.Hour
		ratio := func() float64 { return float64(best) / float64(other) }
		for start, round := time.Now(), 0; round < 5 || ratio() < 0.9 && time.Since(start) < 30*time.Second; round++ {
			best, other = min(best, timed(alone)), min(other, timed(together))
		}
		t.Logf("%d×%d, %d products each: %v one after the other, %v together: %.2f × the throughput",
			size, size, n, best, other, ratio())
		if ratio() < 0.9 {
			t.Errorf("%d×%d: %v together, %v one after the other", size, size, other, best)
		}
	}
}
