package train

import (
	"context"
	"sync"

	"github.com/gollava/gollava/tensor"
)

// Slices makes batches of samples that are in memory: join makes one of size of them, or of fewer at the end of an
// epoch. order gives the samples of an epoch by their index, as data.Shuffled does; nil: as they lie. It returns
// Stage.Batches, safe for concurrent use if join is, and Stage.Length, the batches of an epoch. It panics if there are
// no samples or size is not positive.
func Slices[S, B any](samples []S, size int, order func(epoch int) []int, join func([]S) (B, error)) (Batches[B], int) {
	if len(samples) == 0 || size < 1 {
		tensor.Fail("Slices", "batches of %d from %d samples", size, len(samples))
	}
	length := (len(samples) + size - 1) / size
	var mu sync.Mutex
	var indices []int // of the epoch that was asked for last
	last := -1
	of := func(epoch int) []int {
		mu.Lock()
		defer mu.Unlock()
		if epoch != last {
			indices, last = order(epoch), epoch
		}
		return indices
	}
	return func(ctx context.Context, n int) (batch B, err error) {
		if err := ctx.Err(); err != nil {
			return batch, err
		}
		from := n % length * size
		to := min(from+size, len(samples))
		if order == nil {
			return join(samples[from:to:to])
		}
		var chosen []S
		for _, i := range of(n / length)[from:to] {
			chosen = append(chosen, samples[i])
		}
		return join(chosen)
	}, length
}
