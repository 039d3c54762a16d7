package nntest_test

import (
	"fmt"
	"testing"

	"github.com/gollava/gollava/nn/nntest"
	"github.com/gollava/gollava/tensor"
)

// gated is y = x·Wᵀ · σ(gate).
type gated struct {
	Weight *tensor.Tensor `param:"weight"` // [out, in]
	Gate   *tensor.Tensor `param:"gate"`   // [out]
}

func (g *gated) Forward(x *tensor.Tensor) *tensor.Tensor {
	return x.MatMulT(g.Weight).Mul(g.Gate.Sigmoid())
}

// The gradients of a layer of one's own, against finite differences. A test passes its *testing.T.
func ExampleCheck() {
	g := &gated{tensor.From([]float32{1, -2, 0.5, 3}, 2, 2).Param(), tensor.From([]float32{0.3, -0.7}, 2).Param()}
	x := tensor.From([]float32{1, 2, -1, 0.5}, 2, 2)
	var t testing.T
	nntest.Check(&t, g, func() *tensor.Tensor {
		y := g.Forward(x)
		return y.Mul(y).Sum()
	})
	fmt.Println(t.Failed())
	// Output: false
}
