package tensor

import (
	"fmt"
	"slices"

	"github.com/gollava/gollava/internal/backend"
)

// MatMul returns the matrix product [..., M, K]·[..., K, N]. u is a matrix, shared by all of t, or has t's leading
// axes.
func (t *Tensor) MatMul(u *Tensor) *Tensor { return t.product("MatMul", u, false) }

// MatMulT returns t·uᵀ: [..., M, K]·[..., N, K]ᵀ, or [..., K]·[N, K]ᵀ for a matrix u such as a Linear's weight. u may
// be bfloat16, or a matrix of a block type.
func (t *Tensor) MatMulT(u *Tensor) *Tensor { return t.product("MatMulT", u, true) }

// products is the size of a batch of matrix products and how its operands lie.
type products struct {
	m, n, k, batch int
	bStride        int // 0: one right operand serves all
	transposed     bool
	add            bool // to what the result holds
}

func (t *Tensor) product(op string, u *Tensor, transposed bool) *Tensor {
	sign := ""
	if transposed {
		sign = "ᵀ"
	}
	bad := func(why string) { Fail(op, "%v · %v%s: %s", t.shape, u.shape, sign, why) }
	t.want(op, Float32)
	u.check(op)
	if !u.isWeight(true) {
		bad(fmt.Sprintf("the right operand is %v; Cast it to float32", u.dtype))
	}
	if len(u.shape) < 2 || len(t.shape) < 1 || len(u.shape) > 2 && len(t.shape) != len(u.shape) {
		if transposed {
			bad("needs [..., K] · [N, K]ᵀ or [..., M, K] · [..., N, K]ᵀ with the same leading axes")
		}
		bad("needs [..., K] · [K, N] or [..., M, K] · [..., K, N] with the same leading axes")
	}
	r := len(u.shape)
	p := products{k: u.shape[r-2], n: u.shape[r-1], batch: 1, transposed: transposed}
	if transposed {
		p.k, p.n = p.n, p.k
	}
	if t.shape[len(t.shape)-1] != p.k {
		why := fmt.Sprintf("inner dimensions %d and %d differ", t.shape[len(t.shape)-1], p.k)
		switch {
		case t.shape[len(t.shape)-1] != p.n:
		case transposed:
			why += "; MatMul would fit"
		default:
			why += "; MatMulT would fit"
		}
		bad(why)
	}
	if r == 2 {
		p.m, _ = t.last(op)
	} else {
		if !slices.Equal(t.shape[:r-2], u.shape[:r-2]) {
			bad(fmt.Sprintf("leading axes %v and %v differ", t.shape[:r-2], u.shape[:r-2]))
		}
		p.m = t.shape[r-2]
		p.batch, _, _ = around(t.shape, r-2, r)
		p.bStride = p.k * p.n
	}
	at, moved := apart(op, t, u)
	if moved {
		return t.on(at).product(op, u.on(at), transposed)
	}
	out := at.alloc(Float32, append(slices.Clone(t.shape[:len(t.shape)-1]), p.n)...)
	p.forward(at, out, t, u, nil, Identity, nil)
	record(out, op, func(dy *gradient) { p.backward(dy, t, u) }, nil, t, u)
	out.cast(u)
	return out
}

func (p products) forward(at place, out, x, w, bias *Tensor, act Activation, pre *Tensor) {
	g := backend.MatMul{A: x.buf(), B: w.buf(), C: out.buf(), M: p.m, N: p.n, K: p.k, BT: p.transposed,
		Batch: p.batch, AStride: p.m * p.k, BStride: p.bStride, CStride: p.m * p.n,
		Bias: optional(bias), Act: act, Pre: optional(pre), Accumulate: p.add,
		Half: w.Autocast(), Rounded: w.rounds && !recording(x, w, bias)}
	at.matMul(&g)
}

