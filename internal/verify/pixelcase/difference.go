package pixelcase

import (
	"encoding/binary"
	"math"
)

// tolerance is how far results may be off.
type tolerance struct{ Max, Mean float64 }

// difference is how far a result is off.
type difference struct{ max, rel, mean float64 }

type number interface{ ~int | ~byte | ~float32 }

// differenceOf compares two lists of the same length. NaN is infinitely far from anything.
func differenceOf[T number](got, want []T) (d difference) {
	largest := 0.0
	for i, w := range want {
		x := math.Abs(float64(got[i]) - float64(w))
		if math.IsNaN(x) {
			x = math.Inf(1)
		}
		d.max, d.mean = max(d.max, x), d.mean+x
		largest = max(largest, math.Abs(float64(w)))
	}
	if n := len(want); n > 0 {
		d.mean /= float64(n)
	}
	if d.rel = d.max; largest > 0 {
		d.rel /= largest
	}
	return d
}

func floats(raw []byte) []float32 {
	out := make([]float32, len(raw)/4)
	for i := range out {
		out[i] = math.Float32frombits(binary.LittleEndian.Uint32(raw[4*i:]))
	}
	return out
}

func rawFloats(v []float32) []byte {
	out := make([]byte, 0, 4*len(v))
	for _, x := range v {
		out = binary.LittleEndian.AppendUint32(out, math.Float32bits(x))
	}
	return out
}
