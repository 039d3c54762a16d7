package tensor_test

import (
	"math/rand/v2"
	"testing"

	"github.com/gollava/gollava/tensor"
)

// BenchmarkTinyStep is a whole training step of an MLP 8×16→32→10, forward, backward and AdamW: what an operation costs
// when there is nothing to compute.
func BenchmarkTinyStep(b *testing.B) {
	step := tinyStep()
	b.ReportAllocs()
	for b.Loop() {
		step()
	}
}

func tinyStep() func() {
	r := rand.New(rand.NewPCG(1, 2))
	x := tensor.Randn(r, 1, 8, 16)
	labels := tensor.Ints([]int{0, 1, 2, 3, 4, 5, 6, 7}, 8)
	params := []*tensor.Tensor{tensor.Randn(r, 0.1, 32, 16).Param(), tensor.New(32).Param(), tensor.Randn(r, 0.1, 10, 32).Param(), tensor.New(10).Param()}
	var items []tensor.AdamWItem
	for _, p := range params {
		items = append(items, tensor.AdamWItem{Param: p, M: tensor.New(p.Shape()...), V: tensor.New(p.Shape()...)})
	}
	c := tensor.AdamWConfig{LR: 1e-3, Beta1: 0.9, Beta2: 0.999, Eps: 1e-8, WeightDecay: 0.01, GradScale: 1}
	return func() {
		tensor.Scope(func(s *tensor.Arena) {
			h := tensor.Linear(x.In(s), params[0], params[1], tensor.ReLU)
			tensor.CrossEntropy(tensor.Linear(h, params[2], params[3], tensor.Identity), labels).Backward()
		})
		c.Step++
		tensor.AdamW(c, items)
		for _, p := range params {
			p.ZeroGrad()
		}
	}
}
