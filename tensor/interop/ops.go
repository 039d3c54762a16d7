package interop

import (
	"fmt"

	"github.com/chewxy/hm"
	"gorgonia.org/gorgonia"
	dense "gorgonia.org/tensor"

	"github.com/gollava/gollava/tensor"
)

func typed(rank int, of dense.Dtype) hm.Type {
	if rank == 0 {
		return of
	}
	return gorgonia.TensorType{Dims: rank, Of: of}
}

// operands checks the rank and dtype of an operation's inputs; int32 where labels stand.
func operands(op string, labels int, in []*gorgonia.Node, ranks ...int) error {
	for i, n := range in {
		want := dense.Float32
		if i == labels {
			want = dense.Int32
		}
		switch {
		case n == nil:
			return fmt.Errorf("interop: %s: input %d is nil", op, i)
		case n.Dtype() != want:
			return fmt.Errorf("interop: %s: input %d is %v %v, needs %v", op, i, n.Dtype(), n.Shape(), want)
		case n.Dims() != ranks[i]:
			return fmt.Errorf("interop: %s: input %d has shape %v, needs %d axes", op, i, n.Shape(), ranks[i])
		}
	}
	return nil
}

// Attention adds [tensor.Attention] to a graph, with gradients: q [B, T, H, D], k and v [B, S, G, D], all float32.
// Nodes of this operation keep what the gradient needs from the forward pass, so a graph runs in one machine at a time.
// Use a TapeMachine.
func Attention(q, k, v *gorgonia.Node, c tensor.AttentionConfig) (*gorgonia.Node, error) {
	in := []*gorgonia.Node{q, k, v}
	if err := operands("Attention", -1, in, 4, 4, 4); err != nil {
		return nil, err
	}
	four := typed(4, dense.Float32)
	f := &fused{name: "Attention", in: []hm.Type{four, four, four}, out: four, labels: -1,
		infer: func(s []dense.Shape) (dense.Shape, error) {
			if s[1][2] == 0 || s[0][0] != s[1][0] || s[0][3] != s[1][3] || s[0][2]%s[1][2] != 0 || !s[1].Eq(s[2]) {
				return nil, fmt.Errorf("q %v, k %v, v %v: needs [B T H D], [B S G D] and [B S G D], where G divides H",
					s[0], s[1], s[2])
			}
			return s[0].Clone(), nil
		},
		f: func(x []*tensor.Tensor) *tensor.Tensor { return tensor.Attention(x[0], x[1], x[2], c) },
	}
	return f.apply(in...)
}

// RMSNorm adds [tensor.Tensor.RMSNorm] over the last axis to a graph, with gradients: x [..., C] and w [C], float32.
// See [Attention].
func RMSNorm(x, w *gorgonia.Node, eps float32) (*gorgonia.Node, error) {
	in := []*gorgonia.Node{x, w}
	rank := 1
	if x != nil {
		rank = max(1, x.Dims())
	}
	if err := operands("RMSNorm", -1, in, rank, 1); err != nil {
		return nil, err
	}
	t := typed(rank, dense.Float32)
	f := &fused{name: "RMSNorm", in: []hm.Type{t, typed(1, dense.Float32)}, out: t, labels: -1,
		infer: func(s []dense.Shape) (dense.Shape, error) {
			if s[0][len(s[0])-1] != s[1][0] {
				return nil, fmt.Errorf("x %v, w %v: the weight must be as long as the last axis", s[0], s[1])
			}
			return s[0].Clone(), nil
		},
		f: func(x []*tensor.Tensor) *tensor.Tensor { return x[0].RMSNorm(x[1], eps) },
	}
	return f.apply(in...)
}

// LinearCrossEntropy adds [tensor.LinearCrossEntropy] to a graph: the mean cross-entropy of x·wᵀ, a scalar, with
// gradients for x [N, C] and w [V, C], float32, at the labels, int32 [N]; rows labelled [tensor.IgnoreIndex] do not
// count. See [Attention].
func LinearCrossEntropy(x, w, labels *gorgonia.Node) (*gorgonia.Node, error) {
	in := []*gorgonia.Node{x, w, labels}
	if err := operands("LinearCrossEntropy", 2, in, 2, 2, 1); err != nil {
		return nil, err
	}
	two := typed(2, dense.Float32)
	f := &fused{name: "LinearCrossEntropy", in: []hm.Type{two, two, typed(1, dense.Int32)},
		out: typed(0, dense.Float32), labels: 2,
		infer: func(s []dense.Shape) (dense.Shape, error) {
			if s[0][1] != s[1][1] || s[0][0] != s[2][0] {
				return nil, fmt.Errorf("x %v, w %v, labels %v: needs [N C], [V C] and [N]", s[0], s[1], s[2])
			}
			return dense.ScalarShape(), nil
		},
		f: func(x []*tensor.Tensor) *tensor.Tensor { return tensor.LinearCrossEntropy(x[0], x[1], x[2]) },
	}
	return f.apply(in...)
}
