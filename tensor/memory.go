package tensor

import "sync/atomic"

// memory counts the bytes of operations' results, gradients and temporaries.
var memory usage

type usage struct{ now, peak atomic.Int64 }

func (u *usage) grow(n int) {
	now := u.now.Add(int64(n))
	for peak := u.peak.Load(); now > peak && !u.peak.CompareAndSwap(peak, now); peak = u.peak.Load() {
	}
}

// PeakMemory runs fn and returns how many bytes operations had in use at once at most, beyond what was in use before: results, gradients and
// temporaries, but not leaves. Nothing else may compute meanwhile.
func PeakMemory(fn func()) int64 {
	before := memory.now.Load()
	memory.peak.Store(before)
	fn()
	return memory.peak.Load() - before
}
