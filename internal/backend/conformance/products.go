package conformance

import (
	"fmt"
	"math"

	"github.com/gollava/gollava/internal/backend"
)

// matmulCase is one MatMul with its operands in float64.
type matmulCase struct {
	p          backend.MatMul
	a, b, bias []float32
	halfA      bool
	halfB      bool
	blocks     backend.DType // of B, if it is not Float32
	c          []float32     // what C holds before
	f          function      // the activation
}

// fill makes operands for the shape in p, with as many elements as its strides need.
func (s *suite) fill(c *matmulCase, deviation float64) {
	p := &c.p
	last := max(p.Batch-1, 0)
	c.a, c.b = s.normal(last*p.AStride+p.M*p.K, deviation), s.normal(last*p.BStride+p.K*p.N, deviation)
	c.c = s.normal(last*p.CStride+p.M*p.N, 1)
}

// check runs the product and compares. Where two products' results leave a gap in C, the gap must stay as it was.
func (s *suite) check(c *matmulCase) {
	p := &c.p
	s.start("[%d %d %d] AT=%v BT=%v batch %d (strides %d %d %d), bfloat16 A %v B %v, half %v, accumulate %v, bias %v, "+
		"act %s, pre %v", p.M, p.N, p.K, p.AT, p.BT, p.Batch, p.AStride, p.BStride, p.CStride, c.halfA, c.halfB, p.Half,
		p.Accumulate, c.bias != nil, c.f.name, p.Pre != nil)
	p.A, p.Act = s.weight(c.a, c.halfA), c.f.op
	if p.B = nil; c.blocks.Quantized() {
		p.B = s.blocks(c.blocks, c.b)
	} else {
		p.B = s.weight(c.b, c.halfB)
	}
	A, B := c.a, c.b // what is multiplied
	if p.Half {
		A, B = rounded(A), rounded(B)
	}
	p.Bias = nil
	if c.bias != nil {
		p.Bias = s.weight(c.bias, c.halfB)
	}
	p.C = s.out(len(c.c))
	pre := p.Pre != nil
	if pre {
		p.Pre = s.out(len(c.c))
	}
	nan := math.NaN()
	want, sums, mag := make([]float64, len(c.c)), make([]float64, len(c.c)), make([]float64, len(c.c))
	for i := range want {
		want[i], sums[i] = nan, nan
	}
	if p.Accumulate {
		copy(p.C.Float32(), c.c)
		for i, v := range c.c {
			want[i] = float64(v)
		}
	}
	a, b := make([]float64, p.M*p.K), make([]float64, p.K*p.N) // row-major [M, K] and column-major [N, K]
	for n := range p.Batch {
		for i := range p.M {
			for k := range p.K {
				at := i*p.K + k
				if p.AT {
					at = k*p.M + i
				}
				a[i*p.K+k] = float64(A[n*p.AStride+at])
			}
		}
		for j := range p.N {
			for k := range p.K {
				at := k*p.N + j
				if p.BT {
					at = j*p.K + k
				}
				b[j*p.K+k] = float64(B[n*p.BStride+at])
			}
		}
		for i := range p.M {
			for j := range p.N {
				sum, m := 0.0, 0.0
				row, col := a[i*p.K:(i+1)*p.K], b[j*p.K:(j+1)*p.K]
				for k, v := range row {
					sum += v * col[k]
					m += math.Abs(v * col[k])
				}
				o := n*p.CStride + i*p.N + j
				mag[o] = m
				if p.Accumulate {
					mag[o] += math.Abs(want[o])
					want[o] += sum
					continue
				}
				if c.bias != nil {
					sum += float64(c.bias[j])
					mag[o] += math.Abs(float64(c.bias[j]))
				}
				sums[o], want[o] = sum, c.f.f(sum)
			}
		}
	}
	s.dev.MatMul(p)
	// Errors of float32 sums, carried through an activation whose slope is below 1.2.
	s.within("C", p.C, want, func(i int) float64 { return 2.5e-6*mag[i] + 4e-6*math.Abs(want[i]) + 1e-6*b2f(p.Act != 0) })
	if pre {
		s.within("Pre", p.Pre, sums, func(i int) float64 { return 2e-6 * mag[i] })
		p.Pre = nil
	}
	s.done()
}

