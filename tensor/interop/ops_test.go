package interop_test

import (
	"math/rand/v2"
	"testing"

	"github.com/stretchr/testify/require"
	"gorgonia.org/gorgonia"
	dense "gorgonia.org/tensor"

	"github.com/gollava/gollava/tensor"
	"github.com/gollava/gollava/tensor/interop"
)

type node = *gorgonia.Node

// input is a tensor's value as an input node of g.
func input(g *gorgonia.ExprGraph, name string, x *tensor.Tensor) node {
	of := dense.Float32
	if x.DType() == tensor.Int32 {
		of = dense.Int32
	}
	if x.Rank() == 0 {
		return gorgonia.NewScalar(g, of, gorgonia.WithName(name), gorgonia.WithValue(gorgonia.NewF32(x.Item())))
	}
	return gorgonia.NewTensor(g, of, x.Rank(), gorgonia.WithShape(x.Shape()...), gorgonia.WithName(name), gorgonia.WithValue(interop.ToDense(x.Clone())))
}

// symbolic builds f's graph on the inputs, weighs its result as [weights] do, and runs it and its symbolic gradients on
// a TapeMachine.
func symbolic(t *testing.T, f func(in []node) (node, error), in []*tensor.Tensor) (loss float32, grads []gorgonia.Value) {
	t.Helper()
	g := gorgonia.NewGraph()
	nodes, wrt := make([]node, len(in)), []node{}
	for i, x := range in {
		nodes[i] = input(g, string(rune('a'+i)), x)
		if x.DType() == tensor.Float32 {
			wrt = append(wrt, nodes[i])
		}
	}
	y, err := f(nodes)
	require.NoError(t, err)
	if y.Dims() > 0 {
		w := input(g, "weights", weights(y.Shape()...))
		y = gorgonia.Must(gorgonia.Sum(gorgonia.Must(gorgonia.HadamardProd(y, w))))
	}
	_, err = gorgonia.Grad(y, wrt...)
	require.NoError(t, err)
	m := gorgonia.NewTapeMachine(g, gorgonia.BindDualValues(wrt...))
	defer m.Close()
	for range 2 { // a second run must not see the first
		require.NoError(t, m.RunAll())
		loss, grads = number(y.Value()), nil
		for _, n := range wrt {
			dx, err := n.Grad()
			require.NoError(t, err)
			c, err := gorgonia.CloneValue(dx)
			require.NoError(t, err)
			grads = append(grads, c)
			gorgonia.ZeroValue(dx) // runs add to it
		}
		m.Reset()
	}
	return loss, grads
}

// weights are fixed and irregular, so that errors do not cancel.
func weights(shape ...int) *tensor.Tensor {
	r := rand.New(rand.NewPCG(11, 12))
	return tensor.Uniform(r, 0.3, 1.7, shape...)
}

func number(v gorgonia.Value) float32 {
	if s, ok := v.(*gorgonia.F32); ok {
		return float32(*s)
	}
	return v.(*dense.Dense).Float32s()[0]
}

func numbers(v gorgonia.Value) []float32 {
	if s, ok := v.(*gorgonia.F32); ok {
		return []float32{float32(*s)}
	}
	return v.(*dense.Dense).Float32s()
}

// agree compares f's value and gradients with those of the same function in this library.
func agree(t *testing.T, theirs func(in []node) (node, error), ours func(in []*tensor.Tensor) *tensor.Tensor, in ...*tensor.Tensor) {
	t.Helper()
	loss, grads := symbolic(t, theirs, in)
	leaves := make([]*tensor.Tensor, len(in))
	for i, x := range in {
		leaves[i] = x
		if x.DType() == tensor.Float32 {
			leaves[i] = x.Clone().Param()
		}
	}
	y := ours(leaves)
	if y.Rank() > 0 {
		y = y.Mul(weights(y.Shape()...)).Sum()
	}
	y.Backward()
	closeTo(t, []float32{y.Item()}, []float32{loss}, 2e-5)
	k := 0
	for i, x := range leaves {
		if !x.Trainable() {
			continue
		}
		require.NotNil(t, x.Grad(), "input %d", i)
		closeTo(t, x.Grad().Data(), numbers(grads[k]), 5e-5)
		k++
	}
}

func normal(seed uint64, shape ...int) *tensor.Tensor {
	return tensor.Randn(rand.New(rand.NewPCG(seed, 7)), 1, shape...)
}

