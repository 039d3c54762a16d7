package tensor

import "slices"

// Checkpoint returns fn(in) and keeps only the inputs and the result: Backward runs fn a second time to get at the
// activations. fn must compute the same both times, from its arguments and from parameters alone. Source: Chen et al.
// 2016, "Training Deep Nets with Sublinear Memory Cost".
func Checkpoint(fn func(in []*Tensor) *Tensor, in ...*Tensor) *Tensor {
	if !anyNoGrad(in) {
		return checkpoint(fn, in)
	}
	return fn(in)
}

func anyNoGrad(in []*Tensor) bool {
	for _, t := range in {
		if t.noGrad {
			return true
		}
	}
	return false
}

func checkpoint(fn func(in []*Tensor) *Tensor, in []*Tensor) *Tensor {
	leaves := func() []*Tensor {
		ls := make([]*Tensor, len(in))
		for i, t := range in {
			ls[i] = t.Detach()
			ls[i].trainable.Store(t.needs())
		}
		return ls
	}
	own := leaves()
	y := fn(own)
	if !y.Recorded() {
		return y
	}
	out := &Tensor{shape: y.shape, n: y.n, dtype: y.dtype, st: y.st, arena: y.arena}
	inputs := slices.Clone(in)
	for _, p := range y.discard() { // fn's parameters: their gradients come from this operation
		if !slices.Contains(own, p) {
			inputs = append(inputs, p)
		}
	}
	out.node = &node{op: "Checkpoint", seq: sequence.Add(1), in: inputs, view: y.sharesAny(in),
		back: func(dy *gradient) {
			ls := leaves()
			again := fn(ls)
			again.BackwardFrom(dy.Tensor)
			if !again.sharesAny(in) {
				again.st.release()
			}
			for i, l := range ls {
				if l.grad == nil {
					continue
				}
				l.grad.st.give(placeOf(l).usage())
				g := gradient{Tensor: l.grad}
				in[i].pass(&g)
				if !g.taken {
					l.grad.st.release()
				}
			}
		}}
	return out
}

func (t *Tensor) sharesAny(in []*Tensor) bool {
	for _, x := range in {
		if x.st == t.st {
			return true
		}
	}
	return false
}

// discard drops the graph below t and releases its memory, except t's own. It returns the trainable leaves that the
// graph used.
func (t *Tensor) discard() (params []*Tensor) {
	seen := map[*Tensor]bool{}
	stack := []*Tensor{t}
	for len(stack) > 0 {
		x := stack[len(stack)-1]
		stack = stack[:len(stack)-1]
		if !x.Recorded() {
			continue
		}
		n := x.node
		for _, s := range n.saved {
			s.release()
		}
		if x.st != t.st && !n.view {
			x.st.release()
		}
		for _, in := range n.in {
			if in != nil {
				stack = append(stack, in)
			}
			if in != nil && in.Trainable() && !seen[in] {
				seen[in] = true
				params = append(params, in)
			}
		}
		n.back, n.in, n.saved = nil, nil, nil
	}
	return params
}
