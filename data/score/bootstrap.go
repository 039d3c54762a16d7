package score

import (
	"math/rand/v2"
	"slices"
)

// Interval is a mean with its 95 % bootstrap interval.
type Interval struct {
	Mean, Low, High float64
	N               int // questions
}

// Comparison is how far one model is ahead of another on the questions that both were scored on.
type Comparison struct {
	Difference   Interval // of the mean scores, the first minus the second
	Better       int      // questions on which the first scores higher
	Worse        int      // questions on which the second does
	OnlyA, OnlyB int      // questions that just one of them was scored on: left out
}

// Bootstrap is the mean score with the interval that resampling questions gives: the 2.5 % and 97.5 % quantiles of
// the means of samples with replacement (Efron 1979). The same items give the same interval.
func Bootstrap(items []Item) Interval {
	x := make([]float64, len(items))
	for i, item := range items {
		x[i] = item.Score
	}
	return bootstrap(x)
}

// Compare compares two models question by question: resampling takes the same questions of both (a paired bootstrap).
func Compare(a, b []Item) Comparison {
	other := make(map[string]float64, len(b))
	for _, item := range b {
		other[item.ID] = item.Score
	}
	var c Comparison
	var x []float64
	for _, item := range a {
		y, ok := other[item.ID]
		if !ok {
			c.OnlyA++
			continue
		}
		x = append(x, item.Score-y)
		switch {
		case item.Score > y:
			c.Better++
		case item.Score < y:
			c.Worse++
		}
	}
	c.OnlyB = len(other) - len(x)
	c.Difference = bootstrap(x)
	return c
}

// bootstrap resamples 10,000 times, or as often as 50 million draws allow, but 200 times at least.
func bootstrap(x []float64) Interval {
	n := len(x)
	if n == 0 {
		return Interval{}
	}
	sum := 0.0
	for _, v := range x {
		sum += v
	}
	times := min(max(50_000_000/n, 200), 10_000)
	means := make([]float64, times)
	r := rand.New(rand.NewPCG(1, uint64(n)))
	for k := range means {
		s := 0.0
		for range n {
			s += x[r.IntN(n)]
		}
		means[k] = s / float64(n)
	}
	slices.Sort(means)
	at := func(q float64) float64 { return means[min(int(q*float64(times)), times-1)] }
	return Interval{sum / float64(n), at(0.025), at(0.975), n}
}
