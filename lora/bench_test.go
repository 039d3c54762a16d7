package lora_test

import (
	"testing"

	"github.com/gollava/gollava/tensor"
)

// BenchmarkLinear is a training step of the up projection of a model of 135M with an adapter of rank 32, as one
// operation and as a sum of two Linears.
func BenchmarkLinear(b *testing.B) {
	const rows, in, out, rank = 1024, 576, 1536, 32
	r := rng()
	x, w := tensor.Randn(r, 1, rows, in).Param(), tensor.Randn(r, 0.02, out, in)
	down, up := tensor.Randn(r, 0.02, rank, in).Param(), tensor.Randn(r, 0.02, out, rank).Param()
	linear := func(x, w *tensor.Tensor) *tensor.Tensor { return tensor.Linear(x, w, nil, tensor.Identity) }
	step := func(b *testing.B, forward func(x, low *tensor.Tensor) *tensor.Tensor) {
		for b.Loop() {
			tensor.Scope(func(s *tensor.Arena) {
				x := x.In(s)
				forward(x, linear(x, down)).Sum().Backward()
			})
			for _, p := range []*tensor.Tensor{x, down, up} {
				p.ZeroGrad()
			}
		}
	}
	b.Run("one operation", func(b *testing.B) {
		step(b, func(x, low *tensor.Tensor) *tensor.Tensor { return tensor.LinearSum(x, w, nil, low, up) })
	})
	b.Run("sum of two", func(b *testing.B) {
		step(b, func(x, low *tensor.Tensor) *tensor.Tensor { return linear(x, w).Add(linear(low, up)) })
	})
	b.Run("without adapter", func(b *testing.B) {
		step(b, func(x, _ *tensor.Tensor) *tensor.Tensor { return linear(x, w) })
	})
}
