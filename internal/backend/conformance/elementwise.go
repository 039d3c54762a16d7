package conformance

import (
	"fmt"
	"math"
	"slices"

	"github.com/gollava/gollava/internal/backend"
)

// function is an elementwise function in float64, with its derivative.
type function struct {
	op     backend.Unary
	name   string
	f, df  func(x float64) float64
	lo, hi float64 // where its gradient is tested
}

func sigma(x float64) float64 { return 1 / (1 + math.Exp(-x)) }
func phi(x float64) float64   { return math.Erfc(-x/math.Sqrt2) / 2 }

func tanhInner(x float64) float64 { return math.Sqrt(2/math.Pi) * (x + 0.044715*x*x*x) }

var functions = []function{
	{backend.Identity, "Identity", func(x float64) float64 { return x }, func(float64) float64 { return 1 }, -9, 9},
	{backend.Exp, "Exp", math.Exp, math.Exp, -20, 20},
	{backend.Log, "Log", math.Log, func(x float64) float64 { return 1 / x }, 1e-3, 50},
	{backend.Sqrt, "Sqrt", math.Sqrt, func(x float64) float64 { return 0.5 / math.Sqrt(x) }, 1e-3, 50},
	{backend.Rsqrt, "Rsqrt", func(x float64) float64 { return 1 / math.Sqrt(x) },
		func(x float64) float64 { return -0.5 * math.Pow(x, -1.5) }, 1e-2, 50},
	{backend.Tanh, "Tanh", math.Tanh, func(x float64) float64 { t := math.Tanh(x); return 1 - t*t }, -9, 9},
	{backend.Sigmoid, "Sigmoid", sigma, func(x float64) float64 { return sigma(x) * sigma(-x) }, -20, 20},
	{backend.ReLU, "ReLU", func(x float64) float64 { return math.Max(x, 0) }, func(x float64) float64 {
		if x > 0 {
			return 1
		}
		return 0
	}, -9, 9},
	{backend.SiLU, "SiLU", func(x float64) float64 { return x * sigma(x) },
		func(x float64) float64 { return sigma(x) + x*sigma(x)*sigma(-x) }, -20, 20},
	{backend.GELU, "GELU", func(x float64) float64 { return x * phi(x) }, func(x float64) float64 {
		return phi(x) + x*math.Exp(-x*x/2)/math.Sqrt(2*math.Pi)
	}, -9, 9},
	{backend.GELUTanh, "GELUTanh", func(x float64) float64 { return x / 2 * (1 + math.Tanh(tanhInner(x))) },
		func(x float64) float64 {
			t := math.Tanh(tanhInner(x))
			return (1+t)/2 + x/2*(1-t*t)*math.Sqrt(2/math.Pi)*(1+3*0.044715*x*x)
		}, -9, 9},
	{backend.QuickGELU, "QuickGELU", func(x float64) float64 { return x * sigma(1.702*x) }, func(x float64) float64 {
		return sigma(1.702*x) + 1.702*x*sigma(1.702*x)*sigma(-1.702*x)
	}, -12, 12},
}

// tolerance of a function's value y at x: relative, and for functions that are differences of near numbers relative to
// x.
func (f function) tolerance(x, y float64) float64 {
	switch f.op {
	case backend.Identity, backend.ReLU:
		return 0
	case backend.Exp, backend.Sqrt, backend.Rsqrt:
		return 2e-6*math.Abs(y) + 2e-38
	}
	return 2e-6*math.Abs(y) + 5e-7*math.Min(1, math.Abs(x)) + 1e-37
}

func unary(s *suite) {
	for _, f := range functions {
		for _, n := range sizes {
			s.start("%s, n=%d", f.name, n)
			x := s.uniform(n, f.lo, f.hi)
			want := make([]float64, n)
			for i, v := range x {
				want[i] = f.f(float64(v))
			}
			dst, same := s.out(n), s.inout(x)
			s.dev.Unary(f.op, dst, s.in(x))
			s.dev.Unary(f.op, same, same)
			tolerance := func(i int) float64 { return f.tolerance(float64(x[i]), want[i]) }
			s.within("dst", dst, want, tolerance)
			s.within("in place", same, want, tolerance)
			s.done()
		}
	}
}

