package train_test

import (
	"bytes"
	"context"
	"errors"
	"math/rand/v2"
	"runtime"
	"sync/atomic"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"go.uber.org/goleak"

	"github.com/gollava/gollava/nn"
	"github.com/gollava/gollava/tensor"
	"github.com/gollava/gollava/train"
)

func TestPlan(t *testing.T) {
	m := mixed()
	was := bits(m)
	s := stage(1000)
	s.EMA = 0.9
	e, err := train.Plan(t.Context(), m, s)
	require.NoError(t, err)
	require.Equal(t, was, bits(m), "a plan moves nothing")
	n, low := int64(35+7+14+21+3), int64(35)
	require.Equal(t, 4*n-2*low, e.Weights)
	require.Equal(t, 4*n, e.Gradients)
	require.Equal(t, 12*n+4*low, e.Optimizer)
	require.Equal(t, e.Weights+e.Optimizer, e.Checkpoint)
	require.Positive(t, e.Activations)
	require.Positive(t, e.Loader)
	require.Equal(t, 3, e.Samples)
	require.Positive(t, e.Step)
	require.Greater(t, e.Duration, 999*e.Step, "the first step's own time, and the others")
	require.Positive(t, e.Other)
	require.Contains(t, e.String(), "stage fit\n")

	// All products of the largest step, of micro-batches of 3 and 4 rows: forward, and backward to inputs and weights (not to the data).
	rows := 3.0 + 4
	require.Equal(t, rows*(2*2*5*7+3*2*7*3), e.FLOPs)

	require.Equal(t, e, e.Over(1, true))
	two := e.Over(2, true) // a micro-batch each of the step's two
	require.Equal(t, (e.Optimizer+1)/2, two.Optimizer)
	require.Equal(t, e.FLOPs/2, two.FLOPs)
	require.Equal(t, (4*n+(4*n-2*low))/2, two.Traffic, "half of the gradient, and half of the parameters")
	require.Equal(t, e.Optimizer, e.Over(2, false).Optimizer)
	require.Equal(t, (4*n+4*n)/2, e.Over(2, false).Traffic)
	require.Contains(t, two.String(), "stage fit, each of 2 ranks")

	_, err = train.Run(t.Context(), m, train.Options{Memory: e.Memory() / 2}, s)
	require.ErrorContains(t, err, "over the limit of")
	require.Equal(t, was, bits(m))
	_, err = train.Run(t.Context(), m, train.Options{Memory: 100}, s)
	require.ErrorContains(t, err, "train fewer parameters")
	fixed := e.Weights + e.Gradients + e.Optimizer + e.Other
	require.Equal(t, 2, e.Largest(fixed+(e.Activations+e.Loader)*2/3+1))
	require.Equal(t, 6, e.Largest(fixed+(e.Activations+e.Loader)*2+1))
	s.Steps = 3
	_, err = train.Run(t.Context(), m, train.Options{Memory: 2 * e.Memory()}, s)
	require.NoError(t, err)
}

func TestFindLR(t *testing.T) {
	m := mixed()
	was := bits(m)
	s := stage(5)
	s.Batches = func(context.Context, int) (sample, error) {
		r := rand.New(rand.NewPCG(1, 1))
		return sample{x: tensor.Randn(r, 1, 64, 5), y: tensor.Randn(r, 1, 64, 3), n: 1}, nil
	}
	points, best, err := train.FindLR(t.Context(), m, s, 1e-6, 100, 80)
	require.NoError(t, err)
	require.Equal(t, was, bits(m), "the finder puts everything back")
	require.Greater(t, best, 1e-4)
	require.Less(t, best, 10.0)
	require.InDelta(t, 1e-6, points[0].LR, 1e-12)
	require.Greater(t, points[len(points)-1].Average, 1.5*points[0].Average, "it went up to where the loss grows")

	_, _, err = train.FindLR(t.Context(), m, stage(5), 1, 0.1, 60)
	require.ErrorContains(t, err, "from 1 to 0.1")
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	_, _, err = train.FindLR(ctx, m, stage(5), 1e-6, 1, 60)
	require.ErrorIs(t, err, context.Canceled)
	require.Equal(t, was, bits(m))
}

