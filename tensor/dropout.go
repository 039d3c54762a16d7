package tensor

import (
	"hash/fnv"

	"github.com/gollava/gollava/internal/backend"
)

// Dropout zeroes each element with probability p in [0, 1) and scales the others by 1/(1−p). Which ones is a function
// of key alone; see [DropoutKey]. Source: Srivastava et al. 2014.
func Dropout(x *Tensor, p float32, key uint64) *Tensor {
	x.want("Dropout", Float32)
	if !(p >= 0 && p < 1) {
		Fail("Dropout", "probability %v of %v is outside [0, 1)", p, x.shape)
	}
	if p == 0 {
		return x
	}
	out := placeOf(x).like(x)
	out.buf().Device.Dropout(out.buf(), x.buf(), p, key)
	record(out, "Dropout", func(dy *gradient) {
		x.overwrite(dy, func(dx *backend.Buffer) { dx.Device.Dropout(dx, dx, p, key) })
	}, nil, x)
	return out
}

// DropoutKey mixes a seed, a step and a layer's name into a key, so that the same three always drop the same elements.
func DropoutKey(seed, step uint64, name string) uint64 {
	h := fnv.New64a()
	var b [16]byte
	for i := range 8 {
		b[i], b[8+i] = byte(seed>>(8*i)), byte(step>>(8*i))
	}
	h.Write(b[:])
	h.Write([]byte(name))
	return h.Sum64()
}
