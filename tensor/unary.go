package tensor

import "github.com/gollava/gollava/internal/backend"

// Activation names an elementwise function that [Linear] can apply to its result.
type Activation = backend.Unary

// The activations of the models that this library knows.
const (
	Identity  = backend.Identity
	ReLU      = backend.ReLU
	SiLU      = backend.SiLU      // x·σ(x), torch's silu
	GELU      = backend.GELU      // x·Φ(x) with erf, torch's gelu
	GELUTanh  = backend.GELUTanh  // torch's gelu(approximate="tanh")
	QuickGELU = backend.QuickGELU // x·σ(1.702x), OpenAI CLIP's
	Tanh      = backend.Tanh
	Sigmoid   = backend.Sigmoid
)

func (t *Tensor) unary(op backend.Unary, name string) *Tensor {
	t.want(name, Float32)
	out := placeOf(t).like(t)
	out.buf().Device.Unary(op, out.buf(), t.buf())
	record(out, name, func(dy *gradient) {
		t.overwrite(dy, func(dx *backend.Buffer) { dx.Device.UnaryGrad(op, dx, t.buf(), out.buf(), dx) })
	}, nil, t)
	return out
}

// Activate applies a by name; Identity returns t itself.
func (t *Tensor) Activate(a Activation) *Tensor {
	if a == Identity {
		return t
	}
	return t.unary(a, "Activate")
}

// Exp returns eᵗ elementwise.
func (t *Tensor) Exp() *Tensor { return t.unary(backend.Exp, "Exp") }

// Log returns the natural logarithm elementwise: −Inf at 0, NaN below.
func (t *Tensor) Log() *Tensor { return t.unary(backend.Log, "Log") }

// Sqrt returns √t elementwise.
func (t *Tensor) Sqrt() *Tensor { return t.unary(backend.Sqrt, "Sqrt") }

// Rsqrt returns 1/√t elementwise.
func (t *Tensor) Rsqrt() *Tensor { return t.unary(backend.Rsqrt, "Rsqrt") }

// Tanh returns the hyperbolic tangent elementwise.
func (t *Tensor) Tanh() *Tensor { return t.unary(backend.Tanh, "Tanh") }

// Sigmoid returns σ(t) = 1/(1+e⁻ᵗ) elementwise.
func (t *Tensor) Sigmoid() *Tensor { return t.unary(backend.Sigmoid, "Sigmoid") }

// ReLU returns max(t, 0) elementwise.
func (t *Tensor) ReLU() *Tensor { return t.unary(backend.ReLU, "ReLU") }

// SiLU returns t·σ(t) elementwise.
func (t *Tensor) SiLU() *Tensor { return t.unary(backend.SiLU, "SiLU") }

// GELU returns t·Φ(t) elementwise, with the error function.
func (t *Tensor) GELU() *Tensor { return t.unary(backend.GELU, "GELU") }

// GELUTanh returns the tanh approximation of GELU, as torch's gelu(approximate="tanh") and SigLIP use it.
func (t *Tensor) GELUTanh() *Tensor { return t.unary(backend.GELUTanh, "GELUTanh") }

// QuickGELU returns t·σ(1.702t) elementwise, as OpenAI's CLIP uses it.
func (t *Tensor) QuickGELU() *Tensor { return t.unary(backend.QuickGELU, "QuickGELU") }

// Scale returns k·t.
func (t *Tensor) Scale(k float32) *Tensor { return t.affine("Scale", k, 0) }

// Affine returns a·t + b.
func (t *Tensor) Affine(a, b float32) *Tensor { return t.affine("Affine", a, b) }

// Neg returns −t.
func (t *Tensor) Neg() *Tensor { return t.affine("Neg", -1, 0) }

func (t *Tensor) affine(name string, a, b float32) *Tensor {
	t.want(name, Float32)
	out := placeOf(t).like(t)
	out.buf().Device.Affine(out.buf(), t.buf(), a, b)
	record(out, name, func(dy *gradient) {
		t.overwrite(dy, func(dx *backend.Buffer) { dx.Device.Affine(dx, dx, a, 0) })
	}, nil, t)
	return out
}

// Cast returns t as float32, bfloat16 or a block type. Float32 converts from and into all of them, others do not
// convert into each other. The gradient passes unrounded.
func (t *Tensor) Cast(dt DType) *Tensor {
	t.check("Cast")
	if dt == t.dtype {
		return t
	}
	t.castable("Cast", dt)
	out := placeOf(t).alloc(dt, t.shape...)
	convert(out.buf(), t.buf())
	record(out, "Cast", func(dy *gradient) { t.pass(dy) }, nil, t)
	return out
}

// SwiGLU returns silu(gate)·up; the shapes are equal. Source: Shazeer 2020, "GLU Variants Improve Transformer".
func SwiGLU(gate, up *Tensor) *Tensor {
	sameShape("SwiGLU", gate, up)
	at, moved := apart("SwiGLU", gate, up)
	if moved {
		return SwiGLU(gate.on(at), up.on(at))
	}
	out := at.like(gate)
	out.buf().Device.SwiGLU(out.buf(), gate.buf(), up.buf())
	record(out, "SwiGLU", func(dy *gradient) {
		if !gate.needs() || !up.needs() {
			d := placeOf(dy.Tensor)
			unused := d.scratch(dy.n)
			gate.into(func(dg *backend.Buffer) { d.SwiGLUGrad(dg, unused, gate.buf(), up.buf(), dy.buf()) })
			up.into(func(du *backend.Buffer) { d.SwiGLUGrad(unused, du, gate.buf(), up.buf(), dy.buf()) })
			d.free(unused)
			return
		}
		gate.into(func(dg *backend.Buffer) {
			up.overwrite(dy, func(du *backend.Buffer) { du.Device.SwiGLUGrad(dg, du, gate.buf(), up.buf(), du) })
		})
	}, nil, gate, up)
	return out
}

func sameShape(op string, a, b *Tensor) {
	a.want(op, Float32)
	b.want(op, Float32)
	if !equalShapes(a, b) {
		Fail(op, "%v and %v: the shapes must be equal", a.shape, b.shape)
	}
}

func equalShapes(a, b *Tensor) bool {
	if len(a.shape) != len(b.shape) {
		return false
	}
	for i, d := range a.shape {
		if b.shape[i] != d {
			return false
		}
	}
	return true
}
