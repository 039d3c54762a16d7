package train_test

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"slices"
	"sync"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/gollava/gollava/nn"
	"github.com/gollava/gollava/tensor"
	"github.com/gollava/gollava/train"
)

// TestSlices: every epoch has each sample once, in the order of that epoch, whoever asks for what first.
func TestSlices(t *testing.T) {
	samples := []int{10, 11, 12, 13, 14, 15, 16}
	join := func(s []int) ([]int, error) { return slices.Clone(s), nil }
	order := func(epoch int) []int { return rand.New(rand.NewPCG(1, uint64(epoch))).Perm(len(samples)) }
	batches, length := train.Slices(samples, 3, order, join)
	require.Equal(t, 3, length)
	got := make([][]int, 4*length)
	var wait sync.WaitGroup
	for i := range got {
		wait.Go(func() { got[i], _ = batches(t.Context(), i) })
	}
	wait.Wait()
	for epoch := range 4 {
		var want []int
		for _, i := range order(epoch) {
			want = append(want, samples[i])
		}
		require.Equal(t, want, slices.Concat(got[epoch*length:(epoch+1)*length]...))
		require.Len(t, got[epoch*length+2], 1, "the last batch has what is left")
	}
	batches, length = train.Slices(samples, 7, nil, join)
	require.Equal(t, 1, length)
	b, err := batches(t.Context(), 5)
	require.NoError(t, err)
	require.Equal(t, samples, b)

	fail := func([]int) (int, error) { return 0, errors.New("no batch of these") }
	failing, _ := train.Slices(samples, 2, nil, fail)
	_, err = failing(t.Context(), 0)
	require.ErrorContains(t, err, "no batch of these")
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	_, err = batches(ctx, 0)
	require.ErrorIs(t, err, context.Canceled)
	err = tensor.Catch(func() { train.Slices([]int{}, 3, nil, join) })
	require.ErrorContains(t, err, "Slices: batches of 3 from 0 samples")
	require.Error(t, tensor.Catch(func() { train.Slices(samples, 0, nil, join) }))
}

// Batches of plain slices: pairs of numbers in memory.
func ExampleSlices() {
	var pairs [][2]float32
	for i := range 32 {
		x := float32(i)/16 - 1
		pairs = append(pairs, [2]float32{x, 2*x - 1})
	}
	batches, length := train.Slices(pairs, 8, nil, func(some [][2]float32) (Points, error) {
		var x, y []float32
		for _, p := range some {
			x, y = append(x, p[0]), append(y, p[1])
		}
		return Points{tensor.From(x, len(x), 1), tensor.From(y, len(y), 1)}, nil
	})
	model := &Line{nn.NewLinear(rand.New(rand.NewPCG(1, 2)), 1, 1, true)}
	report, err := train.Run(context.Background(), model, train.Options{}, train.Stage[Points]{
		Name: "line", Batches: batches, Length: length, Epochs: 60, Groups: []train.Group{{Params: "**", LR: 0.1}},
	})
	if err != nil {
		fmt.Println(err)
		return
	}
	weight, bias := model.Layer.Weight.Item(), model.Layer.Bias.Item()
	fmt.Printf("y = %.1f·x %+.1f after %d steps\n", weight, bias, report.Stages[0].Steps)
	// Output: y = 2.0·x -1.0 after 240 steps
}
