package tensor

import (
	"slices"
	"sync"

	"github.com/gollava/gollava/internal/backend"
)

// storage is memory that tensors share. A leaf's belongs to Go's garbage collector. An operation's result is pooled: Backward or the end
// of a scope hands it back to the device, after which buf is nil and any use panics.
type storage struct {
	buf    *backend.Buffer
	pooled bool
	kept   bool
	of     *storage // what buf is a part of ([Tensor.Span]); nil: it is whole
}

// alive reports whether the memory has not been handed back.
func (s *storage) alive() bool { return s.buf != nil && (s.of == nil || s.of.buf != nil) }

// release hands pooled memory back. It is safe to call twice.
func (s *storage) release() {
	if s.pooled && !s.kept && s.buf != nil {
		b := s.buf
		s.buf = nil
		free(b)
	}
}

// buf is t's memory; it panics if there is none.
func (t *Tensor) buf() *backend.Buffer {
	if t.st == nil || !t.st.alive() {
		t.check("use")
	}
	return t.st.buf
}

// Keep takes t's memory out of the recycling by [Scope] and [Tensor.Backward], so that it stays readable. After Backward a kept tensor is a
// constant to later operations. It returns t.
func (t *Tensor) Keep() *Tensor {
	t.check("Keep")
	t.st.kept = true
	return t
}

var scopes struct {
	sync.Mutex
	open  []*scope
	spare []*scope // closed ones, whose lists serve again
}

type scope struct{ made []*storage }

// Scope runs fn and then recycles the memory of every operation's result that was made meanwhile and not kept with [Tensor.Keep]: the
// next scope reuses it. Wrap one around a training step or a generated token. Scopes nest. Leaves ([New], [From], …), parameters and
// their gradients are not affected. One goroutine computes inside scopes at a time; others may make leaves meanwhile.
func Scope(fn func()) {
	scopes.Lock()
	s := &scope{}
	if n := len(scopes.spare); n > 0 {
		s = scopes.spare[n-1]
		scopes.spare = scopes.spare[:n-1]
	}
	scopes.open = append(scopes.open, s)
	scopes.Unlock()
	defer func() {
		scopes.Lock()
		i := slices.Index(scopes.open, s)
		scopes.open = slices.Delete(scopes.open, i, i+1)
		scopes.Unlock()
		for _, st := range s.made {
			st.release()
		}
		clear(s.made)
		s.made = s.made[:0]
		scopes.Lock()
		scopes.spare = append(scopes.spare, s)
		scopes.Unlock()
	}()
	fn()
}

// Compact runs fn and then recycles the memory of every operation's result that was made meanwhile, except the one that fn returns, which from then
// on belongs to the enclosing scope: a frozen block costs its result and no more. If the result is recorded, Backward will want the others,
// and all stay.
func Compact(fn func() *Tensor) (y *Tensor) {
	s := &scope{}
	scopes.Lock()
	scopes.open = append(scopes.open, s)
	scopes.Unlock()
	defer func() {
		scopes.Lock()
		i := slices.Index(scopes.open, s)
		var outer *scope
		if scopes.open = slices.Delete(scopes.open, i, i+1); i > 0 {
			outer = scopes.open[i-1]
		}
		for _, st := range s.made {
			if y != nil && (st == y.st || y.Recorded()) {
				if outer != nil {
					outer.made = append(outer.made, st)
				}
				continue
			}
			st.release()
		}
		scopes.Unlock()
	}()
	return fn()
}

// alloc returns a result of an operation on device d, with undefined contents.
func alloc(d backend.Device, dt DType, shape ...int) *Tensor {
	n := count("alloc", shape)
	c := &struct {
		t    Tensor
		s    storage
		dims [4]int
	}{}
	c.s = storage{buf: d.Alloc(dt, n), pooled: true}
	memory.grow(dt.Bytes(n))
	c.t = Tensor{shape: append(c.dims[:0:4], shape...), n: n, dtype: dt, st: &c.s}
	scopes.Lock()
	if k := len(scopes.open); k > 0 {
		scopes.open[k-1].made = append(scopes.open[k-1].made, &c.s)
	}
	scopes.Unlock()
	return &c.t
}

// like returns a float32 result of x's shape on x's device.
func like(x *Tensor) *Tensor { return alloc(x.buf().Device, Float32, x.shape...) }

// scratch returns temporary memory that the caller frees.
func scratch(d backend.Device, n int) *backend.Buffer {
	memory.grow(Float32.Bytes(n))
	return d.Alloc(Float32, n)
}

func free(b *backend.Buffer) {
	memory.grow(-b.DType.Bytes(b.Len))
	b.Device.Free(b)
}
