package interop

import (
	"fmt"
	"hash"
	"hash/fnv"
	"sync/atomic"

	"github.com/chewxy/hm"
	"gorgonia.org/gorgonia"
	dense "gorgonia.org/tensor"

	"github.com/gollava/gollava/tensor"
)

var created atomic.Uint64

// fused is a Gorgonia operation that a function of this library computes. Its gradient is that function's own: the
// forward pass records it and keeps the record until the first of the [share] operations asks for its input's part.
type fused struct {
	name   string
	id     uint64
	in     []hm.Type
	out    hm.Type
	labels int // the input without a gradient, or −1
	infer  func(in []dense.Shape) (dense.Shape, error)
	f      func(in []*tensor.Tensor) *tensor.Tensor

	record bool // SymDiff has been asked for
	leaves []*tensor.Tensor
	result *tensor.Tensor // recorded, until the gradients have been computed
}

var _ gorgonia.SDOp = (*fused)(nil)

// apply adds the operation to the graph of its inputs.
func (f *fused) apply(in ...*gorgonia.Node) (*gorgonia.Node, error) {
	f.id = created.Add(1)
	return gorgonia.ApplyOp(f, in...)
}

func (f *fused) Arity() int           { return len(f.in) }
func (f *fused) Type() hm.Type        { return hm.NewFnType(append(append([]hm.Type{}, f.in...), f.out)...) }
func (f *fused) ReturnsPtr() bool     { return true }
func (f *fused) CallsExtern() bool    { return false }
func (f *fused) OverwritesInput() int { return -1 }
func (f *fused) String() string       { return fmt.Sprintf("%s#%d", f.name, f.id) }

func (f *fused) WriteHash(h hash.Hash) { fmt.Fprint(h, f.String()) }
func (f *fused) Hashcode() uint32      { return hashOf(f) }

func hashOf(w interface{ WriteHash(hash.Hash) }) uint32 {
	h := fnv.New32a()
	w.WriteHash(h)
	return h.Sum32()
}

func (f *fused) InferShape(in ...gorgonia.DimSizer) (dense.Shape, error) {
	shapes, err := gorgonia.DimSizersToShapes(in)
	if err != nil {
		return nil, fmt.Errorf("interop: %s: the shape of an input is unknown: %w", f.name, err)
	}
	s, err := f.infer(shapes)
	if err != nil {
		return nil, fmt.Errorf("interop: %s: %w", f.name, err)
	}
	return s, nil
}

// Do computes the result in memory of its own.
func (f *fused) Do(in ...gorgonia.Value) (out gorgonia.Value, err error) {
	leaves, err := tensors(f.name, in)
	if err != nil {
		return nil, err
	}
	for i, x := range leaves {
		if f.record && i != f.labels {
			x.Param()
		}
	}
	err = tensor.Catch(func() {
		y := f.f(leaves)
		if f.record {
			f.leaves, f.result = leaves, y
		}
		out = valueOf(y)
	})
	return out, err
}

// DiffWRT marks the inputs that have a gradient.
func (f *fused) DiffWRT(n int) []bool {
	d := make([]bool, n)
	for i := range d {
		d[i] = i != f.labels
	}
	return d
}

// SymDiff returns one node for each input's gradient.
func (f *fused) SymDiff(in gorgonia.Nodes, out, grad *gorgonia.Node) (gorgonia.Nodes, error) {
	f.record = true
	parts := make(gorgonia.Nodes, len(in))
	for i := range in {
		if i == f.labels {
			continue
		}
		var err error
		// The inputs and the result are operands so that the machine does not reuse their memory before.
		if parts[i], err = gorgonia.ApplyOp(&share{f, i}, append(append(gorgonia.Nodes{}, in...), out, grad)...); err != nil {
			return nil, err
		}
	}
	return parts, nil
}

// share is the gradient of one input of a fused operation, given its inputs, its result and the result's gradient.
type share struct {
	of *fused
	i  int
}

func (s *share) Arity() int { return len(s.of.in) + 2 }

func (s *share) Type() hm.Type {
	t := append(append([]hm.Type{}, s.of.in...), s.of.out, s.of.out, s.of.in[s.i])
	return hm.NewFnType(t...)
}

func (s *share) InferShape(in ...gorgonia.DimSizer) (dense.Shape, error) {
	shapes, err := gorgonia.DimSizersToShapes(in)
	if err != nil {
		return nil, fmt.Errorf("interop: %v: the shape of an input is unknown: %w", s, err)
	}
	return shapes[s.i].Clone(), nil
}

func (s *share) ReturnsPtr() bool      { return true }
func (s *share) CallsExtern() bool     { return false }
func (s *share) OverwritesInput() int  { return -1 }
func (s *share) String() string        { return fmt.Sprintf("gradient %d of %v", s.i, s.of) }
func (s *share) WriteHash(h hash.Hash) { fmt.Fprint(h, s.String()) }
func (s *share) Hashcode() uint32      { return hashOf(s) }

// Do runs the backward pass if it is the first to be asked after a forward pass.
func (s *share) Do(in ...gorgonia.Value) (out gorgonia.Value, err error) {
	f := s.of
	if f.leaves == nil {
		return nil, fmt.Errorf("interop: %v: the forward pass has not run since the gradients were computed", s)
	}
	dy, err := tensors(f.name, in[len(in)-1:])
	if err != nil {
		return nil, err
	}
	err = tensor.Catch(func() {
		if f.result != nil {
			f.result.BackwardFrom(dy[0].Reshape(f.result.Shape()...))
			f.result = nil
		}
		g := f.leaves[s.i].Grad()
		if g == nil {
			g = tensor.New(f.leaves[s.i].Shape()...)
		}
		out = valueOf(g)
	})
	return out, err
}

// tensors shares the memory of a machine's values.
func tensors(op string, in []gorgonia.Value) ([]*tensor.Tensor, error) {
	out := make([]*tensor.Tensor, len(in))
	for i, v := range in {
		switch v := v.(type) {
		case *gorgonia.F32:
			out[i] = tensor.Full(float32(*v))
		case *dense.Dense:
			if err := tensor.Catch(func() { out[i] = FromDense(v) }); err != nil {
				return nil, fmt.Errorf("interop: %s: input %d: %w", op, i, err)
			}
		default:
			return nil, fmt.Errorf("interop: %s: input %d is a %T, needs a *tensor.Dense or *gorgonia.F32 of float32",
				op, i, v)
		}
	}
	return out, nil
}

// valueOf shares t's memory with a machine; a scalar becomes a gorgonia.F32.
func valueOf(t *tensor.Tensor) gorgonia.Value {
	if t.Rank() == 0 {
		return gorgonia.NewF32(t.Item())
	}
	return ToDense(t)
}
