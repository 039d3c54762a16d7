package train_test

import (
	"context"
	"math/rand/v2"
	"os"
	"path/filepath"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/gollava/gollava/nn"
	"github.com/gollava/gollava/tensor"
	"github.com/gollava/gollava/train"
)

// TestTimeout: a rank that others wait for in vain is named, and each rank has a log.
func TestTimeout(t *testing.T) {
	dir, over := memoryDir(t), make(chan struct{})
	o := train.Options{Dir: dir, Timeout: 2 * time.Second}
	errs := make([]error, 3)
	var all, others sync.WaitGroup
	for rank, c := range train.Local(3) {
		work := func() {
			o := o
			o.Comm = c
			s := spread()
			if rank == 1 {
				s[0].Batches = func(ctx context.Context, n int) (sample, error) {
					if n >= 7*2 {
						<-over
					}
					return regression(ctx, n)
				}
			}
			_, errs[rank] = train.Run(t.Context(), wide(), o, s...)
		}
		if rank == 1 {
			all.Go(work)
		} else {
			others.Go(work)
		}
	}
	others.Wait()
	close(over)
	all.Wait()
	for _, rank := range []int{0, 2} {
		require.ErrorContains(t, errs[rank], "after step 2; missing: rank 1 on ")
		require.ErrorContains(t, errs[rank], "last sign of life")
	}
	require.Error(t, errs[1])
	for _, name := range []string{"rank-0000.log", "rank-0001.log", "rank-0002.log"} {
		b, err := os.ReadFile(filepath.Join(dir, "ranks", name))
		require.NoError(t, err)
		require.Contains(t, string(b), " align 2 step loss ")
		require.Contains(t, string(b), "missing: rank 1 on ")
	}
	t.Log(errs[0])
}

// recorded notes the transfers that a rank begins.
type recorded struct {
	train.Comm
	sends   [][]int
	recvs   [][]int
	current int // begun in this micro-batch
}

func (c *recorded) Exchange(recv *tensor.Tensor, recvs []int, send *tensor.Tensor, sends []int) train.Pending {
	c.sends, c.recvs, c.current = append(c.sends, sends), append(c.recvs, recvs), c.current+1
	return c.Comm.Exchange(recv, recvs, send, sends)
}

// layered is a model of ten layers of 360,000 parameters each. early is how many transfers were under way when the
// gradient of the first layer began to be computed, in every micro-batch.
type layered struct {
	Layers []*nn.Linear `param:"layers"`

	comm  *recorded
	early []int
}

func (m *layered) Loss(b sample) *tensor.Tensor {
	m.comm.current = 0
	runs := 0
	x := tensor.Checkpoint(func(in []*tensor.Tensor) *tensor.Tensor {
		if runs++; runs == 2 {
			m.early = append(m.early, m.comm.current)
		}
		return m.Layers[0].Forward(in[0])
	}, b.x)
	for _, l := range m.Layers[1:] {
		x = x.Add(l.Forward(x).Tanh())
	}
	return x.Mul(x).Mean()
}

// TestSchedule: every rank begins the same transfers in the same order, what one sends the other expects, buckets are
// of 1 to 4 MiB, and they are begun while backward still runs.
func TestSchedule(t *testing.T) {
	const n, width = 3, 600
	models := make([]*layered, n)
	var all sync.WaitGroup
	for rank, c := range train.Local(n) {
		all.Go(func() {
			r := rand.New(rand.NewPCG(1, 1))
			m := &layered{comm: &recorded{Comm: c}}
			models[rank] = m
			for range 10 {
				m.Layers = append(m.Layers, nn.NewLinear(r, width, width, true))
			}
			s := train.Stage[sample]{Name: "deep", Steps: 2, Accumulate: 2 * n,
				Groups: []train.Group{{Params: "**", LR: 1e-3}},
				Batches: func(_ context.Context, k int) (sample, error) {
					return sample{x: tensor.Randn(rand.New(rand.NewPCG(uint64(k), 1)), 1, 1, width), y: tensor.New(1),
						n: 1}, nil
				}}
			if _, err := train.Run(t.Context(), m, train.Options{Comm: m.comm}, s); err != nil {
				t.Error(rank, err)
				c.Abort(err)
			}
		})
	}
	all.Wait()
	calls := len(models[0].comm.sends)
	perRound := calls / 4
	require.Greater(t, perRound, 10, "14 MB")
	for a := range n {
		require.Len(t, models[a].comm.sends, calls)
		for i := range calls {
			total := 0
			for b := range n {
				want := models[a].comm.sends[i][b]
				if a == b {
					want = 0 // a rank's own piece stays where it is
				}
				require.Equal(t, want, models[b].comm.recvs[i][a], "transfer %d from %d to %d", i, a, b)
				total += 4 * models[a].comm.sends[i][b]
			}
			if i%perRound < perRound-1 {
				require.GreaterOrEqual(t, total, 1<<20)
			}
			require.LessOrEqual(t, total, 4<<20)
		}
		require.Len(t, models[a].early, 4)
		require.Zero(t, models[a].early[0], "the first backward pass shows the order")
		for _, e := range models[a].early[1:] {
			require.GreaterOrEqual(t, e, perRound*8/10, "nine of ten layers are complete")
		}
	}
}
