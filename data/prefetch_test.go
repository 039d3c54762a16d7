package data_test

import (
	"context"
	"errors"
	"sync/atomic"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"go.uber.org/goleak"

	"github.com/gollava/gollava/data"
)

func TestPrefetchIsBounded(t *testing.T) {
	defer goleak.VerifyNone(t)
	const workers, ahead = 3, 4
	var made, taken, running, most, furthest atomic.Int64
	p := data.Prefetch(func(_ context.Context, n int) (int, error) {
		if now := running.Add(1); now > most.Load() {
			most.Store(now)
		}
		defer running.Add(-1)
		time.Sleep(time.Millisecond)
		if over := made.Add(1) - taken.Load(); over > furthest.Load() {
			furthest.Store(over)
		}
		return n * n, nil
	}, workers, ahead)
	for n := range 40 {
		got, err := p.Batch(context.Background(), n)
		require.NoError(t, err)
		require.Equal(t, n*n, got)
		taken.Add(1)
	}
	p.Close()
	require.LessOrEqual(t, most.Load(), int64(workers))
	require.Greater(t, most.Load(), int64(1), "workers make batches at the same time")
	require.LessOrEqual(t, furthest.Load(), int64(ahead+1))
}

func TestPrefetchJumpsFailsAndStops(t *testing.T) {
	defer goleak.VerifyNone(t)
	boom := errors.New("boom")
	p := data.Prefetch(func(ctx context.Context, n int) (int, error) {
		switch n {
		case 5:
			return 0, boom
		case 9:
			<-ctx.Done()
			return 0, ctx.Err()
		}
		return n, nil
	}, 2, 2)
	for _, n := range []int{0, 1, 4, 3, 3, 100, 2, 6} {
		got, err := p.Batch(context.Background(), n)
		require.NoError(t, err)
		require.Equal(t, n, got)
	}
	_, err := p.Batch(context.Background(), 5)
	require.ErrorIs(t, err, boom)
	_, err = p.Batch(context.Background(), 5) // is made again
	require.ErrorIs(t, err, boom)
	ctx, stop := context.WithTimeout(context.Background(), 5*time.Millisecond)
	defer stop()
	_, err = p.Batch(ctx, 9)
	require.ErrorIs(t, err, context.DeadlineExceeded)
	got, err := p.Batch(context.Background(), 10)
	require.NoError(t, err)
	require.Equal(t, 10, got)
	p.Close()
	_, err = p.Batch(context.Background(), 50)
	require.ErrorIs(t, err, context.Canceled)
	require.Panics(t, func() { data.Prefetch(func(context.Context, int) (int, error) { return 0, nil }, 0, 1) })
}
