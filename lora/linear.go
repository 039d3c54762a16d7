// Package lora trains a model through small adapters: a Linear's weight W becomes W + s·B·A with A [r, in] and B [out,
// r], of which only A and B learn. It reads and writes PEFT's files.
//
//	adapter, err := lora.Wrap(model, lora.Default(16, 32, "q_proj", "v_proj"), rng)
//	…                            // train the parameters that match "**.lora_*.**"
//	err = adapter.Save("adapter") // PEFT loads it
//	err = lora.Merge(model)       // fold the adapters in and take them off
//
// Sources: Hu et al. 2021, "LoRA"; Kalajdzievski 2023 for rsLoRA; Liu et al. 2024 for DoRA; names and semantics of
// huggingface/peft.
package lora

import (
	"fmt"
	"math"
	"math/rand/v2"

	"github.com/gollava/gollava/nn"
	"github.com/gollava/gollava/tensor"
)

// Linear is a Linear with an adapter: y = base(x) + s·B·A·dropout(x). With a Magnitude it is DoRA: the rows of W +
// s·B·A are scaled to the norms m, y = b + (m/‖W+s·B·A‖) ⊙ (W + s·B·A)·x, where the norm counts as a constant in the
// backward pass. Forward is safe for concurrent use while nobody trains, merges or unmerges the adapter.
type Linear struct {
	Base      nn.Layer       `param:",inline"`                        // *nn.Linear
	A         *tensor.Tensor `param:"lora_A.weight"`                  // [r, in]
	B         *tensor.Tensor `param:"lora_B.weight"`                  // [out, r]
	Magnitude *tensor.Tensor `param:"lora_magnitude_vector,optional"` // [out], DoRA
	Dropout   *nn.Dropout    `param:"lora_dropout"`
	Scale     float32        // s

	plain *tensor.Tensor // the base's weight while the adapter is folded into it
}

// newLinear puts an adapter around base. With a nil r it is to be loaded.
func newLinear(r *rand.Rand, base *nn.Linear, c *Config, rank int, scale float64) *Linear {
	out, in := base.Weight.Dims2()
	k := 1 / math.Sqrt(float64(in))
	l := &Linear{Base: base, Scale: float32(scale), Dropout: &nn.Dropout{P: float32(c.Dropout)}}
	switch c.Init.Kind {
	case "gaussian":
		l.A = tensor.Randn(r, 1/float64(rank), rank, in).Param()
	default:
		l.A = tensor.Uniform(r, -k, k, rank, in).Param() // kaiming_uniform(a=√5)
	}
	if k := 1 / math.Sqrt(float64(rank)); c.Init.Kind == "false" {
		l.B = tensor.Uniform(r, -k, k, out, rank).Param()
	} else if l.B = tensor.Meta(tensor.Float32, out, rank).Param(); r != nil {
		l.B.Allocate()
	}
	if c.DoRA {
		if l.Magnitude = tensor.Meta(tensor.Float32, out).Param(); r != nil && !base.Weight.IsMeta() {
			tensor.Scope(func(s *tensor.Arena) { l.Magnitude.SetStorage(l.norms(l.sum(s)).Clone()) })
		}
	}
	return l
}

func (l *Linear) base() *nn.Linear { return l.Base.(*nn.Linear) }

// sum is W + s·B·A in float32, [out, in], not recorded and in scope s.
func (l *Linear) sum(s *tensor.Arena) *tensor.Tensor {
	w := l.base().Weight
	if l.plain != nil {
		w = l.plain
	}
	free := func(t *tensor.Tensor) *tensor.Tensor { return t.NoGrad().In(s) }
	return free(w).Cast(tensor.Float32).Add(free(l.B).MatMul(free(l.A).Scale(l.Scale)))
}

// norms are the Euclidean norms of rows: [out].
func (l *Linear) norms(w *tensor.Tensor) *tensor.Tensor { return w.Mul(w).Sum(1).Sqrt() }

// Forward maps [..., in] to [..., out].
func (l *Linear) Forward(x *tensor.Tensor) *tensor.Tensor {
	defer tensor.Blame(l)
	if l.plain != nil {
		return l.Base.Forward(x)
	}
	d, base := l.Dropout.Forward(x), l.base()
	low := tensor.Linear(d, l.A, nil, tensor.Identity).Scale(l.Scale) // [..., r]
	if l.Magnitude == nil {
		return tensor.LinearSum(x, base.Weight, base.Bias, low, l.B)
	}
	delta := tensor.Linear(low, l.B, nil, tensor.Identity)   // [..., out]
	f := l.Magnitude.Div(l.norms(l.sum(x.Arena()).Detach())) // [out], m/‖W+sBA‖
	direct := tensor.Linear(d, base.Weight, nil, tensor.Identity)
	if d == x {
		y := direct.Add(delta).Mul(f)
		if base.Bias != nil {
			y = y.Add(base.Bias)
		}
		return y
	}
	// PEFT leaves the base's own term without dropout.
	return base.Forward(x).Add(direct.Mul(f.Affine(1, -1))).Add(delta.Mul(f))
}