// unarySpecial puts one NaN, infinity, zero or huge number in every place of short vectors: it must come out as itself,
// and its neighbours must not notice.
func unarySpecial(s *suite) {
	inf := math.Inf(1)
	for _, f := range functions {
		for _, special := range []float64{math.NaN(), inf, -inf, 0, 1, -1, 1e4, -1e4, 88, -87, 100, -110, 3e38, -3e38, 1e-38,
			-1e-30, 1e-7} {
			y := f.f(float64(float32(special)))
			if math.IsInf(special, -1) && math.IsNaN(y) && f.op >= backend.SiLU {
				continue // −∞·0: NaN by the formula, 0 in the limit; either will do
			}
			for _, n := range []int{1, 5, 16, 19, 37} {
				for at := range n {
					s.start("%s, %v in place %d of %d", f.name, special, at, n)
					x := s.uniform(n, math.Max(f.lo, -4), 4)
					x[at] = float32(special)
					want := make([]float64, n)
					for i, v := range x {
						want[i] = f.f(float64(v))
					}
					dst := s.out(n)
					s.dev.Unary(f.op, dst, s.in(x))
					s.within("dst", dst, want, func(i int) float64 { return f.tolerance(float64(x[i]), want[i]) })
					s.done()
				}
			}
		}
	}
}

func unaryGrad(s *suite) {
	for _, f := range functions {
		for _, n := range sizes {
			s.start("gradient of %s, n=%d", f.name, n)
			x, dy := s.uniform(n, f.lo, f.hi), s.normal(n, 1)
			for i := range x {
				if f.lo < 0 && f.op != backend.Exp && s.r.IntN(20) == 0 {
					x[i] = []float32{0, 1e4, -1e4, 100, -100}[s.r.IntN(5)]
				}
			}
			if n > 8 {
				k := s.r.IntN(n)
				x[k], dy[k] = 1, float32(math.NaN())
			}
			y, want := make([]float32, n), make([]float64, n)
			for i, v := range x {
				y[i] = float32(f.f(float64(v)))
				want[i] = float64(dy[i]) * f.df(float64(v))
			}
			dx, same, xb, yb := s.out(n), s.inout(dy), s.in(x), s.in(y)
			s.dev.UnaryGrad(f.op, dx, xb, yb, s.in(dy))
			s.dev.UnaryGrad(f.op, same, xb, yb, same)
			tolerance := func(i int) float64 { return 4e-6*math.Abs(want[i]) + 1e-6*math.Abs(float64(dy[i])) }
			s.within("dx", dx, want, tolerance)
			s.within("dx in place of dy", same, want, tolerance)
			s.done()
		}
	}
}

func affine(s *suite) {
	for _, n := range sizes {
		for _, c := range [][2]float32{{2.5, -1}, {0, 3}, {-1, 0}} {
			s.start("%v·x + %v, n=%d", c[0], c[1], n)
			x := s.normal(n, 1)
			if n > 2 {
				x[n/2] = float32(math.NaN())
			}
			want := make([]float64, n)
			for i, v := range x {
				want[i] = float64(c[0])*float64(v) + float64(c[1])
			}
			dst, same := s.out(n), s.inout(x)
			s.dev.Affine(dst, s.in(x), c[0], c[1])
			s.dev.Affine(same, same, c[0], c[1])
			s.near("dst", dst, want, 2e-7, 1e-6)
			s.near("in place", same, want, 2e-7, 1e-6)
			s.done()
		}
		s.start("Accumulate, n=%d", n)
		x, y := s.normal(n, 1), s.normal(n, 1)
		want := make([]float64, n)
		for i, v := range x {
			want[i] = float64(y[i]) - 0.7*float64(v)
		}
		dst := s.inout(y)
		s.dev.Accumulate(dst, s.in(x), -0.7)
		s.near("dst", dst, want, 2e-7, 4e-7)
		s.done()
	}
}

var binaries = []struct {
	op backend.Binary
	f  func(a, b float64) float64
}{
	{backend.Add, func(a, b float64) float64 { return a + b }}, {backend.Sub, func(a, b float64) float64 { return a - b }},
	{backend.Mul, func(a, b float64) float64 { return a * b }}, {backend.Div, func(a, b float64) float64 { return a / b }},
	{backend.Less, func(a, b float64) float64 { return b2f(a < b) }},
	{backend.LessEqual, func(a, b float64) float64 { return b2f(a <= b) }},
	{backend.Equal, func(a, b float64) float64 { return b2f(a == b) }},
}

