package main

import (
	"fmt"

	"github.com/gollava/gollava/tensor"
)

// mlpCases are steps of an MLP: a large one, forward and backward, and one with nothing to compute, AdamW included.
func mlpCases() []Case {
	sizes := func(m, in, hidden, out int) size { return size{"m": m, "in_": in, "hidden": hidden, "out": out} }
	return []Case{
		{Name: "mlp/step/256×1024→4096→1024", Op: "mlp", Args: sizes(256, 1024, 4096, 1024),
			Rivals: []string{"torch", "gorgonia", "gorgonia+interop"},
			Unit:   "ms", Share: byArithmetic, Setup: func() func() { return mlpStep(256, 1024, 4096, 1024, false) }},
		{Name: "mlp/tiny/8×16→32→10", Op: "tiny", Args: sizes(8, 16, 32, 10), Rivals: []string{"torch"},
			Unit: "µs", Setup: func() func() { return mlpStep(8, 16, 32, 10, true) }},
	}
}

// mlpStep is mean(y²), y = relu(x·W₁ᵀ + b₁)·W₂ᵀ + b₂, and its gradients.
func mlpStep(m, in, hidden, out int, adamw bool) func() {
	x := uniform(m, in)
	params := []*tensor.Tensor{uniform(hidden, in), uniform(hidden), uniform(out, hidden), uniform(out)}
	step := optimizer(params, adamw)
	return func() {
		scope(func(s *tensor.Arena) {
			h := tensor.Linear(x.In(s), params[0], params[1], tensor.ReLU)
			y := tensor.Linear(h, params[2], params[3], tensor.Identity)
			y.Mul(y).Mean().Backward()
		})
		step()
	}
}

// uniform returns small numbers.
func uniform(shape ...int) *tensor.Tensor {
	n := 1
	for _, d := range shape {
		n *= d
	}
	x := make([]float32, n)
	for i := range x {
		x[i] = float32((i*7919)%1009)/1009/16 - 1.0/32
	}
	return tensor.Wrap(x, shape...)
}

// optimizer marks params as trained and returns what ends a step: AdamW, or dropping the gradients alone.
func optimizer(params []*tensor.Tensor, adamw bool) func() {
	var items []tensor.AdamWItem
	for _, p := range params {
		p.SetTrainable(true)
		if adamw {
			items = append(items, tensor.AdamWItem{Param: p, M: tensor.New(p.Shape()...), V: tensor.New(p.Shape()...)})
		}
	}
	c := tensor.AdamWConfig{LR: 1e-4, Beta1: 0.9, Beta2: 0.999, Eps: 1e-8, WeightDecay: 0.01, GradScale: 1}
	return func() {
		if adamw {
			c.Step++
			tensor.AdamW(c, items)
		}
		for _, p := range params {
			p.ZeroGrad()
		}
	}
}

// must is for configs that this program writes itself.
func must[T any](v T, err error) T {
	if err != nil {
		panic(fmt.Sprint("bench: ", err))
	}
	return v
}
