package nn_test

import (
	"fmt"
	"math/rand/v2"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/gollava/gollava/nn"
	"github.com/gollava/gollava/nn/nntest"
	"github.com/gollava/gollava/tensor"
)

// The projector of LLaVA-1.5, as PyTorch builds it.
func ExampleSequential() {
	r := rand.New(rand.NewPCG(1, 2))
	projector := nn.NewSequential(nn.NewLinear(r, 3, 5, true), &nn.Act{Function: tensor.GELU},
		nn.NewLinear(r, 5, 2, true))
	for name, p := range nn.Params(projector) {
		fmt.Println(name, p.Shape())
	}
	fmt.Println(projector.Forward(tensor.Randn(r, 1, 4, 3)).Shape())
	// Output:
	// 0.weight [5 3]
	// 0.bias [5]
	// 2.weight [2 5]
	// 2.bias [2]
	// [4 2]
}

// Layers are applied in order, each has its gradient, and a layer within can be replaced.
func TestSequential(t *testing.T) {
	r := rand.New(rand.NewPCG(3, 4))
	first, last := nn.NewLinear(r, 3, 5, true), nn.NewLinear(r, 5, 2, false)
	s := nn.NewSequential(first, &nn.Act{Function: tensor.GELU}, last)
	x := tensor.Randn(r, 1, 7, 3)
	want := last.Forward(first.Forward(x).Activate(tensor.GELU))
	require.Equal(t, want.Data(), s.Forward(x).Data())
	nntest.Check(t, s, func() *tensor.Tensor { y := s.Forward(x); return y.Mul(y).Sum() })

	require.Same(t, x, nn.NewSequential().Forward(x))
	var names []string
	nn.Map(s, func(name string, l nn.Layer) nn.Layer {
		names = append(names, name)
		if name == "2" {
			return nn.NewLinear(r, 5, 4, false)
		}
		return l
	})
	require.Equal(t, []string{"2", "1", "0"}, names)
	require.Equal(t, []int{7, 4}, s.Forward(x).Shape())
}
