// Package nn holds the layers of which models are built, and the few tools that work on any model: its parameters by
// name ([Params]), replacing layers ([Map]), reading and writing checkpoints ([Load], [Save]) and a printed [Summary].
//
// A model is a plain struct. A parameter is an exported *tensor.Tensor field, whose name in a checkpoint is the path of
// the `param:"…"` tags that lead to it:
//
//	type MLP struct {
//		Up   nn.Layer `param:"fc1"`
//		Down nn.Layer `param:"fc2"`
//	}
//
// Constructors take a *rand.Rand for the initial weights; with nil the weights have shapes but no storage until they
// are loaded.
package nn

import (
	"fmt"
	"math"
	"math/rand/v2"

	"github.com/gollava/gollava/tensor"
)

// Layer maps one tensor to another. It is to nn what http.Handler is to net/http.
// Forward is safe for concurrent use while nobody changes the layer; those of this library are.
type Layer interface {
	Forward(x *tensor.Tensor) *tensor.Tensor
}

// Linear computes y = x·Wᵀ + b over the last axis, as torch.nn.Linear.
type Linear struct {
	Weight *tensor.Tensor `param:"weight"`        // [out, in]
	Bias   *tensor.Tensor `param:"bias,optional"` // [out]
}

// NewLinear draws weight and bias from U(−1/√in, 1/√in), as PyTorch does.
func NewLinear(r *rand.Rand, in, out int, bias bool) *Linear {
	k := 1 / math.Sqrt(float64(max(in, 1)))
	l := &Linear{Weight: tensor.Uniform(r, -k, k, out, in).Param()}
	if bias {
		l.Bias = tensor.Uniform(r, -k, k, out).Param()
	}
	return l
}

// NewNormalLinear draws the weight from N(0, std²) and starts the bias at 0, as transformers does in most models.
func NewNormalLinear(r *rand.Rand, in, out int, std float64) *Linear {
	return &Linear{Weight: tensor.Randn(r, std, out, in).Param(), Bias: constant(r, 0, out)}
}

// Forward maps [..., in] to [..., out].
func (l *Linear) Forward(x *tensor.Tensor) *tensor.Tensor { return l.ForwardAct(x, tensor.Identity) }

// ForwardAct is Forward followed by an activation, in one operation.
func (l *Linear) ForwardAct(x *tensor.Tensor, act tensor.Activation) *tensor.Tensor {
	defer tensor.Blame(l)
	return tensor.Linear(x, l.Weight, l.Bias, act)
}

// Activated applies l and then act, in one operation if l is a [Linear].
func Activated(l Layer, x *tensor.Tensor, act tensor.Activation) *tensor.Tensor {
	if lin, ok := l.(*Linear); ok {
		return lin.ForwardAct(x, act)
	}
	return l.Forward(x).Activate(act)
}

// ParseActivation is the activation that config.json names, such as hidden_act "gelu".
func ParseActivation(name string) (tensor.Activation, error) {
	switch name {
	case "silu", "swish":
		return tensor.SiLU, nil
	case "gelu":
		return tensor.GELU, nil
	case "gelu_pytorch_tanh", "gelu_new":
		return tensor.GELUTanh, nil
	case "quick_gelu":
		return tensor.QuickGELU, nil
	case "relu":
		return tensor.ReLU, nil
	}
	return 0, fmt.Errorf("hidden_act %q is not supported (silu, gelu, gelu_pytorch_tanh, quick_gelu, relu are)", name)
}

// LayerNorm normalises the last axis to mean 0 and variance 1, as torch.nn.LayerNorm.
type LayerNorm struct {
	Weight *tensor.Tensor `param:"weight"`        // [C]
	Bias   *tensor.Tensor `param:"bias,optional"` // [C]

	Eps float32
}

// NewLayerNorm starts with weight 1 and bias 0. A nil r leaves them to be loaded.
func NewLayerNorm(r *rand.Rand, c int, eps float64, bias bool) *LayerNorm {
	l := &LayerNorm{Weight: constant(r, 1, c), Eps: float32(eps)}
	if bias {
		l.Bias = constant(r, 0, c)
	}
	return l
}

// Forward keeps the shape [..., C].
func (l *LayerNorm) Forward(x *tensor.Tensor) *tensor.Tensor {
	defer tensor.Blame(l)
	return x.LayerNorm(l.Weight, l.Bias, l.Eps)
}

// RMSNorm scales the last axis to a mean square of 1, as transformers' LlamaRMSNorm.
type RMSNorm struct {
	Weight *tensor.Tensor `param:"weight"` // [C]

	Eps float32
}

// NewRMSNorm starts with weight 1. A nil r leaves it to be loaded.
func NewRMSNorm(r *rand.Rand, c int, eps float64) *RMSNorm {
	return &RMSNorm{Weight: constant(r, 1, c), Eps: float32(eps)}
}

// Forward keeps the shape [..., C].
func (l *RMSNorm) Forward(x *tensor.Tensor) *tensor.Tensor {
	defer tensor.Blame(l)
	return x.RMSNorm(l.Weight, l.Eps)
}

// Embedding looks up rows of a table.
type Embedding struct {
	Weight *tensor.Tensor `param:"weight"` // [N, C]
}

// NewEmbedding draws the table from N(0, std²).
func NewEmbedding(r *rand.Rand, n, c int, std float64) *Embedding {
	return &Embedding{Weight: tensor.Randn(r, std, n, c).Param()}
}

// Lookup returns the rows of ids (int32, any shape): [ids..., C].
func (l *Embedding) Lookup(ids *tensor.Tensor) *tensor.Tensor {
	defer tensor.Blame(l)
	return tensor.Gather(l.Weight, ids)
}

func constant(r *rand.Rand, v float32, c int) *tensor.Tensor {
	if r == nil {
		return tensor.Meta(tensor.Float32, c).Param()
	}
	return tensor.Full(v, c).Param()
}

// Dropout zeroes elements with probability P while training and is the identity otherwise. [Train] arms it, [Eval]
// disarms it. Within one step it drops the same elements at every call, so that a recomputed block repeats itself.
// Train and Eval may not run at the same time as Forward.
type Dropout struct {
	P float32

	key   uint64
	armed bool
}

// Forward keeps the shape.
func (d *Dropout) Forward(x *tensor.Tensor) *tensor.Tensor {
	if !d.armed || d.P == 0 {
		return x
	}
	return tensor.Dropout(x, d.P, d.key)
}
