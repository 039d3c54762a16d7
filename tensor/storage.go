package tensor

import (
	"sync/atomic"
	"unsafe"

	"github.com/gollava/gollava/internal/backend"
)

// storage is memory that tensors share. A leaf's belongs to Go's garbage collector. An operation's result is pooled:
// Backward or the end of its scope hands it back to the device, after which there is no buffer and any use panics.
type storage struct {
	// *backend.Buffer, nil once released; accessed atomically, written plainly only before anyone shares it
	p      unsafe.Pointer
	use    *usage // counts the memory; nil: nobody does
	pooled bool
	kept   bool
	of     *storage // what buf is a part of ([Tensor.Span]); nil: it is whole
}

func newStorage(b *backend.Buffer) *storage { return &storage{p: unsafe.Pointer(b)} }

// buf is the memory, nil once released.
func (s *storage) buf() *backend.Buffer {
	if s.of != nil && s.of.buf() == nil {
		return nil
	}
	return (*backend.Buffer)(atomic.LoadPointer(&s.p))
}

// release hands pooled memory back. It may be called twice, from two goroutines too.
func (s *storage) release() {
	if !s.pooled || s.kept || atomic.LoadPointer(&s.p) == nil {
		return
	}
	if b := (*backend.Buffer)(atomic.SwapPointer(&s.p, nil)); b != nil {
		s.use.shrink(b.Bytes())
		b.Device.Free(b)
	}
}

// keep takes s out of the recycling, and out of the count of the scope that made it.
func (s *storage) keep() {
	s.kept = true
	if b := s.buf(); b != nil && s.use != nil {
		s.use.shrink(b.Bytes())
		s.use = nil
	}
}

// give hands what was kept back to the recycling, and to the count of use.
func (s *storage) give(use *usage) {
	if s.kept {
		s.kept, s.use = false, use
		use.grow(s.buf().Bytes())
	}
}

// buf is t's memory; it panics if there is none.
func (t *Tensor) buf() *backend.Buffer {
	if s := t.st; s != nil && s.of == nil {
		if b := (*backend.Buffer)(atomic.LoadPointer(&s.p)); b != nil {
			return b
		}
	}
	return t.bufOfPart()
}

// bufOfPart is buf of what is a part of other memory, or gone.
func (t *Tensor) bufOfPart() *backend.Buffer {
	t.check("use")
	return t.st.buf()
}

// Keep takes t's memory out of the recycling by [Scope] and [Tensor.Backward], so that it stays readable. After
// Backward a kept tensor is a constant to later operations. It returns t.
func (t *Tensor) Keep() *Tensor {
	t.check("Keep")
	t.st.keep()
	return t
}

// place is where the results of an operation go, and what it computes with in between: the device and the scope of its
// operands.
type place struct {
	backend.Device
	arena *Arena // nil: results belong to the garbage collector
}

// placeOf is the place of an operation on ts: the device of the first that is not on the host, if there is one, and the
// scope that was opened last among those that they belong to. Operands may be nil, but not the first.
func placeOf(ts ...*Tensor) place {
	at := place{Device: ts[0].buf().Device}
	for _, t := range ts {
		if t == nil {
			continue
		}
		if d := t.buf().Device; d != at.Device && at.Device.Host() {
			at.Device = d
		}
		if t.arena == nil || t.arena == at.arena {
			continue
		}
		if a := t.arena.open(); a != nil && (at.arena == nil || a.opened > at.arena.opened) {
			at.arena = a
		}
	}
	return at
}

// usage is the count of the scope; nil without one.
func (at place) usage() *usage {
	if at.arena == nil {
		return nil
	}
	return at.arena.use
}

// alloc returns a result with undefined contents.
func (at place) alloc(dt DType, shape ...int) *Tensor {
	t := at.loose(dt, shape)
	if at.arena != nil {
		t.arena = at.arena
		at.arena.adopt(t.st)
	}
	return t
}

// like returns a float32 result of x's shape.
func (at place) like(x *Tensor) *Tensor { return at.alloc(Float32, x.shape...) }

// result is a tensor and what belongs to it in one allocation: 128 bytes, a size that Go allocates without loss.
type result struct {
	t    Tensor
	s    storage
	dims [3]int // of the shape, unless it is longer
}

// loose is alloc of memory that the caller releases or keeps.
func (at place) loose(dt DType, shape []int) *Tensor {
	n := count("alloc", shape)
	c := new(result)
	b := at.Alloc(dt, n)
	c.s = storage{p: unsafe.Pointer(b), pooled: true, use: at.usage()}
	c.s.use.grow(b.Bytes())
	c.t = Tensor{shape: append(c.dims[:0:3], shape...), n: n, dtype: dt, st: &c.s}
	return &c.t
}

// scratch returns temporary float32 memory, which the caller gives back with free.
func (at place) scratch(n int) *backend.Buffer {
	b := at.Alloc(Float32, n)
	at.usage().grow(b.Bytes())
	return b
}

func (at place) free(b *backend.Buffer) {
	at.usage().shrink(b.Bytes())
	at.Free(b)
}

// matMul counts a product and computes it.
func (at place) matMul(p *backend.MatMul) {
	at.usage().work(2 * uint64(p.M) * uint64(p.N) * uint64(p.K) * uint64(p.Batch))
	at.MatMul(p)
}
