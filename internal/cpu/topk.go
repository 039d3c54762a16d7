package cpu

import (
	"math"
	"slices"

	"github.com/gollava/gollava/internal/backend"
)

// TopK orders numbers of which the upper half says where the element belongs and the lower half is its index: no
// two are equal. It keeps the first k of those seen, and some that came since.
func (d *Device) TopK(values, at, x *backend.Buffer, outer, n, inner, k int, largest bool) {
	v, o, u := values.Float32(), at.Int32(), x.Float32()
	if k == 0 {
		return
	}
	ranges(outer*inner, max(1, grain/8/n), func(from, to int) {
		keys := make([]uint64, 0, min(n, 2*k+64))
		for line := from; line < to; line++ {
			first, j, limit := line/inner*n, line%inner, uint64(math.MaxUint64)
			keys = keys[:0]
			for i := range n {
				key := uint64(rank(u[(first+i)*inner+j], largest))<<32 | uint64(i)
				if key > limit {
					continue
				}
				if len(keys) == cap(keys) {
					slices.Sort(keys)
					keys = keys[:k]
					limit = keys[k-1]
				}
				keys = append(keys, key)
			}
			slices.Sort(keys)
			for i, key := range keys[:k] {
				to, from := (line/inner*k+i)*inner+j, int(uint32(key))
				v[to], o[to] = u[(first+from)*inner+j], int32(from)
			}
		}
	})
}

// rank grows with v, NaN being the largest number and −0 being 0; or it falls, to put the largest first.
func rank(v float32, largest bool) uint32 {
	u := math.Float32bits(v)
	switch {
	case v != v:
		u = math.MaxUint32
	case v == 0:
		u = 1 << 31
	case u>>31 == 1:
		u = ^u
	default:
		u |= 1 << 31
	}
	if largest {
		return ^u
	}
	return u
}