// walk calls f with the offsets that two sets of strides give every element of an array of shape dims, in order.
func walk(dims, as, bs []int, f func(o, a, b int)) {
	index := make([]int, len(dims))
	for o := range product(dims) {
		a, b := 0, 0
		for k, i := range index {
			a, b = a+i*as[k], b+i*bs[k]
		}
		f(o, a, b)
		for k := len(dims) - 1; k >= 0; k-- {
			if index[k]++; index[k] < dims[k] {
				break
			}
			index[k] = 0
		}
	}
}

// repeated returns the strides of an operand that is contiguous except for being repeated along the marked axes, and
// its size.
func repeated(dims []int, repeat []bool) (strides []int, n int) {
	strides, n = make([]int, len(dims)), 1
	for k := len(dims) - 1; k >= 0; k-- {
		if !repeat[k] {
			strides[k] = n
			n *= dims[k]
		}
	}
	return strides, n
}

func (s *suite) coins(n int) []bool {
	c := make([]bool, n)
	for i := range c {
		c[i] = s.r.IntN(2) == 0
	}
	return c
}

func binary(s *suite) {
	check := func(dims []int, ra, rb []bool) {
		as, na := repeated(dims, ra)
		bs, nb := repeated(dims, rb)
		n := product(dims)
		a, b := s.normal(na, 1), s.uniform(nb, 0.5, 2)
		if na > 2 && nb > 2 {
			a[na/2], b[nb/3] = float32(math.NaN()), float32(math.Inf(1))
			a[0] = b[0] // equal to some
		}
		for k, c := range binaries {
			s.start("%s, dims %v, strides %v and %v", []string{"Add", "Sub", "Mul", "Div", "Less", "LessEqual", "Equal"}[k],
				dims, as, bs)
			want := make([]float64, n)
			walk(dims, as, bs, func(o, i, j int) { want[o] = c.f(float64(a[i]), float64(b[j])) })
			dst, A, B := s.out(n), s.in(a), s.in(b)
			s.dev.Binary(c.op, dst, A, B, dims, as, bs)
			s.near("dst", dst, want, 2e-7, 1e-38)
			if na == n {
				same := s.inout(a)
				s.dev.Binary(c.op, same, same, B, dims, as, bs)
				s.near("in place of a", same, want, 2e-7, 1e-38)
			}
			if nb == n {
				same := s.inout(b)
				s.dev.Binary(c.op, same, A, same, dims, as, bs)
				s.near("in place of b", same, want, 2e-7, 1e-38)
			}
			s.done()
		}
	}
	for _, n := range sizes {
		for k := range 4 {
			check([]int{n}, []bool{k&1 == 1}, []bool{k&2 == 2})
		}
	}
	for _, m := range shapes {
		dims := []int{m[0], m[1]}
		check(dims, []bool{false, false}, []bool{true, false})
		check(dims, []bool{false, false}, []bool{false, true})
		check(dims, []bool{true, false}, []bool{false, true})
	}
	for range 30 {
		dims := make([]int, 3+s.r.IntN(3))
		for i := range dims {
			dims[i] = []int{1, 2, 3, 5, 9}[s.r.IntN(5)]
		}
		check(dims, s.coins(len(dims)), s.coins(len(dims)))
	}
}

func sumTo(s *suite) {
	check := func(dims []int, repeat []bool) {
		strides, m := repeated(dims, repeat)
		s.start("dims %v to strides %v", dims, strides)
		n := product(dims)
		x := s.normal(n, 1)
		want, mag := make([]float64, m), make([]float64, m)
		walk(dims, strides, strides, func(o, i, _ int) {
			want[i] += float64(x[o])
			mag[i] += math.Abs(float64(x[o]))
		})
		dst := s.out(m)
		s.dev.SumTo(dst, s.in(x), dims, strides)
		s.within("dst", dst, want, func(i int) float64 { return 1e-6 * mag[i] })
		s.done()
	}
	for _, n := range sizes {
		check([]int{n}, []bool{true})
		check([]int{n}, []bool{false})
	}
	for _, m := range append(slices.Clone(shapes), [2]int{300, 17}, [2]int{1031, 3}) {
		for k := range 4 {
			check([]int{m[0], m[1]}, []bool{k&1 == 1, k&2 == 2})
		}
	}
	for range 30 {
		dims := make([]int, 3+s.r.IntN(3))
		for i := range dims {
			dims[i] = []int{1, 2, 3, 5, 9}[s.r.IntN(5)]
		}
		check(dims, s.coins(len(dims)))
	}
}