// backward adds dy·w to x's gradient and dyᵀ·x to w's (or their transposes).
func (p products) backward(dy *gradient, x, w *Tensor) {
	at := placeOf(dy.Tensor)
	if x.needs() {
		dst, fresh := x.accumulator()
		at.matMul(&backend.MatMul{A: dy.buf(), B: w.buf(), C: dst, M: p.m, N: p.k, K: p.n, BT: !p.transposed,
			Batch: p.batch, AStride: p.m * p.n, BStride: p.bStride, CStride: p.m * p.k,
			Accumulate: !fresh, Half: w.Autocast()})
	}
	if w.needs() {
		dst, fresh := w.accumulator()
		g := backend.MatMul{A: x.buf(), B: dy.buf(), C: dst, M: p.k, N: p.n, K: p.m, AT: true,
			Batch: p.batch, AStride: p.m * p.k, BStride: p.m * p.n, CStride: p.bStride,
			Accumulate: !fresh, Half: w.Autocast()}
		if p.transposed {
			g.A, g.B, g.M, g.N, g.AStride, g.BStride = g.B, g.A, g.N, g.M, g.BStride, g.AStride
		}
		at.matMul(&g)
	}
}

// SetAutocast says whether products with the weight t round their operands that are float32 to bfloat16 and add up in
// float32, as under torch.autocast(dtype=torch.bfloat16), and the products of their gradients too. So does [Attention]
// of what comes of them. Norms, softmax, convolutions and losses stay float32, and so do t itself, its gradient and its
// optimizer state. It is off by default, and without effect on a block type. See [FastBFloat16].
func (t *Tensor) SetAutocast(on bool) {
	if t.casts &^= castWeight; on {
		t.casts |= castWeight
	}
}

// Autocast reports what [Tensor.SetAutocast] has set.
func (t *Tensor) Autocast() bool { return t.casts&castWeight != 0 }

// cast says of t, the result of a product with w, whether that was one of bfloat16.
func (t *Tensor) cast(w *Tensor) {
	if t.casts &^= castResult; w.Autocast() && !w.dtype.Quantized() {
		t.casts |= castResult
	}
}

// DecodeRows is a number of rows x [M, K] up to which Linear and MatMulT with a matrix give each row the same bits
// whatever the other rows are, and however many: what a server needs, whose answers may not depend on its load.
const DecodeRows = backend.DecodeRows

// Linear returns act(x·wᵀ + b): [..., K]·[N, K]ᵀ + [N]. b may be nil; w and b may be bfloat16, w also a block type.
func Linear(x, w, b *Tensor, act Activation) *Tensor {
	x.want("Linear", Float32)
	w.check("Linear")
	if len(w.shape) != 2 || len(x.shape) < 1 || !w.isWeight(true) || x.shape[len(x.shape)-1] != w.shape[1] {
		Fail("Linear", "%v · %v %vᵀ: needs x [..., in] and w [out, in] of float32, bfloat16 or a block type", x.shape,
			w.dtype, w.shape)
	}
	if b != nil && (len(b.shape) != 1 || b.n != w.shape[0] || !b.isWeight(false)) {
		Fail("Linear", "%v · %vᵀ + %v %v: the bias must be [%d] of float32 or bfloat16", x.shape, w.shape,
			b.dtype, b.shape, w.shape[0])
	}
	rows, _ := x.last("Linear")
	p := products{m: rows, n: w.shape[0], k: w.shape[1], batch: 1, transposed: true}
	at, moved := apart("Linear", x, w, b)
	if moved {
		return Linear(x.on(at), w.on(at), b.on(at), act)
	}
	out := at.alloc(Float32, append(slices.Clone(x.shape[:len(x.shape)-1]), p.n)...)
	var pre *Tensor // what act was applied to
	if act != Identity && recording(x, w, b) {
		pre = at.like(out)
	}
	p.forward(at, out, x, w, b, act, pre)
	record(out, "Linear", func(dy *gradient) {
		if act != Identity {
			dy.buf().Device.UnaryGrad(act, dy.buf(), pre.buf(), out.buf(), dy.buf())
		}
		b.sumRows(dy, p.m, p.n)
		p.backward(dy, x, w)
	}, []*Tensor{pre}, x, w, b)
	out.cast(w)
	return out
}

// sumRows adds the sum of the m rows of dy [m, n] to the gradient of the bias t [n], which may be nil.
func (t *Tensor) sumRows(dy *gradient, m, n int) {
	if t != nil {
		t.into(func(db *backend.Buffer) { db.Device.SumTo(db, dy.buf(), []int{m, n}, []int{0, 1}) })
	}
}
