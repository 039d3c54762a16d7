package conformance

import (
	"math"
	"slices"

	"github.com/gollava/gollava/internal/backend"
)

// before reports whether element a of a line comes before element b: by value, NaN being the largest, and then by
// index.
func before(line []float32, a, b int, largest bool) bool {
	rank := func(i int) float64 {
		if v := float64(line[i]); v == v {
			return math.Max(math.Min(v, 1e300), -1e300)
		}
		return math.Inf(1)
	}
	u, v := rank(a), rank(b)
	if u == v {
		return a < b
	}
	return u > v == largest
}

func topK(s *suite) {
	for form, c := range volumes {
		for _, hard := range []bool{false, true} {
			outer, n, inner := c[0], c[1], c[2]
			for _, k := range []int{0, 1, n / 2, n} {
				largest := (form+k)%2 == 0
				s.start("[%d %d %d], k=%d, largest %v, ties %v", outer, n, inner, k, largest, hard)
				x := s.normal(outer*n*inner, 1)
				for i := range x {
					if hard {
						x[i] = []float32{0, float32(math.Copysign(0, -1)), 1, 2, float32(math.Inf(1)),
							float32(math.Inf(-1)),
							float32(math.NaN())}[s.r.IntN(7)]
					}
				}
				values, at := s.out(outer*k*inner), s.buffer(backend.Int32, outer*k*inner)
				s.dev.TopK(values, at, s.in(x), outer, n, inner, k, largest)
				want, index := make([]float32, outer*k*inner), make([]int32, outer*k*inner)
				line := make([]float32, n)
				for o := range outer {
					for j := range inner {
						for i := range line {
							line[i] = x[(o*n+i)*inner+j]
						}
						order := s.r.Perm(n)
						slices.SortFunc(order, func(a, b int) int {
							if before(line, a, b, largest) {
								return -1
							}
							return 1
						})
						for i, from := range order[:k] {
							want[(o*k+i)*inner+j], index[(o*k+i)*inner+j] = line[from], int32(from)
						}
					}
				}
				s.near("values", values, wide(want), 0, 0)
				for i, g := range at.Int32() {
					if g != index[i] {
						s.wrong("at: element %d is %d, want %d", i, g, index[i])
					}
				}
				s.done()
			}
		}
	}
}

func cumSum(s *suite) {
	for _, c := range volumes {
		for _, reverse := range []bool{false, true} {
			outer, n, inner := c[0], c[1], c[2]
			s.start("[%d %d %d], reverse %v", outer, n, inner, reverse)
			x := s.normal(outer*n*inner, 1)
			want := make([]float64, len(x))
			for k := range x {
				for i := range n {
					if i <= k/inner%n && !reverse || i >= k/inner%n && reverse {
						want[k] += float64(x[(k/inner/n*n+i)*inner+k%inner])
					}
				}
			}
			dst, same := s.out(len(x)), s.inout(x)
			s.dev.CumSum(dst, s.in(x), outer, n, inner, reverse)
			s.dev.CumSum(same, same, outer, n, inner, reverse)
			s.near("dst", dst, want, 1e-6, 1e-6*math.Sqrt(float64(n)))
			s.exact("in place", same, dst.Float32())
			s.done()
		}
	}
}

func gatherLines(s *suite) {
	for _, c := range volumes {
		outer, n, inner := c[0], c[1], c[2]
		for _, m := range []int{0, 1, 7} {
			s.start("[%d %d %d] by %d", outer, n, inner, m)
			x, src, sum := s.normal(outer*n*inner, 1), s.normal(outer*m*inner, 1), s.normal(outer*n*inner, 1)
			at, want := make([]int32, outer*m*inner), make([]float32, outer*m*inner)
			base := wide(sum)
			for o := range outer {
				for i := range m {
					for j := range inner {
						k := (o*m+i)*inner + j
						at[k] = int32(s.r.IntN(n))
						want[k] = x[(o*n+int(at[k]))*inner+j]
						base[(o*n+int(at[k]))*inner+j] += float64(src[k])
					}
				}
			}
			dst, acc := s.out(len(want)), s.inout(sum)
			s.dev.GatherLines(dst, s.in(x), s.ints(at), outer, n, m, inner)
			s.exact("GatherLines", dst, want)
			s.dev.ScatterLines(acc, s.in(src), s.ints(at), outer, n, m, inner)
			s.near("ScatterLines", acc, base, 1e-6, 1e-6)
			s.done()
		}
	}
}

func selects(s *suite) {
	check := func(dims []int, rc, ra, rb []bool) {
		cs, nc := repeated(dims, rc)
		as, na := repeated(dims, ra)
		bs, nb := repeated(dims, rb)
		s.start("dims %v, strides %v, %v and %v", dims, cs, as, bs)
		c, a, b := s.normal(nc, 1), s.normal(na, 1), s.normal(nb, 1)
		for i := range c {
			if s.r.IntN(2) == 0 {
				c[i] = []float32{0, float32(math.Copysign(0, -1))}[s.r.IntN(2)]
			}
		}
		if nc > 0 && na > 0 && nb > 0 {
			c[0], a[na/2], b[nb/2] = float32(math.NaN()), float32(math.NaN()), float32(math.Inf(1))
		}
		want := make([]float32, product(dims))
		walk(dims, cs, as, func(o, i, j int) {
			if c[i] != 0 {
				want[o] = a[j]
			}
		})
		walk(dims, cs, bs, func(o, i, j int) {
			if c[i] == 0 {
				want[o] = b[j]
			}
		})
		dst := s.out(len(want))
		s.dev.Select(dst, s.in(c), s.in(a), s.in(b), dims, cs, as, bs)
		s.near("dst", dst, wide(want), 0, 0)
		s.done()
	}
	for _, n := range sizes {
		check([]int{n}, s.coins(1), s.coins(1), s.coins(1))
	}
	for _, m := range shapes {
		check([]int{m[0], m[1]}, s.coins(2), s.coins(2), s.coins(2))
	}
	for range 30 {
		dims := make([]int, 3+s.r.IntN(3))
		for i := range dims {
			dims[i] = []int{1, 2, 3, 5, 9}[s.r.IntN(5)]
		}
		check(dims, s.coins(len(dims)), s.coins(len(dims)), s.coins(len(dims)))
	}
}