// merged is the weight with the adapter folded in, [out, in], in the base's dtype, or in float32 if that is a block
// type: to quantise it again would lose most of what a small adapter adds.
func (l *Linear) merged() *tensor.Tensor {
	w := l.base().Weight
	dt := w.DType()
	if dt.Quantized() {
		dt = tensor.Float32
	}
	out := tensor.NewOf(dt, w.Shape()...).To(w.Device())
	tensor.Scope(func(s *tensor.Arena) {
		sum := l.sum(s)
		if l.Magnitude != nil {
			f := l.Magnitude.NoGrad().Div(l.norms(sum))
			sum = sum.Mul(f.Reshape(f.Len(), 1))
		}
		out.CopyFrom(sum)
	})
	return out
}

// setMerged folds the adapter into the base's weight or restores what that was, to the bit.
func (l *Linear) setMerged(on bool) {
	b := l.base()
	switch {
	case on && l.plain == nil:
		w := l.merged()
		l.plain = alias(b.Weight)
		b.Weight.SetStorage(w)
	case !on && l.plain != nil:
		b.Weight.SetStorage(l.plain)
		l.plain = nil
	}
}

// alias shares t's storage under a tensor of its own.
func alias(t *tensor.Tensor) *tensor.Tensor {
	a := tensor.Meta(t.DType(), t.Shape()...)
	a.SetStorage(t)
	return a
}

// Merge folds every adapter of m into its base's weight and takes it off: m is a plain model again, which computes what
// it did before. Weights with NaN or infinity are an error, and change nothing. Parts that [Config].Save trained stay.
func Merge(m any) error {
	if err := finite(m); err != nil {
		return err
	}
	nn.Map(m, func(_ string, l nn.Layer) nn.Layer {
		if w, ok := l.(*Linear); ok {
			w.setMerged(true)
			return w.Base
		}
		return l
	})
	return nil
}

// MergeInto is [Merge] into weights of dtype dt, such as tensor.NF4D, as which PEFT merges into a base of 4 bits. It
// returns what that loses: the Euclidean norm of what dt changes in all merged weights, over that of what the adapters
// changed; more than 1 means that rounding changed more than training, and +Inf that the adapters changed nothing. A
// weight that dt cannot hold is an error.
func MergeInto(m any, dt tensor.DType) (lost float64, err error) {
	if err := finite(m); err != nil {
		return 0, err
	}
	each(m, func(name string, l *Linear) {
		if w := l.base().Weight; err == nil && dt.Quantized() &&
			(!tensor.Fits(dt, w.Shape()) || !dt.Blocks().CanEncode()) {
			err = fmt.Errorf("lora: %s: weights %v cannot be kept as %v", name, w.Shape(), dt)
		}
	})
	if err != nil {
		return 0, err
	}
	var changed, rounded float64
	distance := func(a, b *tensor.Tensor) (sum float64) {
		x, y := a.Host().Detach().Cast(tensor.Float32).Data(), b.Host().Detach().Cast(tensor.Float32).Data()
		for i, v := range x {
			sum += float64(v-y[i]) * float64(v-y[i])
		}
		return sum
	}
	each(m, func(_ string, l *Linear) {
		l.setMerged(true)
		w := l.base().Weight
		narrow := w.Detach().Cast(dt).Keep()
		changed, rounded = changed+distance(w, l.plain), rounded+distance(narrow, w)
		w.SetStorage(narrow)
	})
	if rounded > 0 {
		lost = math.Sqrt(rounded / changed)
	}
	return lost, Merge(m)
}

// finite returns an error if an adapter of m holds a number that is not finite.
func finite(m any) (err error) {
	each(m, func(name string, l *Linear) {
		if ok, _ := tensor.AllFinite([]*tensor.Tensor{l.A, l.B}); !ok && err == nil {
			err = fmt.Errorf("lora: %s: the adapter holds NaN or infinity", name)
		}
	})
	return err
}

// SetMerged folds every adapter of m into its base's weight, which makes inference as fast as without, or takes them
// out again: then weights are what they were, to the bit. It keeps both versions meanwhile. Folded adapters do not
// train.
func SetMerged(m any, on bool) {
	each(m, func(_ string, l *Linear) { l.setMerged(on) })
}

// each visits the adapters of m.
func each(m any, f func(name string, l *Linear)) {
	for name, l := range nn.Layers(m) {
		if w, ok := l.(*Linear); ok {
			f(name, w)
		}
	}
}