func dropout(s *suite) {
	for _, n := range sizes {
		for _, p := range []float32{0, 0.1, 0.5, 0.93} {
			key := s.r.Uint64()
			s.start("p=%v, n=%d, key %#x", p, n, key)
			x, want := s.normal(n, 1), make([]float64, n)
			for i, v := range x {
				if backend.Uniform(key, uint64(i)) >= p {
					want[i] = float64(v) / (1 - float64(p))
				}
			}
			dst, same := s.out(n), s.inout(x)
			s.dev.Dropout(dst, s.in(x), p, key)
			s.dev.Dropout(same, same, p, key)
			s.near("dst", dst, want, 5e-7, 0)
			s.near("in place", same, want, 5e-7, 0)
			s.done()
		}
	}
}

func swiglu(s *suite) {
	silu := functions[backend.SiLU]
	for _, n := range sizes {
		s.start("n=%d", n)
		g, u, dy := s.uniform(n, -20, 20), s.normal(n, 1), s.normal(n, 1)
		if n > 4 {
			g[n/2], u[n/3] = float32(math.NaN()), float32(math.NaN())
			g[0], g[n-1] = 100, -100
		}
		y, dg, du := make([]float64, n), make([]float64, n), make([]float64, n)
		for i := range g {
			G, U, D := float64(g[i]), float64(u[i]), float64(dy[i])
			y[i], dg[i], du[i] = silu.f(G)*U, D*U*silu.df(G), D*silu.f(G)
		}
		tol := func(want []float64) func(int) float64 {
			return func(i int) float64 {
				other := math.Abs(float64(u[i]))
				if other != other {
					other = 1
				}
				return 4e-6*math.Abs(want[i]) + 1e-6*(other+1)*(math.Abs(float64(dy[i]))+1)
			}
		}
		gb, ub, dyb := s.in(g), s.in(u), s.in(dy)
		for place := range 3 {
			dst, a, b := s.out(n), gb, ub
			switch place {
			case 1:
				dst = s.inout(g)
				a = dst
			case 2:
				dst = s.inout(u)
				b = dst
			}
			s.dev.SwiGLU(dst, a, b)
			s.within(fmt.Sprint("dst, form ", place), dst, y, tol(y))

			DG, DU, D := s.out(n), s.out(n), dyb
			switch place {
			case 1:
				DG = s.inout(dy)
				D = DG
			case 2:
				DU = s.inout(dy)
				D = DU
			}
			s.dev.SwiGLUGrad(DG, DU, gb, ub, D)
			s.within(fmt.Sprint("dGate, form ", place), DG, dg, tol(dg))
			s.within(fmt.Sprint("dUp, form ", place), DU, du, tol(du))
		}
		s.done()
	}
}

func sums(s *suite) {
	var xs []*backend.Buffer
	want := 0.0
	s.start("several buffers")
	for _, n := range sizes {
		x := s.normal(n, 3)
		for _, v := range x {
			want += float64(v) * float64(v)
		}
		xs = append(xs, s.in(x))
	}
	if got := s.dev.SumSquares(xs); math.Abs(got-want) > 1e-6*want {
		s.wrong("SumSquares: %v, want %v", got, want)
	}
	if got := s.dev.SumSquares(nil); got != 0 {
		s.wrong("SumSquares of nothing: %v", got)
	}
	if ok, first := s.dev.AllFinite(xs); !ok || first != -1 {
		s.wrong("AllFinite of finite buffers: %v, %d", ok, first)
	}
	if ok, first := s.dev.AllFinite(nil); !ok || first != -1 {
		s.wrong("AllFinite of nothing: %v, %d", ok, first)
	}
	s.done()
	for _, n := range []int{1, 5, 16, 37, 131} {
		for at := range n {
			s.start("one bad number in place %d of %d", at, n)
			x := s.normal(n, 1)
			x[at] = []float32{float32(math.NaN()), float32(math.Inf(1)), float32(math.Inf(-1))}[s.r.IntN(3)]
			bad := s.in(x)
			list := []*backend.Buffer{s.in(s.uniform(3, -3e38, 3e38)), s.in(nil), bad, bad}
			if ok, first := s.dev.AllFinite(list); ok || first != 2 {
				s.wrong("AllFinite: %v, %d; want false, 2", ok, first)
			}
			if got := s.dev.SumSquares(list[2:]); !math.IsNaN(got) && !math.IsInf(got, 1) {
				s.wrong("SumSquares with %v: %v", x[at], got)
			}
			s.done()
		}
	}
}
