package train

import (
	"context"
	"fmt"
)

// Map returns f(0), …, f(n−1), which the ranks of c compute together, i on rank i modulo Size; every rank must call
// it, and gets all. It is how an evaluation's batches or answers, or the files of a cache, are shared out. T must be
// of exported fields, as package gob encodes them. If f fails, all ranks get the error of the least i; what comes
// after it on the same rank is left out. A nil c is a single rank.
func Map[T any](ctx context.Context, c Comm, n int, f func(ctx context.Context, i int) (T, error)) ([]T, error) {
	if c == nil {
		c = alone{}
	}
	type part struct {
		Values []T
		Failed int // index of the error
		Err    string
	}
	own := part{Failed: n}
	var failed error
	size := c.Size()
	for i := c.Rank(); i < n; i += size {
		v, err := f(whole(ctx, c), i)
		if err != nil {
			own.Failed, own.Err, failed = i, err.Error(), err
			break
		}
		own.Values = append(own.Values, v)
	}
	all, err := share(c, own)
	if err != nil {
		return nil, err
	}
	first := 0
	for rank, p := range all {
		if p.Failed < all[first].Failed {
			first = rank
		}
	}
	switch {
	case all[first].Failed == n:
	case first == c.Rank():
		return nil, failed
	default:
		return nil, fmt.Errorf("rank %d: %s", first, all[first].Err)
	}
	out := make([]T, n)
	for i := range out {
		out[i] = all[i%size].Values[i/size]
	}
	return out, nil
}