// rounded is x in bfloat16.
func rounded(x []float32) []float32 {
	o := make([]float32, len(x))
	for i, v := range x {
		o[i] = widen(narrow(v))
	}
	return o
}

func b2f(b bool) float64 {
	if b {
		return 1
	}
	return 0
}

func matmul(s *suite) {
	shapes := [][3]int{{1, 1, 1}, {1, 17, 3}, {3, 1, 33}, {17, 33, 1}, {2, 3, 5}, {7, 13, 17}, {16, 16, 16}, {33, 31, 67},
		{12, 32, 64}, {13, 33, 65}, {1, 257, 131}, {257, 1, 131}, {5, 515, 67}, {67, 129, 257}, {1, 67, 1031}, {17, 33, 1031},
		{131, 97, 389}, {4, 1031, 16}, {0, 5, 3}, {5, 0, 3}, {3, 5, 0}}
	for _, m := range shapes {
		for form := range 16 {
			c := &matmulCase{p: backend.MatMul{M: m[0], N: m[1], K: m[2], AT: form&1 != 0, BT: form&2 != 0, Batch: 1},
				f:     functions[0],
				halfA: form&4 != 0, halfB: form&8 != 0}
			if m[0]*m[1]*m[2] > 1<<20 && form > 3 && form != 10 {
				continue
			}
			s.fill(c, 1)
			s.check(c)
			if form < 4 || form == 10 {
				c.p.Accumulate = true
				s.check(c)
			}
			if form%4 == form || form == 8 { // both float32, or B bfloat16
				c.p.Half, c.p.Accumulate = true, form == 2
				s.check(c)
			}
		}
	}
	for range 40 {
		c := &matmulCase{p: backend.MatMul{M: 1 + s.r.IntN(80), N: 1 + s.r.IntN(80), K: 1 + s.r.IntN(80),
			AT: s.r.IntN(2) == 0, BT: s.r.IntN(2) == 0, Batch: 1,
			Accumulate: s.r.IntN(2) == 0, Half: s.r.IntN(4) == 0}, f: functions[0], halfB: s.r.IntN(3) == 0}
		s.fill(c, 1)
		s.check(c)
	}
}

func matmulBatch(s *suite) {
	for form := range 32 {
		p := backend.MatMul{M: 1 + s.r.IntN(20), N: 1 + s.r.IntN(40), K: 1 + s.r.IntN(30),
			AT: form&1 != 0, BT: form&2 != 0, Batch: 2 + s.r.IntN(4),
			Accumulate: form&4 != 0, Half: s.r.IntN(4) == 0}
		p.AStride, p.BStride, p.CStride = p.M*p.K, p.K*p.N, p.M*p.N
		switch {
		case form&24 == 8:
			p.BStride = 0
		case form&24 == 16:
			p.AStride = 0
		case form&24 == 24:
			p.AStride, p.BStride, p.CStride = p.AStride+3, p.BStride+1, p.CStride+2
		}
		c := &matmulCase{p: p, f: functions[0]}
		s.fill(c, 1)
		s.check(c)
	}
	c := &matmulCase{p: backend.MatMul{M: 3, N: 4, K: 5, Batch: 0}, f: functions[0]}
	s.fill(c, 1)
	s.check(c)
}

