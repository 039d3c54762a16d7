package cpu

import (
	"math/bits"
	"sync"
	"unsafe"

	"github.com/gollava/gollava/internal/backend"
	"github.com/gollava/gollava/internal/misuse"
)

// line is the size of a cache line, at which every buffer starts.
const line = 64

// memory recycles buffers by size class. The first touch of fresh memory is 30 times slower than its reuse, so a freed
// buffer waits for the next one of about its size, and goes back to Go's heap when a whole window of allocations could
// do without it. It is memory of Go's heap because a buffer that nobody frees must still be collected, and must outlive
// the last slice of it.
type memory struct {
	sync.Mutex
	classes [512]class
	allocs  int // in this window
}

// class is the free buffers of one size.
type class struct {
	free []*backend.Buffer
	low  int // the fewest that were free during this window
}

// window is how many allocations decide what has become useless: several steps of a deep model.
const window = 1 << 14

// classOf returns the class of a size in bytes and the bytes of its buffers: whole cache lines, in eight steps from one
// power of two to the next.
func classOf(size int) (k, capacity int) {
	u := max(size-1, 0) / line
	n := bits.Len(uint(u))
	if n <= 3 {
		return u, (u + 1) * line
	}
	shift := n - 4
	top := u >> shift // 8 to 15
	return (n-3)*8 + top - 8, (top + 1) << shift * line
}

// roomy is how many larger classes a buffer is taken from when its own is empty, if it is worth it.
const roomy, worth = 3, 64 << 10

// Alloc returns memory that starts on a cache line, of undefined contents.
func (d *Device) Alloc(dt backend.DType, n int) *backend.Buffer {
	m := &d.memory
	size := dt.Bytes(n)
	k, capacity := classOf(size)
	m.Lock()
	b := m.take(k)
	for i := 1; b == nil && i <= roomy && size >= worth; i++ {
		b = m.take(k + i)
	}
	if m.allocs++; m.allocs == window {
		m.trim()
	}
	m.Unlock()
	if b == nil {
		raw := make([]byte, capacity+line)
		useLargePages(unsafe.Pointer(&raw[0]), len(raw))
		skip := -int(uintptr(unsafe.Pointer(&raw[0]))) & (line - 1)
		b = backend.NewBuffer(d, dt, n, unsafe.Pointer(&raw[skip]))
		b.Capacity = capacity
	}
	b.DType, b.Len = dt, n
	return b
}

// Free keeps b for the next Alloc of its size. Until then b has no length, so that a late reader panics.
func (d *Device) Free(b *backend.Buffer) {
	if b.Capacity == 0 {
		return // it came from elsewhere
	}
	if b.Len < 0 {
		panic(misuse.Errorf("cpu", "a buffer was freed twice"))
	}
	b.Len = -1
	k, _ := classOf(b.Capacity)
	m := &d.memory
	m.Lock()
	m.classes[k].free = append(m.classes[k].free, b)
	m.Unlock()
}

func (m *memory) take(k int) *backend.Buffer {
	c := &m.classes[k]
	n := len(c.free) - 1
	if n < 0 {
		return nil
	}
	b := c.free[n]
	c.free[n] = nil
	c.free = c.free[:n]
	c.low = min(c.low, n)
	return b
}

// trim ends a window: what was free all through it is left to the garbage collector.
func (m *memory) trim() {
	m.allocs = 0
	for i := range m.classes {
		c := &m.classes[i]
		kept := copy(c.free, c.free[c.low:])
		clear(c.free[kept:])
		c.free = c.free[:kept]
		c.low = kept
	}
}
