package nn

import (
	"math"
	"math/rand/v2"

	"github.com/gollava/gollava/tensor"
)

// Conv is a convolution over as many spatial axes as its kernel has: torch.nn.Conv1d, Conv2d or Conv3d. It is safe
// for concurrent use.
type Conv struct {
	Weight *tensor.Tensor `param:"weight"`        // [out, in/groups, kernel...]
	Bias   *tensor.Tensor `param:"bias,optional"` // [out]

	Config tensor.ConvConfig
}

// NewConv draws weight and bias from U(−k, k) with k = 1/√(in/groups·taps), as PyTorch does. kernel has one size
// for every spatial axis: {3, 3} for pictures.
func NewConv(r *rand.Rand, in, out int, kernel []int, c tensor.ConvConfig, bias bool) *Conv {
	l := &Conv{Config: c}
	l.Weight, l.Bias = convWeights(r, out, in/max(c.Groups, 1), out, kernel, bias)
	return l
}

// Forward maps [B, in, spatial...] to [B, out, spatial...]; see [tensor.Conv] for the sizes.
func (l *Conv) Forward(x *tensor.Tensor) *tensor.Tensor {
	defer tensor.Blame(l)
	return tensor.Conv(x, l.Weight, l.Bias, l.Config)
}

// ConvTranspose is a transposed convolution: torch.nn.ConvTranspose1d, ConvTranspose2d or ConvTranspose3d. It is
// safe for concurrent use.
type ConvTranspose struct {
	Weight *tensor.Tensor `param:"weight"`        // [in, out/groups, kernel...]
	Bias   *tensor.Tensor `param:"bias,optional"` // [out]

	Config tensor.ConvConfig
}

// NewConvTranspose draws weight and bias from U(−k, k) with k = 1/√(out/groups·taps), as PyTorch does.
func NewConvTranspose(r *rand.Rand, in, out int, kernel []int, c tensor.ConvConfig, bias bool) *ConvTranspose {
	l := &ConvTranspose{Config: c}
	l.Weight, l.Bias = convWeights(r, in, out/max(c.Groups, 1), out, kernel, bias)
	return l
}

// Forward maps [B, in, spatial...] to [B, out, spatial...]; see [tensor.ConvTranspose] for the sizes.
func (l *ConvTranspose) Forward(x *tensor.Tensor) *tensor.Tensor {
	defer tensor.Blame(l)
	return tensor.ConvTranspose(x, l.Weight, l.Bias, l.Config)
}

func convWeights(r *rand.Rand, rows, cols, out int, kernel []int, bias bool) (w, b *tensor.Tensor) {
	shape, taps := []int{rows, cols}, cols
	for _, k := range kernel {
		shape, taps = append(shape, k), taps*k
	}
	k := 1 / math.Sqrt(float64(max(taps, 1)))
	if w = tensor.Uniform(r, -k, k, shape...).Param(); bias {
		b = tensor.Uniform(r, -k, k, out).Param()
	}
	return w, b
}

// GroupNorm normalises groups of channels, as torch.nn.GroupNorm. It is safe for concurrent use.
type GroupNorm struct {
	Weight *tensor.Tensor `param:"weight"` // [C]
	Bias   *tensor.Tensor `param:"bias"`   // [C]

	Groups int
	Eps    float32
}

// NewGroupNorm starts with weight 1 and bias 0. A nil r leaves them to be loaded.
func NewGroupNorm(r *rand.Rand, groups, c int, eps float64) *GroupNorm {
	return &GroupNorm{Weight: constant(r, 1, c), Bias: constant(r, 0, c), Groups: groups, Eps: float32(eps)}
}

// Forward keeps the shape [B, C, ...].
func (l *GroupNorm) Forward(x *tensor.Tensor) *tensor.Tensor {
	defer tensor.Blame(l)
	return x.GroupNorm(l.Groups, l.Weight, l.Bias, l.Eps)
}

// BatchNorm normalises channels by running statistics that a checkpoint brings: torch.nn.BatchNorm1d to
// BatchNorm3d in evaluation, and a frozen one in training. Weight and Bias may train; the statistics never do, and
// are to be kept out of a stage's parameter groups. Files also hold num_batches_tracked, which nothing here needs:
// put "**.num_batches_tracked" into [LoadOptions.Ignore]. It is safe for concurrent use.
type BatchNorm struct {
	Weight      *tensor.Tensor `param:"weight"`       // [C]
	Bias        *tensor.Tensor `param:"bias"`         // [C]
	RunningMean *tensor.Tensor `param:"running_mean"` // [C]
	RunningVar  *tensor.Tensor `param:"running_var"`  // [C]

	Eps float32
}

// NewBatchNorm starts with weight 1, bias 0, mean 0 and variance 1. A nil r leaves them to be loaded.
func NewBatchNorm(r *rand.Rand, c int, eps float64) *BatchNorm {
	l := &BatchNorm{Weight: constant(r, 1, c), Bias: constant(r, 0, c), RunningMean: constant(r, 0, c),
		RunningVar: constant(r, 1, c), Eps: float32(eps)}
	l.RunningMean.SetTrainable(false)
	l.RunningVar.SetTrainable(false)
	return l
}

// Forward keeps the shape [B, C, ...]: it returns (x − mean)/√(var+eps)·weight + bias for each channel.
func (l *BatchNorm) Forward(x *tensor.Tensor) *tensor.Tensor {
	defer tensor.Blame(l)
	shape := []int{l.Weight.Len()}
	for range x.Rank() - 2 {
		shape = append(shape, 1)
	}
	scale := l.RunningVar.Detach().Affine(1, l.Eps).Rsqrt().Mul(l.Weight) // [C]
	shift := l.Bias.Sub(l.RunningMean.Detach().Mul(scale))                // [C]
	return x.Mul(scale.Reshape(shape...)).Add(shift.Reshape(shape...))
}
