package nntest

import (
	"hash/crc32"
	"math"

	"github.com/gollava/gollava/nn"
	"github.com/gollava/gollava/tensor"
)

// Fill gives every parameter of m values that depend on nothing but its name, its shape and an element's place, so that
// another program can compute the same model without a file of weights: s·(2u − 1) + c, with u in [0, 1) a hash; for
// matrices and kernels s = 1/√fan_in and c = 0, for vectors and scalars s = c = 0.5. In Python, element i of parameter
// name:
//
//	h = (i * 2654435761 + zlib.crc32(name.encode())) % 2**32
//	h = ((h ^ (h >> 15)) * 2246822519) % 2**32
//	u = (h >> 8) / 2**24
func Fill(m any) {
	for name, p := range nn.Params(m) {
		if p.IsMeta() {
			p.Allocate()
		}
		scale, center, seed := 0.5, 0.5, uint64(crc32.ChecksumIEEE([]byte(name)))
		if p.Rank() > 1 {
			scale, center = 1/math.Sqrt(float64(p.Len()/p.Dim(0))), 0
		}
		x := make([]float32, p.Len())
		for i := range x {
			h := (uint64(i)*2654435761 + seed) & math.MaxUint32
			h = (h ^ h>>15) * 2246822519 & math.MaxUint32
			x[i] = float32(scale*(2*float64(h>>8)/(1<<24)-1) + center)
		}
		p.CopyFrom(tensor.Wrap(x, p.Shape()...))
	}
}
