package tensor

import (
	"cmp"
	"slices"
	"sync/atomic"

	"github.com/gollava/gollava/internal/backend"
)

// node is a recorded operation. back is nil once Backward has consumed it.
type node struct {
	op    string
	seq   uint64 // creation order, which is a topological order
	in    []*Tensor
	saved []*storage // memory that only the backward pass needs
	back  func(dy *gradient)
	view  bool // the output shares an input's memory
	mark  uint64
}

// gradient is the gradient of one recorded result on its way down. A backward function may take its memory over instead
// of copying it.
type gradient struct {
	*Tensor
	taken bool
}

var sequence atomic.Uint64

// record makes out the result of op on the inputs, if one of them needs a gradient and none is marked NoGrad. back is
// called with out's gradient and adds to those of the inputs that need one. It reports whether it recorded; if not,
// saved memory is released.
func record(out *Tensor, op string, back func(dy *gradient), saved []*Tensor, in ...*Tensor) bool {
	need := false
	for _, t := range in {
		if t == nil {
			continue
		}
		if t.noGrad {
			out.noGrad = true
		}
		out.casts |= t.casts & castResult
		need = need || t.needs()
	}
	if !need || out.noGrad {
		for _, s := range saved {
			if s != nil {
				s.st.release()
			}
		}
		out.inspect(op, in)
		return false
	}
	n := &node{op: op, seq: sequence.Add(1), in: in, back: back}
	for _, s := range saved {
		if s != nil {
			n.saved = append(n.saved, s.st)
		}
	}
	out.node = n
	out.inspect(op, in)
	return true
}

// recording reports whether an operation on the inputs would be recorded.
func recording(in ...*Tensor) bool {
	need := false
	for _, t := range in {
		if t == nil {
			continue
		}
		if t.noGrad {
			return false
		}
		need = need || t.needs()
	}
	return need
}

// needs reports whether Backward is to bring t a gradient.
func (t *Tensor) needs() bool { return t.trainable.Load() || t.node != nil && t.node.back != nil }

// Param marks t as a leaf that trains and returns it.
func (t *Tensor) Param() *Tensor {
	t.SetTrainable(true)
	return t
}

// Trainable reports whether t is a leaf that trains.
func (t *Tensor) Trainable() bool { return t.trainable.Load() }

// SetTrainable says whether Backward fills t's gradient. A tensor that does not train costs none.
func (t *Tensor) SetTrainable(on bool) {
	if on && t.dtype == Int32 {
		Fail("Param", "int32 %v cannot train; Cast it to float32 first", t.shape)
	}
	if on && t.dtype.Quantized() {
		Fail("Param", "%v %v cannot train: weights in blocks are constants. Train adapters over them (LoRA), or "+
			"Cast them to float32", t.dtype, t.shape)
	}
	if on && t.Recorded() {
		Fail("Param", "%v is the result of %s; only leaves train (Detach or Clone it first)", t.shape, t.node.op)
	}
	if t.trainable.Load() != on {
		t.trainable.Store(on)
	}
}

// Recorded reports whether t is the result of a recorded operation that Backward has not consumed yet.
func (t *Tensor) Recorded() bool { return t.node != nil && t.node.back != nil }

// NoGrad returns a view of t from which no operation is recorded, nor from anything computed of it.
func (t *Tensor) NoGrad() *Tensor {
	return &Tensor{shape: t.shape, n: t.n, dtype: t.dtype, st: t.st, arena: t.arena, noGrad: true,
		casts: t.casts, rounds: t.rounds}
}

// Detach returns a view of t without history: a constant. Its memory is recycled together with t's.
func (t *Tensor) Detach() *Tensor {
	return &Tensor{shape: t.shape, n: t.n, dtype: t.dtype, st: t.st, arena: t.arena,
		casts: t.casts, rounds: t.rounds}
}

// Grad is the float32 gradient that Backward has added up since the last [Tensor.ZeroGrad], or nil.
func (t *Tensor) Grad() *Tensor { return t.grad }

// SetGrad replaces t's gradient; nil removes it. g is float32 of t's shape.
func (t *Tensor) SetGrad(g *Tensor) {
	if g != nil {
		g.want("SetGrad", Float32)
		if !slices.Equal(g.shape, t.shape) {
			Fail("SetGrad", "gradient %v for a tensor %v: the shapes must be equal", g.shape, t.shape)
		}
		g = g.beside(t)
		g.Keep()
	}
	t.grad = g
}

// ZeroGrad drops t's gradient and recycles its memory.
func (t *Tensor) ZeroGrad() {
	if t.grad != nil {
		t.grad.st.kept = false
		t.grad.st.release()
		t.grad = nil
	}
}

// into lets f write t's share of a gradient to dst, float32 of t's size, and adds it to what is there.
func (t *Tensor) into(f func(dst *backend.Buffer)) {
	if !t.needs() {
		return
	}
	if t.grad == nil {
		t.newGrad()
		f(t.grad.buf())
		return
	}
	at := placeOf(t)
	tmp := at.scratch(t.n)
	f(tmp)
	at.Accumulate(t.grad.buf(), tmp, 1)
	at.free(tmp)
}

// accumulator is t's gradient, for operations that can add to it themselves; fresh says that its contents are
// undefined.
func (t *Tensor) accumulator() (dst *backend.Buffer, fresh bool) {
	if t.grad == nil {
		t.newGrad()
		return t.grad.buf(), true
	}
	return t.grad.buf(), false
}

func (t *Tensor) newGrad() {
	t.takeGrad(placeOf(t).loose(Float32, t.shape))
}

