package cpu

import (
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/gollava/gollava/internal/backend"
)

func TestClasses(t *testing.T) {
	last := -1
	for size := range 1 << 16 {
		k, capacity := classOf(size)
		require.GreaterOrEqual(t, capacity, max(size, 1))
		require.Zero(t, capacity%line)
		require.LessOrEqual(t, capacity, max(size+size/8+line, line), "of %d", size)
		require.True(t, k == last || k == last+1, "class %d of %d follows %d", k, size, last)
		if k != last {
			last = k
			again, same := classOf(capacity)
			require.Equal(t, []int{k, capacity}, []int{again, same}, "a buffer returns to the class that it came from")
		}
	}
	k, _ := classOf(1 << 52)
	require.Less(t, k, len(memory{}.classes))
}

func TestRecycling(t *testing.T) {
	d := New()
	a := d.Alloc(backend.Float32, 1000)
	p := a.Pointer()
	require.Zero(t, uintptr(p)%line)
	d.Free(a)
	require.PanicsWithError(t, "backend: memory of a buffer that was freed", func() { a.Float32() })
	require.PanicsWithError(t, "cpu: a buffer was freed twice", func() { d.Free(a) })
	b := d.Alloc(backend.Int32, 990)
	require.Equal(t, p, b.Pointer())
	require.Equal(t, backend.Int32, b.DType)
	require.Len(t, b.Int32(), 990)

	big := d.Alloc(backend.Float32, 1<<16)
	p = big.Pointer()
	d.Free(big)
	require.Equal(t, p, d.Alloc(backend.Float32, 50000).Pointer(), "one that is a little larger serves too")

	d.Free(b.Slice(0, 3)) // not an Alloc's: ignored
	require.Zero(t, testing.AllocsPerRun(100, func() { d.Free(d.Alloc(backend.Float32, 1<<20)) }))
}

// What a whole window of allocations did not need goes back to Go's heap, and what it needed stays.
func TestTrimming(t *testing.T) {
	d := New()
	var many []*backend.Buffer
	for range 10 {
		many = append(many, d.Alloc(backend.Float32, 1<<12))
	}
	for _, b := range many {
		d.Free(b)
	}
	k, _ := classOf(4 << 12)
	for range 2 * window {
		x, y := d.Alloc(backend.Float32, 1<<12), d.Alloc(backend.Float32, 1<<12)
		d.Free(x)
		d.Free(y)
	}
	require.Len(t, d.memory.classes[k].free, 2)
}
