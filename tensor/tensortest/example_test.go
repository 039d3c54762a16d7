package tensortest_test

import (
	"fmt"
	"testing"

	"github.com/gollava/gollava/tensor"
	"github.com/gollava/gollava/tensor/tensortest"
)

// The gradient of an expression, against finite differences. A test passes its *testing.T.
func ExampleGradCheck() {
	var t testing.T
	tensortest.GradCheck(&t, func(in []*tensor.Tensor) *tensor.Tensor {
		return in[0].Mul(in[1]).Sigmoid().Sum()
	}, tensor.From([]float32{1, -2, 3}, 3).Param(), tensor.From([]float32{0.5, 0.25, -1}, 3).Param())
	fmt.Println(t.Failed())
	// Output: false
}

func ExampleClose() {
	var t testing.T
	tensortest.Close(&t, tensor.From([]float32{1, 2}, 2), tensor.From([]float32{1, 2.00001}, 2), 1e-4, 0)
	fmt.Println(t.Failed())
	// Output: false
}