// takeGrad makes g t's gradient. A leaf's outlives the pass.
func (t *Tensor) takeGrad(g *Tensor) {
	g.arena, t.grad = t.arena, g
	if t.trainable.Load() {
		g.st.keep()
	}
}

// pass gives t a gradient that equals dy, reusing dy's memory if it can.
func (t *Tensor) pass(dy *gradient) { t.overwrite(dy, func(*backend.Buffer) {}) }

// overwrite gives t a gradient that f computes in dy's own memory. It must be the last use of dy, except by another
// pass.
func (t *Tensor) overwrite(dy *gradient, f func(dx *backend.Buffer)) {
	if !t.needs() {
		return
	}
	buf := dy.buf()
	if dy.taken {
		t.into(func(dst *backend.Buffer) { dst.Device.Copy(dst, buf) })
		return
	}
	f(buf)
	if t.grad != nil {
		buf.Device.Accumulate(t.grad.buf(), buf, 1)
		return
	}
	dy.taken = true
	t.takeGrad(&Tensor{shape: t.shape, n: t.n, dtype: Float32, st: dy.st})
}

// Backward computes the gradient of the scalar t with respect to every trainable leaf that it depends on and adds it to
// their Grad. It consumes the graph: what the operations had saved is released as soon as it has been used, and
// recorded results other than t, unless kept, are not readable afterwards.
func (t *Tensor) Backward() {
	t.BackwardEach(nil)
}

// BackwardEach is [Tensor.Backward] that calls done for each trainable leaf as soon as its gradient is complete, which
// is after the last operation that uses the leaf has been differentiated; the order depends on the graph alone, and the
// gradient is nil if nothing reached the leaf. done may read, replace or drop it, so that not all gradients need be in
// memory at once. A nil done is never called. PyTorch's name for it is register_post_accumulate_grad_hook.
func (t *Tensor) BackwardEach(done func(leaf *Tensor)) {
	if t.n != 1 {
		Fail("Backward", "needs a loss of one element, got shape %v: use Mean, Sum or BackwardFrom", t.shape)
	}
	one := t.seed()
	one.buf().Device.Fill(one.buf(), 1)
	t.backward("Backward", one, done)
}

// BackwardFrom is Backward of a tensor of any shape whose own gradient is dy.
func (t *Tensor) BackwardFrom(dy *Tensor) {
	dy.want("BackwardFrom", Float32)
	if !slices.Equal(t.shape, dy.shape) {
		Fail("BackwardFrom", "gradient %v for a result %v: the shapes must be equal", dy.shape, t.shape)
	}
	own := t.seed()
	transfer(own.buf(), dy.buf())
	t.backward("BackwardFrom", own, nil)
}

// seed is memory for t's own gradient.
func (t *Tensor) seed() *Tensor {
	g := placeOf(t).loose(Float32, t.shape)
	g.arena = t.arena
	return g
}

func (t *Tensor) backward(op string, dy *Tensor, done func(leaf *Tensor)) {
	switch {
	case t.node == nil && t.trainable.Load():
		Fail(op, "%v is a parameter, not the result of an operation: call it on the loss", t.shape)
	case t.node == nil && t.noGrad:
		Fail(op, "%v is not recorded: it was computed from a tensor marked NoGrad", t.shape)
	case t.node == nil:
		Fail(op, "%v is not recorded: it depends on no trainable parameter (are all frozen?)", t.shape)
	case t.node.back == nil:
		Fail(op, "the graph of this %s was already consumed by an earlier Backward: run the forward pass again",
			t.node.op)
	}
	mark := sequence.Add(1)
	var order []*Tensor
	stack := []*Tensor{t}
	t.node.mark = mark
	for len(stack) > 0 {
		x := stack[len(stack)-1]
		stack = stack[:len(stack)-1]
		order = append(order, x)
		for _, in := range x.node.in {
			if in != nil && in.Recorded() && in.node.mark != mark {
				in.node.mark = mark
				stack = append(stack, in)
			}
		}
	}
	slices.SortFunc(order, func(a, b *Tensor) int { return cmp.Compare(b.node.seq, a.node.seq) })
	uses := leafUses(order, done)
	t.grad = dy
	for _, x := range order {
		n := x.node
		if g := x.grad; g != nil {
			x.grad = nil
			dy := gradient{Tensor: g}
			n.back(&dy)
			if !dy.taken {
				g.st.release()
			}
			x.inspectBackward(n.op, n.in)
		}
		for _, s := range n.saved {
			s.release()
		}
		if x.st != t.st && !n.view {
			x.st.release()
		}
		uses.finish(n.in)
		n.back, n.in, n.saved = nil, nil, nil
	}
}

// uses counts how many operations of a graph have yet to add to the gradient of each trainable leaf.
type uses struct {
	left map[*Tensor]int
	done func(leaf *Tensor)
}

func leafUses(order []*Tensor, done func(leaf *Tensor)) uses {
	if done == nil {
		return uses{}
	}
	u := uses{map[*Tensor]int{}, done}
	for _, x := range order {
		for _, in := range x.node.in {
			if in != nil && in.Trainable() {
				u.left[in]++
			}
		}
	}
	return u
}

// finish counts an operation on the inputs as differentiated.
func (u uses) finish(in []*Tensor) {
	if u.done == nil {
		return
	}
	for _, t := range in {
		if t == nil || !t.Trainable() {
			continue
		}
		if u.left[t]--; u.left[t] == 0 {
			u.done(t)
		}
	}
}
