package train_test

import (
	"context"
	"fmt"
	"sync"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/gollava/gollava/train"
)

// TestMap: all ranks get all results in order, computed once each; the first error is everybody's.
func TestMap(t *testing.T) {
	square := func(_ context.Context, i int) (int, error) { return i * i, nil }
	alone, err := train.Map(t.Context(), nil, 3, square)
	require.NoError(t, err)
	require.Equal(t, []int{0, 1, 4}, alone)
	for _, n := range []int{0, 1, 5, 7} {
		var all sync.WaitGroup
		var calls [4]int
		for rank, c := range train.Local(3) {
			all.Go(func() {
				out, err := train.Map(t.Context(), c, n, func(ctx context.Context, i int) (int, error) {
					calls[rank]++
					return square(ctx, i)
				})
				if err != nil || len(out) != n || n > 0 && out[n-1] != (n-1)*(n-1) {
					t.Errorf("rank %d: %v, %v", rank, out, err)
				}
				_, err = train.Map(t.Context(), c, 9, func(_ context.Context, i int) (int, error) {
					if i >= 4 {
						return 0, fmt.Errorf("no %d", i)
					}
					return 0, nil
				})
				if want := map[bool]string{true: "no 4", false: "rank 1: no 4"}[rank == 1]; err == nil ||
					err.Error() != want {
					t.Errorf("rank %d: %v", rank, err)
				}
			})
		}
		all.Wait()
		require.Equal(t, n, calls[0]+calls[1]+calls[2])
	}
}
