package tensor

import (
	"sync"
	"sync/atomic"
)

// Arena is the memory of the results that belong to one [Scope], which recycles it as a whole. It is safe for
// concurrent use.
type Arena struct {
	opened uint64 // order of opening
	parent *Arena // who takes over what outlives this one; nil: the garbage collector
	use    *usage // shared with the parent

	mu     sync.Mutex
	made   []*storage
	list   *[]*storage // what made began as, to serve again
	closed atomic.Bool // written under mu
}

var openings atomic.Uint64

// lists are the made lists of closed arenas, to serve again.
var lists = sync.Pool{New: func() any { return new([]*storage) }}

func newArena(parent *Arena, use *usage) *Arena {
	list := lists.Get().(*[]*storage)
	return &Arena{opened: openings.Add(1), parent: parent, use: use, list: list, made: *list}
}

// newScope is an arena of its own, with a count of its own.
func newScope(w *watcher) *Arena {
	s := &struct {
		Arena
		use usage
	}{}
	list := lists.Get().(*[]*storage)
	s.Arena = Arena{opened: openings.Add(1), use: &s.use, list: list, made: *list}
	s.use.watch = w
	return &s.Arena
}

// open is a, or the innermost of its parents that has not been closed; nil if there is none.
func (a *Arena) open() *Arena {
	for a != nil && a.closed.Load() {
		a = a.parent
	}
	return a
}

// adopt makes st, or all that there are, memory of a or of the innermost open parent.
func (a *Arena) adopt(st ...*storage) {
	for ; a != nil; a = a.parent {
		a.mu.Lock()
		if !a.closed.Load() {
			a.made = append(a.made, st...)
			a.mu.Unlock()
			return
		}
		a.mu.Unlock()
	}
}

// close ends a: the parent takes over what keep names, the device gets all else back.
func (a *Arena) close(keep func(*storage) bool) {
	a.mu.Lock()
	a.closed.Store(true)
	made := a.made
	a.made = nil
	a.mu.Unlock()
	for _, st := range made {
		if keep != nil && keep(st) {
			a.parent.adopt(st)
		} else {
			st.release()
		}
	}
	clear(made)
	*a.list = made[:0]
	lists.Put(a.list)
}

// Scope runs fn and then recycles the memory of every result that belongs to s: the next scope reuses it. A result
// belongs to the scope of its operands, as marked by [Tensor.In], and so does all that is computed from it. So a scope
// is a matter of the data alone: any number of goroutines may have scopes of their own, on shared weights.
//
//	tensor.Scope(func(s *tensor.Arena) {
//		loss := model.Loss(batch.In(s))
//		loss.Backward()
//	})
//
// Wrap one around a training step or a generated token. Results that belong to no scope are left to the garbage
// collector, except that Backward releases what it has consumed. Leaves ([New], [From], …), parameters and their
// gradients are never recycled, nor is what [Tensor.Keep] keeps. A result that is used after its scope has ended
// panics, and never reads another tensor's numbers; so goroutines that fn starts and hands results to must end before
// it does.
func Scope(fn func(s *Arena)) {
	s := newScope(nil)
	defer s.close(nil)
	fn(s)
}

// In returns a view of t that belongs to s, as all results will that are computed from it, except from operands that
// belong to a scope opened later. Parameters and other leaves that live longer are not marked; a result of nothing but
// such leaves belongs to no scope, unless one of them is. A nil s returns t.
func (t *Tensor) In(s *Arena) *Tensor {
	if s == nil || s == t.arena {
		return t
	}
	out := t.view("In", t.shape)
	if a := t.arena.open(); a == nil || s.opened > a.opened {
		out.arena = s
	}
	return out
}

// Arena is the scope that t belongs to, for other operands to join it ([Tensor.In]), or nil.
func (t *Tensor) Arena() *Arena { return t.arena }

// Compact returns fn(in) and recycles the memory of every result computed from the inputs on the way, except fn's,
// which belongs to the scope of the inputs: a frozen block costs its result and no more. If the result is recorded,
// Backward will want the others, and all stay.
func Compact(fn func(in []*Tensor) *Tensor, in ...*Tensor) (y *Tensor) {
	if recording(in...) {
		return fn(in)
	}
	at := placeOf(in...)
	a := newArena(at.arena, at.usage())
	defer a.close(func(st *storage) bool { return y != nil && (st == y.st || y.Recorded()) })
	marked := make([]*Tensor, len(in))
	for i, t := range in {
		marked[i] = t.In(a)
	}
	y = fn(marked)
	if y.arena == a {
		y.arena = a.parent
	}
	return y
}

// usage counts what a scope costs.
type usage struct {
	now, peak atomic.Int64 // bytes
	flops     atomic.Uint64
	watch     *watcher // of [CheckFinite]
}

func (u *usage) grow(n int) {
	if u != nil {
		u.now.Add(int64(n))
	}
}

// shrink is grow backwards. What is in use is at its peak when the first of it is given back.
func (u *usage) shrink(n int) {
	if u != nil {
		u.summit(u.now.Add(-int64(n)) + int64(n))
	}
}

func (u *usage) summit(now int64) {
	for peak := u.peak.Load(); now > peak && !u.peak.CompareAndSwap(peak, now); peak = u.peak.Load() {
	}
}

func (u *usage) work(flops uint64) {
	if u != nil {
		u.flops.Add(flops)
	}
}

// Peak is how many bytes the results of s, their gradients and the temporaries of their operations have taken at once
// so far. Leaves and the gradients of parameters do not count.
func (s *Arena) Peak() int64 {
	s.use.summit(s.use.now.Load())
	return s.use.peak.Load()
}

// FLOPs counts the floating-point operations of the matrix products and attentions of s so far, forward and backward:
// 2·M·N·K for a product, masked positions of an attention included.
func (s *Arena) FLOPs() uint64 { return s.use.flops.Load() }
