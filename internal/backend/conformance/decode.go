package conformance

import (
	"slices"

	"github.com/gollava/gollava/internal/backend"
)

// decodeRows requires that up to backend.DecodeRows rows get the bits that each gets alone, for every type of B, with
// and without bias, activation and rounding.
func decodeRows(s *suite) {
	types := append([]backend.DType{backend.Float32, backend.BFloat16}, blockTypes()...)
	for _, size := range [][2]int{{1, 1}, {3, 5}, {7, 15}, {17, 16}, {16, 33}, {64, 31}, {33, 67}, {130, 130},
		{257, 192}, {96, 1000}, {1031, 96},
		{300, 1100}, {65, 4100}, {900, 256}, {64, 512}, {17, 256}, {33, 768}} {
		N, K := size[0], size[1]
		for _, dt := range types {
			if f := dt.Blocks(); f != nil && (K%f.Length != 0 || N*K > 1<<17) {
				continue
			}
			s.decode(dt, N, K, false)
			if dt.Quantized() {
				s.decode(dt, N, K, true)
			}
		}
	}
}

// decode is decodeRows for one product; rounded lets the rows of A be rounded to eight bits.
func (s *suite) decode(dt backend.DType, N, K int, rounded bool) {
	c := matmulCase{f: functions[s.r.IntN(len(functions))]}
	s.start("products [m %d %d] with B of %v, rounded %v, %s", N, K, dt, rounded, c.f.name)
	all, w := s.in(s.normal(backend.DecodeRows*K, 1)), s.normal(N*K, 0.1)
	p := backend.MatMul{N: N, K: K, BT: true, Batch: 1, Act: c.f.op}
	switch {
	case dt.Quantized():
		p.B = s.blocks(dt, w)
	default:
		p.B = s.weight(w, dt == backend.BFloat16)
	}
	if s.r.IntN(2) == 0 {
		p.Bias = s.in(s.normal(N, 1))
	}
	p.Half = s.r.IntN(3) == 0
	p.Rounded = rounded
	product := func(from, m int) *backend.Buffer {
		q := p
		q.M, q.A, q.C = m, all.Slice(from*K, m*K), s.out(m*N)
		s.dev.MatMul(&q)
		return q.C
	}
	var alone []float32
	for i := range backend.DecodeRows {
		alone = append(alone, slices.Clone(product(i, 1).Float32())...)
	}
	for _, m := range []int{2, 3, 7, backend.DecodeRows} {
		from := s.r.IntN(backend.DecodeRows - m + 1)
		s.exact("C", product(from, m), alone[from*N:(from+m)*N])
	}
	s.done()
}