func matmulEpilogue(s *suite) {
	for _, f := range functions {
		if f.lo >= 0 || f.op == backend.Exp { // defined for all numbers, and tame
			continue
		}
		for form := range 8 {
			m := [][3]int{{1, 67, 33}, {17, 33, 31}, {5, 1, 7}, {33, 131, 257}, {3, 2, 0}}[s.r.IntN(5)]
			c := &matmulCase{p: backend.MatMul{M: m[0], N: m[1], K: m[2], BT: form&4 == 0, Batch: 1}, f: f,
				halfB: s.r.IntN(4) == 0}
			if form&1 != 0 {
				c.p.Pre = &backend.Buffer{}
			}
			s.fill(c, 0.5)
			if form&2 != 0 {
				c.bias = s.normal(m[1], 1)
			}
			s.check(c)
		}
	}
}

// matmulSpecial: NaN and Inf reach the row and the column that they stand in, and nothing else; also when multiplied by
// zero.
func matmulSpecial(s *suite) {
	for form := range 24 {
		c := &matmulCase{p: backend.MatMul{M: 1 + s.r.IntN(20), N: 1 + s.r.IntN(40), K: 1 + s.r.IntN(30),
			AT: form&1 != 0, BT: form&2 != 0, Batch: 1, Half: s.r.IntN(3) == 0}, f: functions[0]}
		s.fill(c, 1)
		special := []float32{float32(math.NaN()), float32(math.Inf(1)), float32(math.Inf(-1))}[form%3]
		c.a[s.r.IntN(len(c.a))] = special
		if form&4 != 0 {
			for i := range c.b {
				c.b[i] = 0
			}
		}
		if form&8 != 0 {
			c.b[s.r.IntN(len(c.b))] = special
		}
		s.check(c)
	}
}

func adamW(s *suite) {
	for _, step := range []int{1, 2, 1000} {
		cfg := backend.AdamW{LR: 1e-2, Beta1: 0.9, Beta2: 0.98, Eps: 1e-8, WeightDecay: 0.1, GradScale: 0.5, Step: step}
		s.start("step %d", step)
		var items []backend.AdamWItem
		var verify []func()
		for k, n := range sizes {
			half := k%3 == 2
			p, g, m, v := s.normal(n, 1), s.normal(n, 1), s.normal(n, 0.1), s.uniform(n, 0, 0.1)
			if step == 1 {
				clear(m)
				clear(v)
			}
			it := backend.AdamWItem{Grad: s.in(g), M: s.inout(m), V: s.inout(v)}
			value := s.inout(p)
			it.Param = value
			if half {
				it.Master, it.Param = value, s.buffer(backend.BFloat16, n)
			}
			items = append(items, it)
			wp, wm, wv := make([]float64, n), make([]float64, n), make([]float64, n)
			for i := range p {
				G := float64(g[i]) * cfg.GradScale
				wm[i] = cfg.Beta1*float64(m[i]) + (1-cfg.Beta1)*G
				wv[i] = cfg.Beta2*float64(v[i]) + (1-cfg.Beta2)*G*G
				mh, vh := wm[i]/(1-math.Pow(cfg.Beta1, float64(step))), wv[i]/(1-math.Pow(cfg.Beta2, float64(step)))
				wp[i] = float64(p[i])*(1-cfg.LR*cfg.WeightDecay) - cfg.LR*mh/(math.Sqrt(vh)+cfg.Eps)
			}
			verify = append(verify, func() {
				s.near(fmt.Sprintf("m of item %d", k), it.M, wm, 1e-6, 1e-7)
				s.near(fmt.Sprintf("v of item %d", k), it.V, wv, 1e-6, 1e-9)
				s.near(fmt.Sprintf("value of item %d", k), value, wp, 1e-6, 2e-7)
				if half {
					for i, h := range it.Param.BFloat16() {
						if h != narrow(value.Float32()[i]) {
							s.wrong("item %d: bfloat16 parameter %d is not its rounded master", k, i)
						}
					}
				}
			})
		}
		s.dev.AdamW(cfg, items)
		for _, f := range verify {
			f()
		}
		s.done()
	}
}
