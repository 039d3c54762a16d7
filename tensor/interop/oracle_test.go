package interop_test

import (
	"math/rand/v2"
	"testing"

	"gorgonia.org/gorgonia"

	"github.com/gollava/gollava/tensor"
)

func positive(seed uint64, shape ...int) *tensor.Tensor {
	return tensor.Uniform(rand.New(rand.NewPCG(seed, 3)), 0.5, 2, shape...)
}

// TestGorgoniaAgrees asks Gorgonia's symbolic differentiation for its opinion on this library's gradients.
func TestGorgoniaAgrees(t *testing.T) {
	type x = []*tensor.Tensor
	one := func(f func(node) (node, error)) func([]node) (node, error) {
		return func(in []node) (node, error) { return f(in[0]) }
	}
	two := func(f func(a, b node) (node, error)) func([]node) (node, error) {
		return func(in []node) (node, error) { return f(in[0], in[1]) }
	}
	for _, c := range []struct {
		name   string
		theirs func([]node) (node, error)
		ours   func(x) *tensor.Tensor
		in     x
	}{
		{"Add", two(gorgonia.Add), func(in x) *tensor.Tensor { return in[0].Add(in[1]) }, x{normal(1, 3, 5), normal(2, 3, 5)}},
		{"Sub", two(gorgonia.Sub), func(in x) *tensor.Tensor { return in[0].Sub(in[1]) }, x{normal(1, 3, 5), normal(2, 3, 5)}},
		{"Mul", two(gorgonia.HadamardProd), func(in x) *tensor.Tensor { return in[0].Mul(in[1]) }, x{normal(1, 3, 5), normal(2, 3, 5)}},
		{"Div", two(gorgonia.HadamardDiv), func(in x) *tensor.Tensor { return in[0].Div(in[1]) }, x{normal(1, 3, 5), positive(2, 3, 5)}},
		{"Add row", func(in []node) (node, error) { return gorgonia.BroadcastAdd(in[0], in[1], nil, []byte{0}) },
			func(in x) *tensor.Tensor { return in[0].Add(in[1]) }, x{normal(1, 3, 5), normal(2, 5)}},
		{"Mul row", func(in []node) (node, error) { return gorgonia.BroadcastHadamardProd(in[0], in[1], nil, []byte{0}) },
			func(in x) *tensor.Tensor { return in[0].Mul(in[1]) }, x{normal(1, 3, 5), normal(2, 5)}},
		{"MatMul", two(gorgonia.Mul), func(in x) *tensor.Tensor { return in[0].MatMul(in[1]) }, x{normal(1, 7, 5), normal(2, 5, 3)}},
		{"MatMul of MatMul", func(in []node) (node, error) {
			y, err := gorgonia.Mul(in[0], in[1])
			if err != nil {
				return nil, err
			}
			return gorgonia.Mul(y, in[2])
		}, func(in x) *tensor.Tensor { return in[0].MatMul(in[1]).MatMul(in[2]) }, x{normal(1, 7, 5), normal(2, 5, 3), normal(3, 3, 33)}},
		{"BatchedMatMul", func(in []node) (node, error) { return gorgonia.BatchedMatMul(in[0], in[1]) },
			func(in x) *tensor.Tensor { return in[0].MatMul(in[1]) }, x{normal(1, 2, 7, 5), normal(2, 2, 5, 3)}},
		{"Tanh", one(gorgonia.Tanh), func(in x) *tensor.Tensor { return in[0].Tanh() }, x{normal(1, 3, 17)}},
		{"Sigmoid", one(gorgonia.Sigmoid), func(in x) *tensor.Tensor { return in[0].Sigmoid() }, x{normal(1, 3, 17)}},
		{"Exp", one(gorgonia.Exp), func(in x) *tensor.Tensor { return in[0].Exp() }, x{normal(1, 3, 17)}},
		{"Log", one(gorgonia.Log), func(in x) *tensor.Tensor { return in[0].Log() }, x{positive(1, 3, 17)}},
		{"Sqrt", one(gorgonia.Sqrt), func(in x) *tensor.Tensor { return in[0].Sqrt() }, x{positive(1, 3, 17)}},
		// Not InverseSqrt: its symbolic gradient in Gorgonia 0.9.18 is −dy/(2y³), where −dy·y³/2 is right.
		{"Rsqrt", func(in []node) (node, error) { return gorgonia.Inverse(gorgonia.Must(gorgonia.Sqrt(in[0]))) },
			func(in x) *tensor.Tensor { return in[0].Rsqrt() }, x{positive(1, 3, 17)}},
		{"Neg", one(gorgonia.Neg), func(in x) *tensor.Tensor { return in[0].Neg() }, x{normal(1, 3, 17)}},
		{"ReLU", one(gorgonia.Rectify), func(in x) *tensor.Tensor { return in[0].ReLU() }, x{normal(1, 3, 17)}},
		{"Square", one(gorgonia.Square), func(in x) *tensor.Tensor { return in[0].Mul(in[0]) }, x{normal(1, 3, 17)}},
		{"SiLU", func(in []node) (node, error) {
			return gorgonia.HadamardProd(in[0], gorgonia.Must(gorgonia.Sigmoid(in[0])))
		},
			func(in x) *tensor.Tensor { return in[0].SiLU() }, x{normal(1, 3, 17)}},
		{"SwiGLU", func(in []node) (node, error) {
			return gorgonia.HadamardProd(gorgonia.Must(gorgonia.HadamardProd(in[0], gorgonia.Must(gorgonia.Sigmoid(in[0])))), in[1])
		}, func(in x) *tensor.Tensor { return tensor.SwiGLU(in[0], in[1]) }, x{normal(1, 3, 17), normal(2, 3, 17)}},
		{"Softmax", func(in []node) (node, error) { return gorgonia.SoftMax(in[0]) }, func(in x) *tensor.Tensor { return in[0].Softmax() }, x{normal(1, 3, 7)}},
		{"LogSoftmax", func(in []node) (node, error) { return gorgonia.Log(gorgonia.Must(gorgonia.SoftMax(in[0]))) },
			func(in x) *tensor.Tensor { return in[0].LogSoftmax() }, x{normal(1, 3, 7)}},
		{"Sum", func(in []node) (node, error) { return gorgonia.Sum(in[0], 1) }, func(in x) *tensor.Tensor { return in[0].Sum(1) }, x{normal(1, 3, 7)}},
		{"Mean", func(in []node) (node, error) { return gorgonia.Mean(in[0], 0) }, func(in x) *tensor.Tensor { return in[0].Mean(0) }, x{normal(1, 3, 7)}},
		{"Transpose", func(in []node) (node, error) { return gorgonia.Transpose(in[0], 1, 0) }, func(in x) *tensor.Tensor { return in[0].Transpose() }, x{normal(1, 3, 7)}},
		{"Reshape", func(in []node) (node, error) { return gorgonia.Reshape(in[0], []int{7, 3}) }, func(in x) *tensor.Tensor { return in[0].Reshape(7, 3) }, x{normal(1, 3, 7)}},
		{"MLP", mlp, func(in x) *tensor.Tensor {
			h := tensor.Linear(in[0], in[1].Transpose(), in[2], tensor.Tanh)
			return tensor.Linear(h, in[3].Transpose(), in[4], tensor.Identity).LogSoftmax().Mean()
		}, x{normal(1, 9, 5), normal(2, 5, 33), normal(3, 33), normal(4, 33, 7), normal(5, 7)}},
	} {
		t.Run(c.name, func(t *testing.T) { agree(t, c.theirs, c.ours, c.in...) })
	}
}

// mlp is the mean log-probability of a two-layer perceptron.
func mlp(in []node) (node, error) {
	h := gorgonia.Must(gorgonia.BroadcastAdd(gorgonia.Must(gorgonia.Mul(in[0], in[1])), in[2], nil, []byte{0}))
	h = gorgonia.Must(gorgonia.Tanh(h))
	y := gorgonia.Must(gorgonia.BroadcastAdd(gorgonia.Must(gorgonia.Mul(h, in[3])), in[4], nil, []byte{0}))
	return gorgonia.Mean(gorgonia.Must(gorgonia.Log(gorgonia.Must(gorgonia.SoftMax(y)))))
}