func TestFusedOps(t *testing.T) {
	labels := tensor.Ints([]int{2, -100, 0, 6, 6}, 5)
	t.Run("Attention", func(t *testing.T) {
		c := tensor.AttentionConfig{Causal: true, Window: 4}
		agree(t, func(in []node) (node, error) { return interop.Attention(in[0], in[1], in[2], c) },
			func(in []*tensor.Tensor) *tensor.Tensor { return tensor.Attention(in[0], in[1], in[2], c) },
			normal(1, 2, 5, 4, 3), normal(2, 2, 7, 2, 3), normal(3, 2, 7, 2, 3))
	})
	t.Run("RMSNorm", func(t *testing.T) {
		agree(t, func(in []node) (node, error) { return interop.RMSNorm(in[0], in[1], 1e-5) },
			func(in []*tensor.Tensor) *tensor.Tensor { return in[0].RMSNorm(in[1], 1e-5) }, normal(4, 2, 3, 17), normal(5, 17))
	})
	t.Run("LinearCrossEntropy", func(t *testing.T) {
		agree(t, func(in []node) (node, error) { return interop.LinearCrossEntropy(in[0], in[1], in[2]) },
			func(in []*tensor.Tensor) *tensor.Tensor { return tensor.LinearCrossEntropy(in[0], in[1], in[2]) },
			normal(6, 5, 3), normal(7, 7, 3), labels)
	})
	t.Run("one after another, in place", func(t *testing.T) {
		// tanh may overwrite what the norm returned; the norm's gradient must not notice.
		agree(t, func(in []node) (node, error) {
			y, err := interop.RMSNorm(in[0], in[1], 1e-5)
			if err != nil {
				return nil, err
			}
			if y, err = gorgonia.Tanh(y); err != nil {
				return nil, err
			}
			if y, err = interop.RMSNorm(y, in[1], 1e-5); err != nil {
				return nil, err
			}
			return interop.LinearCrossEntropy(y, in[2], in[3])
		}, func(in []*tensor.Tensor) *tensor.Tensor {
			y := in[0].RMSNorm(in[1], 1e-5).Tanh().RMSNorm(in[1], 1e-5)
			return tensor.LinearCrossEntropy(y, in[2], in[3])
		}, normal(8, 5, 3), normal(9, 3), normal(10, 7, 3), labels)
	})
}

// TestFusedAgainstGorgonia writes RMSNorm and cross-entropy in Gorgonia's own operations.
func TestFusedAgainstGorgonia(t *testing.T) {
	t.Run("RMSNorm", func(t *testing.T) {
		agree(t, func(in []node) (node, error) {
			square := gorgonia.Must(gorgonia.Square(in[0]))
			mean := gorgonia.Must(gorgonia.Mean(square, 1))
			rms := gorgonia.Must(gorgonia.Sqrt(mean))
			y := gorgonia.Must(gorgonia.BroadcastHadamardDiv(in[0], rms, nil, []byte{1}))
			return gorgonia.BroadcastHadamardProd(y, in[1], nil, []byte{0})
		}, func(in []*tensor.Tensor) *tensor.Tensor { return in[0].RMSNorm(in[1], 0) }, normal(4, 6, 17), normal(5, 17))
	})
	t.Run("LinearCrossEntropy", func(t *testing.T) {
		hot := tensor.New(5, 7) // −1/4 where the label stands
		for row, l := range []int{2, -1, 0, 6, 6} {
			if l >= 0 {
				hot.Data()[row*7+l] = -0.25
			}
		}
		labels := tensor.Ints([]int{2, -100, 0, 6, 6}, 5)
		agree(t, func(in []node) (node, error) {
			logits := gorgonia.Must(gorgonia.Mul(in[0], gorgonia.Must(gorgonia.Transpose(in[1]))))
			p := gorgonia.Must(gorgonia.Log(gorgonia.Must(gorgonia.SoftMax(logits))))
			return gorgonia.Sum(gorgonia.Must(gorgonia.HadamardProd(p, input(in[0].Graph(), "hot", hot))))
		}, func(in []*tensor.Tensor) *tensor.Tensor { return tensor.LinearCrossEntropy(in[0], in[1], labels) }, normal(6, 5, 3), normal(7, 7, 3))
	})
}

func TestFusedRefuse(t *testing.T) {
	g := gorgonia.NewGraph()
	q, k := input(g, "q", tensor.New(1, 2, 4, 3)), input(g, "k", tensor.New(1, 2, 3, 3))
	wide := gorgonia.NewTensor(g, dense.Float64, 4, gorgonia.WithShape(1, 2, 4, 3), gorgonia.WithName("wide"))
	x, w, ids := input(g, "x", tensor.New(5, 3)), input(g, "w", tensor.New(4)), input(g, "ids", tensor.Ints(make([]int, 5), 5))
	for want, f := range map[string]func() (node, error){
		"where G divides H":                    func() (node, error) { return interop.Attention(q, k, k, tensor.AttentionConfig{}) },
		"input 1 is float64":                   func() (node, error) { return interop.Attention(q, wide, wide, tensor.AttentionConfig{}) },
		"input 2 is nil":                       func() (node, error) { return interop.Attention(q, k, nil, tensor.AttentionConfig{}) },
		"as long as the last axis":             func() (node, error) { return interop.RMSNorm(x, w, 1e-5) },
		"input 1 has shape (4), needs 2 axes":  func() (node, error) { return interop.LinearCrossEntropy(x, w, ids) },
		"input 2 is float32 (5, 3), needs int": func() (node, error) { return interop.LinearCrossEntropy(x, x, x) },
	} {
		_, err := f()
		require.ErrorContains(t, err, want)
	}
}
