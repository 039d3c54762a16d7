package tensor

import (
	"sync/atomic"

	"github.com/gollava/gollava/internal/backend"
)

// watcher sees the results of operations while [CheckFinite] runs.
type watcher struct {
	at *Tensor // the result, or the operand whose gradient, was not finite
}

var watching atomic.Pointer[watcher]

// CheckFinite runs fn and panics with an *Error at the first operation, forward or backward, whose result holds NaN or Inf. It finds out where
// one came from, be it an operand that was not finite to begin with; it costs a pass over every result. On a matrix unit (see [Unit]) the
// product of an infinite operand is NaN, where IEEE arithmetic may have Inf. The Error's Layer is the layer it happened in, or the nearest
// parameter.
func CheckFinite(fn func()) {
	w := &watcher{}
	if !watching.CompareAndSwap(nil, w) {
		Fail("CheckFinite", "is running already")
	}
	defer func() {
		watching.Store(nil)
		if e := recover(); e != nil {
			if te, ok := e.(*Error); ok && te.Layer == nil && w.at != nil {
				if p := w.at.nearest(); p != nil {
					te.Layer = p
				}
			}
			panic(e)
		}
	}()
	fn()
}

// forward looks at the result of op.
func (w *watcher) forward(op string, out *Tensor, in []*Tensor) {
	if out.dtype != Float32 || finite(out) {
		return
	}
	w.at = out
	if out.node == nil {
		for _, t := range in {
			if t != nil && t.trainable {
				w.at = t
			}
		}
	}
	for _, t := range in {
		if t != nil && t.dtype == Float32 && t.st.buf != nil && !finite(t) {
			Fail(op, "the result %v holds NaN or Inf because its operand %v does", out.shape, t.shape)
		}
	}
	Fail(op, "the result %v holds NaN or Inf", out.shape)
}

// backward looks at the gradients that op has passed down.
func (w *watcher) backward(op string, in []*Tensor) {
	for _, t := range in {
		if t != nil && t.grad != nil && t.grad.st.buf != nil && !finite(t.grad) {
			w.at = t
			Fail(op, "the gradient of its operand %v holds NaN or Inf", t.shape)
		}
	}
}

func finite(t *Tensor) bool {
	b := t.buf()
	ok, _ := b.Device.AllFinite([]*backend.Buffer{b})
	return ok
}

// nearest is the trainable leaf that is the fewest recorded operations away from t, or nil.
func (t *Tensor) nearest() *Tensor {
	seen := map[*Tensor]bool{t: true}
	for queue := []*Tensor{t}; len(queue) > 0; queue = queue[1:] {
		x := queue[0]
		if x.trainable {
			return x
		}
		if x.node == nil {
			continue
		}
		for _, in := range x.node.in {
			if in != nil && !seen[in] {
				seen[in] = true
				queue = append(queue, in)
			}
		}
	}
	return nil
}
