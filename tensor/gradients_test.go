package tensor_test

import (
	"math/rand/v2"
	"slices"
	"testing"

	"github.com/gollava/gollava/tensor"
	"github.com/gollava/gollava/tensor/tensortest"
)

type T = tensor.Tensor

func normal(shape ...int) *T {
	return tensor.Randn(rand.New(rand.NewPCG(1, uint64(len(shape)+shape[0]))), 1, shape...).Param()
}

func positive(shape ...int) *T {
	return tensor.Uniform(rand.New(rand.NewPCG(2, 2)), 0.5, 2, shape...).Param()
}

// gradientCase is a function of tensors whose gradient is checked.
type gradientCase struct {
	name string
	f    func(x []*T) *T
	in   []*T
}

// gradientCases has a line for each op.
func gradientCases() []gradientCase { return slices.Concat(basicCases(), convCases(), imageCases()) }

func basicCases() []gradientCase {
	ids := tensor.Ints([]int{2, 0, 2, 4, 1, 1}, 2, 3)
	labels := tensor.Ints([]int{1, -100, 4, 0, 3}, 5)
	cos, sin := tensor.From([]float32{.6, .8, .1, .995, .28, .96}, 3, 2), tensor.From([]float32{.8, .6, .995, .1, .96, .28}, 3, 2)
	att := func(c tensor.AttentionConfig) func(x []*T) *T {
		return func(x []*T) *T { return tensor.Attention(x[0], x[1], x[2], c) }
	}
	return []gradientCase{
		{"Add", func(x []*T) *T { return x[0].Add(x[1]) }, []*T{normal(3, 5), normal(3, 5)}},
		{"Add row", func(x []*T) *T { return x[0].Add(x[1]) }, []*T{normal(3, 5), normal(5)}},
		{"Add row left", func(x []*T) *T { return x[1].Add(x[0]) }, []*T{normal(3, 5), normal(5)}},
		{"Add outer", func(x []*T) *T { return x[0].Add(x[1]) }, []*T{normal(3, 1), normal(1, 5)}},
		{"Add middle", func(x []*T) *T { return x[0].Add(x[1]) }, []*T{normal(2, 3, 4), normal(2, 1, 4)}},
		{"Add itself", func(x []*T) *T { return x[0].Add(x[0]) }, []*T{normal(7)}},
		{"Sub", func(x []*T) *T { return x[0].Sub(x[1]) }, []*T{normal(3, 5), normal(3, 1)}},
		{"Mul", func(x []*T) *T { return x[0].Mul(x[1]) }, []*T{normal(3, 5), normal(5)}},
		{"Mul itself", func(x []*T) *T { return x[0].Mul(x[0]) }, []*T{normal(3, 5)}},
		{"Mul scalar", func(x []*T) *T { return x[0].Mul(x[1].Sum()) }, []*T{normal(3, 5), normal(2)}},
		{"Div", func(x []*T) *T { return x[0].Div(x[1]) }, []*T{normal(3, 5), positive(3, 1)}},
		{"Scale", func(x []*T) *T { return x[0].Scale(-3) }, []*T{normal(17)}},
		{"Affine", func(x []*T) *T { return x[0].Affine(2, 1) }, []*T{normal(17)}},
		{"Exp", func(x []*T) *T { return x[0].Exp() }, []*T{normal(17)}},
		{"Log", func(x []*T) *T { return x[0].Log() }, []*T{positive(17)}},
		{"Sqrt", func(x []*T) *T { return x[0].Sqrt() }, []*T{positive(17)}},
		{"Rsqrt", func(x []*T) *T { return x[0].Rsqrt() }, []*T{positive(17)}},
		{"Tanh", func(x []*T) *T { return x[0].Tanh() }, []*T{normal(17)}},
		{"Sigmoid", func(x []*T) *T { return x[0].Sigmoid() }, []*T{normal(17)}},
		{"SiLU", func(x []*T) *T { return x[0].SiLU() }, []*T{normal(17)}},
		{"GELU", func(x []*T) *T { return x[0].GELU() }, []*T{normal(17)}},
		{"GELUTanh", func(x []*T) *T { return x[0].GELUTanh() }, []*T{normal(17)}},
		{"QuickGELU", func(x []*T) *T { return x[0].QuickGELU() }, []*T{normal(17)}},
		{"SwiGLU", func(x []*T) *T { return tensor.SwiGLU(x[0], x[1]) }, []*T{normal(3, 5), normal(3, 5)}},
		{"SwiGLU itself", func(x []*T) *T { return tensor.SwiGLU(x[0], x[0]) }, []*T{normal(3, 5)}},
		{"Sum", func(x []*T) *T { return x[0].Sum() }, []*T{normal(3, 5)}},
		{"Sum 0", func(x []*T) *T { return x[0].Sum(0) }, []*T{normal(3, 5)}},
		{"Sum 0, −1", func(x []*T) *T { return x[0].Sum(0, -1) }, []*T{normal(3, 5, 2)}},
		{"Mean 1", func(x []*T) *T { return x[0].Mean(1) }, []*T{normal(3, 5, 2)}},
		{"Max", func(x []*T) *T { return x[0].Max(1) }, []*T{normal(3, 5, 2)}},
		{"Softmax", func(x []*T) *T { return x[0].Softmax() }, []*T{normal(3, 5)}},
		{"LogSoftmax", func(x []*T) *T { return x[0].LogSoftmax() }, []*T{normal(3, 5)}},
		{"MatMul", func(x []*T) *T { return x[0].MatMul(x[1]) }, []*T{normal(3, 5), normal(5, 4)}},
		{"MatMul batched", func(x []*T) *T { return x[0].MatMul(x[1]) }, []*T{normal(2, 3, 5), normal(2, 5, 4)}},
		{"MatMul shared", func(x []*T) *T { return x[0].MatMul(x[1]) }, []*T{normal(2, 3, 5), normal(5, 4)}},
		{"MatMulT", func(x []*T) *T { return x[0].MatMulT(x[1]) }, []*T{normal(2, 3, 5), normal(4, 5)}},
		{"MatMulT batched", func(x []*T) *T { return x[0].MatMulT(x[1]) }, []*T{normal(2, 3, 5), normal(2, 4, 5)}},
		{"MatMulT itself", func(x []*T) *T { return x[0].MatMulT(x[0]) }, []*T{normal(3, 5)}},
		{"MatMulT vector", func(x []*T) *T { return x[0].MatMulT(x[1]) }, []*T{normal(5), normal(4, 5)}},
		{"Linear", func(x []*T) *T { return tensor.Linear(x[0], x[1], x[2], tensor.GELU) }, []*T{normal(2, 3, 5), normal(4, 5), normal(4)}},
		{"LinearSum", func(x []*T) *T { return tensor.LinearSum(x[0], x[1], x[2], x[3], x[4]) },
			[]*T{normal(2, 3, 5), normal(4, 5), normal(4), normal(2, 3, 2), normal(4, 2)}},
		{"LinearSum of one input", func(x []*T) *T {
			return tensor.LinearSum(x[0], x[1], nil, tensor.Linear(x[0], x[2], nil, tensor.Identity), x[3])
		}, []*T{normal(3, 5), normal(4, 5), normal(2, 5), normal(4, 2)}},
		{"Linear no bias", func(x []*T) *T { return tensor.Linear(x[0], x[1], nil, tensor.Identity) }, []*T{normal(3, 5), normal(4, 5)}},
		{"Reshape", func(x []*T) *T { return x[0].Reshape(5, -1).Scale(2) }, []*T{normal(3, 5)}},
		{"Transpose", func(x []*T) *T { return x[0].Transpose() }, []*T{normal(2, 3, 5)}},
		{"Transpose 2 0 1", func(x []*T) *T { return x[0].Transpose(2, 0, 1) }, []*T{normal(2, 3, 5)}},
		{"Concat", func(x []*T) *T { return tensor.Concat(1, x[0], x[1], x[0]) }, []*T{normal(2, 3), normal(2, 4)}},
		{"Slice", func(x []*T) *T { return x[0].Slice(1, 1, 3).Add(x[0].Slice(1, 0, 2)) }, []*T{normal(2, 3, 2)}},
		{"Split", func(x []*T) *T { p := x[0].Split(-1, 2, 0, 3); return p[0].Sum(1).Add(p[2].Sum(1)) }, []*T{normal(3, 5)}},
		{"Gather", func(x []*T) *T { return tensor.Gather(x[0], ids) }, []*T{normal(5, 3)}},
		{"Gather twice", func(x []*T) *T { return tensor.Gather(x[0], ids).Add(tensor.Gather(x[0], ids)) }, []*T{normal(5, 3)}},
		{"ScatterRows", func(x []*T) *T { return tensor.ScatterRows(x[0], tensor.Ints([]int{3, 1}, 2), x[1]) }, []*T{normal(5, 3), normal(2, 3)}},
		{"ScatterAddRows", func(x []*T) *T { return tensor.ScatterAddRows(4, tensor.Ints([]int{3, 1, 3}, 3), x[0]) }, []*T{normal(3, 2)}},
		{"RMSNorm", func(x []*T) *T { return x[0].RMSNorm(x[1], 0.1) }, []*T{normal(3, 5), normal(5)}},
		{"LayerNorm", func(x []*T) *T { return x[0].LayerNorm(x[1], x[2], 0.1) }, []*T{normal(3, 5), normal(5), normal(5)}},
		{"LayerNorm no bias", func(x []*T) *T { return x[0].LayerNorm(x[1], nil, 0.1) }, []*T{normal(3, 5), normal(5)}},
		{"L2Normalize", func(x []*T) *T { return x[0].L2Normalize(1e-12) }, []*T{normal(3, 5)}},
		{"RoPE", func(x []*T) *T { return tensor.RoPE(x[0], cos, sin) }, []*T{normal(2, 3, 2, 5)}},
		{"Attention full", att(tensor.AttentionConfig{}), []*T{normal(2, 3, 2, 4), normal(2, 5, 2, 4), normal(2, 5, 2, 4)}},
		{"Attention causal GQA", att(tensor.AttentionConfig{Causal: true}), []*T{normal(1, 5, 4, 3), normal(1, 5, 2, 3), normal(1, 5, 2, 3)}},
		{"Attention window", att(tensor.AttentionConfig{Causal: true, Window: 2}), []*T{normal(1, 5, 2, 3), normal(1, 5, 2, 3), normal(1, 5, 2, 3)}},
		{"Attention padded", att(tensor.AttentionConfig{Causal: true, Start: []int32{2, 0}, End: []int32{5, 3}}), []*T{normal(2, 5, 2, 3), normal(2, 5, 2, 3), normal(2, 5, 2, 3)}},
		{"Attention ALiBi", att(tensor.AttentionConfig{Causal: true, Slopes: []float32{.5, .1}}), []*T{normal(1, 4, 2, 3), normal(1, 4, 2, 3), normal(1, 4, 2, 3)}},
		{"Attention cap", att(tensor.AttentionConfig{Causal: true, Scale: 1, Cap: 0.7}),
			[]*T{normal(1, 5, 4, 3), normal(1, 5, 2, 3), normal(1, 5, 2, 3)}},
		{"Attention keys", att(tensor.AttentionConfig{Causal: true, Keys: 4}), []*T{normal(1, 2, 2, 3), normal(1, 6, 2, 3), normal(1, 6, 2, 3)}},
		{"Attention prefix", att(tensor.AttentionConfig{Causal: true, Prefix: []int32{3, 0}}), []*T{normal(2, 5, 2, 3), normal(2, 5, 2, 3), normal(2, 5, 2, 3)}},
		{"Attention across", att(tensor.AttentionConfig{From: []int32{0, 0, 2, 2, 4}, To: []int32{0, 2, 4, 4, 6}}), []*T{normal(1, 5, 4, 3), normal(1, 7, 2, 3), normal(1, 7, 2, 3)}},
		{"Attention bias", func(x []*T) *T {
			return tensor.Attention(x[0], x[1], x[2], tensor.AttentionConfig{Causal: true, Start: []int32{0, 3}, Bias: x[3]})
		}, []*T{normal(2, 3, 4, 3), normal(2, 5, 2, 3), normal(2, 5, 2, 3), normal(1, 4, 3, 5)}},
		{"Attention itself", func(x []*T) *T { return tensor.Attention(x[0], x[0], x[0], tensor.AttentionConfig{}) }, []*T{normal(1, 4, 2, 3)}},
		{"CrossEntropy", func(x []*T) *T { return tensor.CrossEntropy(x[0], labels) }, []*T{normal(5, 6)}},
		{"LogProbs", func(x []*T) *T { return tensor.LogProbs(x[0], labels).Mul(x[1]) }, []*T{normal(5, 6), normal(5)}},
		{"LinearCrossEntropy of a computed weight", func(x []*T) *T {
			return tensor.LinearCrossEntropy(x[0], x[1].Scale(2), labels)
		}, []*T{normal(5, 3), normal(6, 3)}},
		{"LinearCrossEntropy", func(x []*T) *T { return tensor.LinearCrossEntropy(x[0], x[1], labels).Scale(2) }, []*T{normal(5, 3), normal(6, 3)}},
		{"PatchRows", func(x []*T) *T { return tensor.PatchRows(x[0], 2) }, []*T{normal(2, 3, 4, 6)}},
		{"Dropout", func(x []*T) *T { return tensor.Dropout(x[0], 0.4, 7) }, []*T{normal(33)}},
		{"Checkpoint", func(x []*T) *T {
			return tensor.Checkpoint(func(in []*T) *T { return in[0].Mul(x[1]).Tanh().Add(in[0]) }, x[0])
		}, []*T{normal(3, 5), normal(5)}},
		{"Checkpoint of parameters", func(x []*T) *T {
			return tensor.Checkpoint(func(in []*T) *T { return in[0].Mul(x[0]).Tanh() }, tensor.Full(0.7, 5)).Add(x[0])
		}, []*T{normal(5)}},
		{"Checkpoint of a view", func(x []*T) *T {
			return tensor.Checkpoint(func(in []*T) *T { return in[0].Reshape(5, 3) }, x[0].Scale(2)).Mul(x[1])
		}, []*T{normal(3, 5), normal(3)}},
		{"diamond", func(x []*T) *T { y := x[0].Tanh(); return y.Mul(y).Add(y.Reshape(5, 3).Reshape(3, 5)) }, []*T{normal(3, 5)}},
	}
}

// TestGradients checks every op against finite differences.
func TestGradients(t *testing.T) {
	for _, c := range gradientCases() {
		t.Run(c.name, func(t *testing.T) { tensortest.GradCheck(t, c.f, c.in...) })
	}
}
