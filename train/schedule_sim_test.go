package train

import (
	"math/rand/v2"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/gollava/gollava/tensor"
)

// TestSimulatedSchedule plays rounds of backward passes on ranks of different speed against a network, with the
// buckets of a model of a hundred million parameters. A bucket travels once every rank has begun it; none may travel
// before, and as long as the network is faster than the slowest rank, the round takes no longer than that rank and
// one bucket.
func TestSimulatedSchedule(t *testing.T) {
	var all []*trained
	for range 25 {
		all = append(all, &trained{p: tensor.Meta(tensor.Float32, 2000, 2000)},
			&trained{p: tensor.Meta(tensor.Float32, 2000)})
	}
	r := rand.New(rand.NewPCG(1, 2))
	for _, ranks := range []int{2, 5, 16, 64} {
		blocks := cut(all, ranks)
		buckets := pack(blocks, ranks, 0)
		load := make([]int, ranks)
		for _, x := range blocks {
			load[x.owner] += x.len()
		}
		for _, l := range load {
			require.InDelta(t, 100050000/ranks, l, 2*blockSize, "owners have equal shares")
		}
		for _, network := range []float64{0.3, 0.9, 1.5} { // time of all transfers, of that of a backward pass
			speed := make([]float64, ranks)
			slowest := 0.0
			for i := range speed {
				speed[i] = 0.8 + 0.2*r.Float64()
				slowest = max(slowest, speed[i])
			}
			arrived, total, done := make([]float64, len(buckets)), 0, 0.0
			for i, b := range buckets {
				total += b.size
				begun := 0.0
				for rank := range ranks {
					ready := speed[rank] * float64(total) / 100050000 // its last gradient is complete
					if i >= inFlight {
						ready = max(ready, arrived[i-inFlight]) // it waits, and all others have begun what it waits for
					}
					begun = max(begun, ready)
				}
				arrived[i] = max(begun, done) + network*float64(b.size)/100050000
				done = arrived[i]
			}
			last := network * float64(buckets[len(buckets)-1].size+buckets[0].size) / 100050000
			require.LessOrEqual(t, done, max(slowest, network+slowest*float64(buckets[0].size)/100050000)+last+1e-9,
				"%d ranks, network %v", ranks, network)
			require.LessOrEqual(t, done, 1.1*max(slowest, network), "%d ranks, network %v", ranks, network)
		}
	}
}
