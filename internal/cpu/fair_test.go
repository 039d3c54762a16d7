package cpu

import (
	"sync"
	"testing"
	"time"

	"github.com/gollava/gollava/internal/backend"
)

// products returns a function that computes n products of size×size matrices.
func products(d *Device, size int) func(n int) {
	a, b, c := d.Alloc(backend.Float32, size*size), d.Alloc(backend.Float32, size*size), d.Alloc(backend.Float32, size*size)
	d.Fill(a, 0.5)
	d.Fill(b, 2)
	return func(n int) {
		for range n {
			d.MatMul(&backend.MatMul{A: a, B: b, C: c, M: size, N: size, K: size, BT: true, Batch: 1})
		}
	}
}

// Four goroutines that multiply together take little longer than one after the other. They take turns, and the best of a few rounds counts:
// whatever else the machine does can only make a round worse.
func TestGoroutinesTogetherReachTheThroughputOfOneAfterTheOther(t *testing.T) {
	const goroutines = 4
	for _, c := range []struct{ size, n int }{{64, 400}, {192, 40}, {512, 4}, {1024, 1}} {
		var work [goroutines]func(n int)
		for i := range work {
			work[i] = products(New(), c.size)
		}
		alone := func() time.Duration {
			start := time.Now()
			for _, f := range work {
				f(c.n)
			}
			return time.Since(start)
		}
		together := func() time.Duration {
			start := time.Now()
			var wg sync.WaitGroup
			for _, f := range work {
				wg.Go(func() { f(c.n) })
			}
			wg.Wait()
			return time.Since(start)
		}
		alone()
		together()
		best, other := time.Hour, time.Hour
		for start, round := time.Now(), 0; round < 5 || float64(best) < 0.9*float64(other) && time.Since(start) < 5*time.Second; round++ {
			best, other = min(best, alone()), min(other, together())
		}
		t.Logf("%d×%d: %v one after the other, %v together: %.2f × the throughput", c.size, c.size, best, other, float64(best)/float64(other))
		if float64(best) < 0.9*float64(other) {
			t.Errorf("%d×%d: %v together, %v one after the other", c.size, c.size, other, best)
		}
	}
}