// TestPrefetch: the same batches, ahead of time, and no goroutine stays.
func TestPrefetch(t *testing.T) {
	defer goleak.VerifyNone(t, goleak.IgnoreAnyFunction("github.com/gollava/gollava/internal/cpu.(*pool).worker"))
	var made atomic.Int32
	source := func(_ context.Context, n int) (int, error) {
		made.Add(1)
		switch n {
		case 7:
			return 0, errors.New("no seven")
		case 9:
			panic("nine")
		}
		time.Sleep(time.Millisecond)
		return n * n, nil
	}
	b := train.Prefetch(source, 3)
	for n := range 7 {
		v, err := b(t.Context(), n)
		require.NoError(t, err)
		require.Equal(t, n*n, v)
	}
	require.GreaterOrEqual(t, int(made.Load()), 7)
	_, err := b(t.Context(), 7)
	require.ErrorContains(t, err, "no seven")
	_, err = b(t.Context(), 9)
	require.ErrorContains(t, err, "making batch 9 panicked: nine")
	v, err := b(t.Context(), 2) // back again, as a resumed run may
	require.NoError(t, err)
	require.Equal(t, 4, v)

	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	slow := train.Prefetch(func(ctx context.Context, n int) (int, error) { <-ctx.Done(); return 0, ctx.Err() }, 2)
	_, err = slow(ctx, 0)
	require.ErrorIs(t, err, context.Canceled)
}

// TestPrefetched: a run gets the same result with and without.
func TestPrefetched(t *testing.T) {
	a, b := newNet(1), newNet(1)
	_, err := train.Run(t.Context(), a, train.Options{}, stage(10))
	require.NoError(t, err)
	s := stage(10)
	s.Batches = train.Prefetch(s.Batches, 4)
	_, err = train.Run(t.Context(), b, train.Options{}, s)
	require.NoError(t, err)
	require.Equal(t, bits(a), bits(b))
}

// TestProgress: plain lines where there is no terminal.
func TestProgress(t *testing.T) {
	var w bytes.Buffer
	_, err := train.Run(t.Context(), newNet(1), train.Options{Progress: &w}, stage(4))
	require.NoError(t, err)
	require.Regexp(t, `fit 0/4 · 4 steps of 2 micro-batches; \d+ values of \S+ and \d+ values of \S+ and `+
		`\d+ values of \S+ train, the rest is frozen`, w.String())
	require.Regexp(t, `fit 1/4 · loss \d\.\d{4} · mean \d\.\d{4} · lr 0 · [\de+.]+ samples/s · \d+ tokens/s · `+
		`\d+% of matrix product speed · \S+ left · [\d.]+ MiB\n`, w.String())
	require.Regexp(t, `fit 4/4 · loss`, w.String())
	require.NotContains(t, w.String(), "\r")
}

// TestSteadyMemory: after the first steps, a step leaves nothing tensor-sized behind.
func TestSteadyMemory(t *testing.T) {
	r := rand.New(rand.NewPCG(1, 1))
	m := &net{Lower: nn.NewLinear(r, 5, 256, true), Norm: nn.NewLayerNorm(r, 256, 1e-5, true), Drop: &nn.Dropout{}, Upper: nn.NewLinear(r, 256, 3, true)}
	x, y := tensor.Randn(r, 1, 128, 5), tensor.Randn(r, 1, 128, 3)
	s := stage(60)
	s.Batches = func(context.Context, int) (sample, error) { return sample{x: x, y: y, n: 1}, nil }
	var before runtime.MemStats
	s.After = func(step int) {
		if step == 20 {
			runtime.GC()
			runtime.ReadMemStats(&before)
		}
	}
	s.Accumulate = 1
	_, err := train.Run(t.Context(), m, train.Options{}, s)
	require.NoError(t, err)
	runtime.GC()
	var after runtime.MemStats
	runtime.ReadMemStats(&after)
	require.Less(t, int64(after.HeapAlloc)-int64(before.HeapAlloc), int64(128*256*4))
	t.Logf("%d bytes allocated per step", (after.TotalAlloc-before.TotalAlloc)/40)
}
