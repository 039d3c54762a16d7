package tensor

import (
	"unsafe"

	"github.com/gollava/gollava/internal/backend"
)

// Span returns elements from to to−1 of t in row-major order as a vector [to−from] that shares t's memory and has no
// history: a part of a parameter or of a buffer, to be copied, added to or updated in place. It is readable as long
// as t's memory is. It panics if the range does not lie within t.
func (t *Tensor) Span(from, to int) *Tensor {
	t.check("Span")
	if from < 0 || to < from || to > t.n {
		Fail("Span", "[%d, %d) of %v, which has %d elements", from, to, t.shape, t.n)
	}
	of := t.st
	if of.of != nil {
		of = of.of
	}
	n := to - from
	return &Tensor{shape: []int{n}, n: n, dtype: t.dtype, st: &storage{p: unsafe.Pointer(t.buf().Slice(from, n)),
		of: of}, arena: t.arena}
}

// AddFrom adds src to t in place: t ← t + src, element by element, each sum rounded to float32 once. Both are float32
// and of equal length; shapes may differ. Neither is recorded.
func (t *Tensor) AddFrom(src *Tensor) {
	t.want("AddFrom", Float32)
	src.want("AddFrom", Float32)
	if t.n != src.n {
		Fail("AddFrom", "%v += %v: the lengths %d and %d differ", t.shape, src.shape, t.n, src.n)
	}
	t.buf().Device.Accumulate(t.buf(), src.beside(t).buf(), 1)
}

// Fill overwrites every element of t, float32 or bfloat16, with v.
func (t *Tensor) Fill(v float32) {
	t.check("Fill")
	if t.dtype == Int32 {
		Fail("Fill", "int32 %v: only float32 and bfloat16 are filled", t.shape)
	}
	t.buf().Device.Fill(t.buf(), v)
}

// SquareSums returns Σx² of each of ts (float32), summed in float64. [GlobalNorm] adds up the same sums in the same
// order: of a tensor that is cut into spans at the multiples of 16384 elements, √ of the spans' total is the
// GlobalNorm to the bit.
func SquareSums(ts []*Tensor) []float64 {
	sums := make([]float64, len(ts))
	for i, t := range ts {
		t.want("SquareSums", Float32)
		b := t.buf()
		sums[i] = b.Device.SumSquares([]*backend.Buffer{b})
	}
	return sums
}
