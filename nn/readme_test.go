package nn_test

import (
	"fmt"
	"math/rand/v2"

	"github.com/gollava/gollava/nn"
	"github.com/gollava/gollava/tensor"
)

// Gated is a layer with parameters of its own: y = x·Wᵀ · σ(gate).
type Gated struct {
	Weight *tensor.Tensor `param:"weight"` // [out, in]
	Gate   *tensor.Tensor `param:"gate"`   // [out]
}

func (g *Gated) Forward(x *tensor.Tensor) *tensor.Tensor {
	return x.MatMulT(g.Weight).Mul(g.Gate.Sigmoid())
}

// A layer of one's own is a struct: its tagged fields are its parameters, and their names are those of its checkpoint.
func Example_layer() {
	r := rand.New(rand.NewPCG(1, 2))
	layer := &Gated{Weight: tensor.Randn(r, 0.5, 2, 3).Param(), Gate: tensor.New(2).Param()}
	layer.Forward(tensor.Randn(r, 1, 4, 3)).Sum().Backward()
	for name, p := range nn.Params(layer) {
		fmt.Println(name, p.Shape(), p.Grad().Shape())
	}
	// Output:
	// weight [2 3] [2 3]
	// gate [2] [2]
}
