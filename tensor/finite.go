package tensor

import "github.com/gollava/gollava/internal/backend"

// watcher sees the results of a scope's operations while [CheckFinite] runs.
type watcher struct {
	at *Tensor // the result, or the operand whose gradient, was not finite
}

// CheckFinite is a [Scope] that panics with an *Error at the first operation, forward or backward, whose result belongs
// to the scope and holds NaN or Inf. It finds out where one came from, be it an operand that was not finite to begin
// with; it costs a pass over every result. On a matrix unit (see [Unit]) the product of an infinite operand is NaN,
// where IEEE arithmetic may have Inf. The Error's Layer is the layer it happened in, or the nearest parameter.
func CheckFinite(fn func(s *Arena)) {
	w := &watcher{}
	s := newScope(w)
	defer func() {
		s.close(nil)
		if e := recover(); e != nil {
			if te, ok := e.(*Error); ok && te.Layer == nil && w.at != nil {
				if p := w.at.nearest(); p != nil {
					te.Layer = p
				}
			}
			panic(e)
		}
	}()
	fn(s)
}

// watcher is that of t's scope, or nil.
func (t *Tensor) watcher() *watcher {
	if t.arena == nil || t.arena.use == nil {
		return nil
	}
	return t.arena.use.watch
}

// inspect looks at the result t of op.
func (t *Tensor) inspect(op string, in []*Tensor) {
	if w := t.watcher(); w != nil {
		w.forward(op, t, in)
	}
}

// inspectBackward looks at the gradients that op, whose result is t, has passed down.
func (t *Tensor) inspectBackward(op string, in []*Tensor) {
	if w := t.watcher(); w != nil {
		w.backward(op, in)
	}
}

// forward looks at the result of op.
func (w *watcher) forward(op string, out *Tensor, in []*Tensor) {
	if out.dtype != Float32 || finite(out) {
		return
	}
	w.at = out
	if out.node == nil {
		for _, t := range in {
			if t != nil && t.Trainable() {
				w.at = t
			}
		}
	}
	for _, t := range in {
		if t != nil && t.dtype == Float32 && t.st.buf() != nil && !finite(t) {
			Fail(op, "the result %v holds NaN or Inf because its operand %v does", out.shape, t.shape)
		}
	}
	Fail(op, "the result %v holds NaN or Inf", out.shape)
}

// backward looks at the gradients that op has passed down.
func (w *watcher) backward(op string, in []*Tensor) {
	for _, t := range in {
		if t != nil && t.grad != nil && t.grad.st.buf() != nil && !finite(t.grad) {
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
		if x.Trainable() {
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
