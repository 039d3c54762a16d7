package cpu

import (
	"errors"
	"runtime"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
)

// withProcs runs f with GOMAXPROCS=n.
func withProcs(n int, f func()) {
	defer runtime.GOMAXPROCS(runtime.GOMAXPROCS(n))
	f()
}

func TestParallelRunsEachTaskOnce(t *testing.T) {
	for _, procs := range []int{1, 2, 5} {
		withProcs(procs, func() {
			for _, n := range []int{0, 1, 2, 3, 7, 100, 1000} {
				counts := make([]atomic.Int32, n)
				for range 20 {
					parallel(n, func(i int) { counts[i].Add(1) })
				}
				for i := range counts {
					require.EqualValues(t, 20, counts[i].Load(), "task %d of %d, GOMAXPROCS=%d", i, n, procs)
				}
			}
		})
	}
}

func TestRanges(t *testing.T) {
	for _, n := range []int{0, 1, 9, 10, 11, 105} {
		seen := make([]atomic.Int32, n)
		ranges(n, 10, func(from, to int) {
			require.Zero(t, from%10)
			require.LessOrEqual(t, to-from, 10)
			for i := from; i < to; i++ {
				seen[i].Add(1)
			}
		})
		for i := range seen {
			require.EqualValues(t, 1, seen[i].Load(), "element %d of %d", i, n)
		}
	}
}

// TestParallelAfterSleep runs jobs that come after the workers have gone to sleep, and jobs whose caller goes to sleep.
func TestParallelAfterSleep(t *testing.T) {
	withProcs(3, func() {
		for range 20 {
			var sum atomic.Int64
			time.Sleep(3 * spinTime)
			parallel(4, func(i int) {
				if i > 0 {
					time.Sleep(3 * spinTime)
				}
				sum.Add(int64(i))
			})
			require.EqualValues(t, 6, sum.Load())
		}
	})
}

func TestParallelNestedAndConcurrent(t *testing.T) {
	withProcs(3, func() {
		var sum atomic.Int64
		var wg sync.WaitGroup
		for range 8 {
			wg.Go(func() {
				for range 200 {
					parallel(5, func(i int) { parallel(4, func(k int) { sum.Add(int64(10*i + k)) }) })
				}
			})
		}
		wg.Wait()
		require.EqualValues(t, 8*200*(10*10*4+5*6), sum.Load())
	})
}

func TestParallelPanicReachesCaller(t *testing.T) {
	boom := errors.New("boom")
	for _, procs := range []int{1, 2, 4} {
		withProcs(procs, func() {
			for at := range 16 {
				var running atomic.Int32
				require.PanicsWithValue(t, boom, func() {
					parallel(16, func(i int) {
						running.Add(1)
						if i == at {
							running.Add(-1)
							panic(boom)
						}
						for start := time.Now(); time.Since(start) < 5*time.Microsecond; {
						}
						running.Add(-1)
					})
				})
				require.Zero(t, running.Load(), "a task still ran when the panic reached the caller")
			}
			sum := 0
			parallel(1, func(int) { sum++ })
			require.Equal(t, 1, sum)
		})
	}
}

// spin keeps a processor busy for about d, without memory.
func spin(d time.Duration) {
	for start := time.Now(); time.Since(start) < d; {
	}
}

// BenchmarkParallel shows the cost of fork and join (empty tasks), and whether the second processor helps: two tasks of 50 µs each should
// take little more than 50 µs.
func BenchmarkParallel(b *testing.B) {
	b.Run("empty", func(b *testing.B) {
		for b.Loop() {
			parallel(2, func(int) {})
		}
	})
	for _, d := range []time.Duration{5, 20, 50, 100} {
		d *= time.Microsecond
		b.Run(d.String(), func(b *testing.B) {
			for b.Loop() {
				parallel(2, func(int) { spin(d) })
			}
		})
	}
}
