package conformance

import (
	"math"

	"github.com/gollava/gollava/internal/backend"
)

// volumes are [outer, n, inner] of reductions.
var volumes = [][3]int{{1, 1, 1}, {1, 17, 1}, {3, 5, 1}, {7, 1, 33}, {2, 3, 67}, {1, 131, 17}, {33, 31, 1}, {0, 3, 2},
	{2, 1031, 3}, {5, 257, 1}, {1, 1, 257}}

func reduce(s *suite) {
	for _, c := range append([][3]int{{2, 0, 3}}, volumes...) {
		outer, n, inner := c[0], c[1], c[2]
		s.start("[%d %d %d]", outer, n, inner)
		x := s.normal(outer*n*inner, 1)
		sum, mag := make([]float64, outer*inner), make([]float64, outer*inner)
		for i, v := range x {
			k := i/(n*inner)*inner + i%inner
			sum[k] += float64(v)
			mag[k] += math.Abs(float64(v))
		}
		dst := s.out(outer * inner)
		s.dev.Reduce(backend.Sum, dst, s.in(x), outer, n, inner)
		s.within("Sum", dst, sum, func(i int) float64 { return 1e-6 * mag[i] })
		s.done()
	}
}

func maxima(s *suite) {
	for _, c := range volumes {
		for _, hard := range []bool{false, true} {
			outer, n, inner := c[0], c[1], c[2]
			s.start("[%d %d %d], ties and special values: %v", outer, n, inner, hard)
			x := s.normal(outer*n*inner, 1)
			if hard {
				for i := range x {
					switch s.r.IntN(12) {
					case 0:
						x[i] = float32(math.NaN())
					case 1:
						x[i] = float32(math.Inf(1 - 2*s.r.IntN(2)))
					default:
						x[i] = float32(s.r.IntN(5) - 2)
					}
				}
			}
			want, at := make([]float64, outer*inner), make([]int32, outer*inner)
			for o := range outer {
				for j := range inner {
					best := 0
					for i := 1; i < n; i++ {
						top, v := x[(o*n+best)*inner+j], x[(o*n+i)*inner+j]
						if top == top && (v != v || v > top) {
							best = i
						}
					}
					want[o*inner+j], at[o*inner+j] = float64(x[(o*n+best)*inner+j]), int32(best)
				}
			}
			dst, arg, xb := s.out(outer*inner), s.buffer(backend.Int32, outer*inner), s.in(x)
			s.dev.Reduce(backend.Max, dst, xb, outer, n, inner)
			s.near("Max", dst, want, 0, 0)
			s.dev.ArgMax(arg, xb, outer, n, inner)
			for i, g := range arg.Int32() {
				if g != at[i] {
					s.wrong("ArgMax: element %d is %d, want %d", i, g, at[i])
				}
			}
			dy := s.normal(outer*inner, 1)
			grad := make([]float32, len(x))
			for k, v := range dy {
				grad[(k/inner*n+int(at[k]))*inner+k%inner] = v
			}
			dx := s.out(len(x))
			s.dev.MaxGrad(dx, s.ints(at), s.in(dy), outer, n, inner)
			s.exact("MaxGrad", dx, grad)
			s.done()
		}
	}
}

// logSum is ln Σ eˣ.
func logSum(x []float32) float64 {
	top := math.Inf(-1)
	for _, v := range x {
		top = math.Max(top, float64(v))
	}
	if math.IsInf(top, 0) {
		return top
	}
	sum := 0.0
	for _, v := range x {
		sum += math.Exp(float64(v) - top)
	}
	return top + math.Log(sum)
}

func softmax(s *suite) {
	for _, m := range shapes {
		rows, cols := m[0], m[1]
		for _, deviation := range []float64{1, 30, 3000} {
			s.start("%d×%d, deviation %v", rows, cols, deviation)
			n := rows * cols
			x, dy := s.normal(n, deviation), s.normal(n, 1)
			p, logp := make([]float64, n), make([]float64, n)
			p32, log32 := make([]float32, n), make([]float32, n)
			dx, dlog := make([]float64, n), make([]float64, n)
			for r := range rows {
				from, to := r*cols, (r+1)*cols
				z := logSum(x[from:to])
				dot, sum := 0.0, 0.0
				for k := from; k < to; k++ {
					logp[k] = float64(x[k]) - z
					p[k] = math.Exp(logp[k])
					p32[k], log32[k] = float32(p[k]), float32(logp[k])
					dot += float64(p32[k]) * float64(dy[k])
					sum += float64(dy[k])
				}
				for k := from; k < to; k++ {
					dx[k] = float64(p32[k]) * (float64(dy[k]) - dot)
					dlog[k] = float64(dy[k]) - math.Exp(float64(log32[k]))*sum
				}
			}
			xb, dyb := s.in(x), s.in(dy)
			dst, same := s.out(n), s.inout(x)
			s.dev.Softmax(dst, xb, rows, cols)
			s.dev.Softmax(same, same, rows, cols)
			s.near("Softmax", dst, p, 4e-6, 1e-30)
			s.near("Softmax in place", same, p, 4e-6, 1e-30)
			dst, same = s.out(n), s.inout(x)
			s.dev.LogSoftmax(dst, xb, rows, cols)
			s.dev.LogSoftmax(same, same, rows, cols)
			s.near("LogSoftmax", dst, logp, 1e-6, 2e-6+1e-7*deviation)
			s.near("LogSoftmax in place", same, logp, 1e-6, 2e-6+1e-7*deviation)
			dst, same = s.out(n), s.inout(dy)
			s.dev.SoftmaxGrad(dst, s.in(p32), dyb, rows, cols)
			s.dev.SoftmaxGrad(same, s.in(p32), same, rows, cols)
			s.near("SoftmaxGrad", dst, dx, 4e-6, 1e-6)
			s.near("SoftmaxGrad in place", same, dx, 4e-6, 1e-6)
			dst, same = s.out(n), s.inout(dy)
			s.dev.LogSoftmaxGrad(dst, s.in(log32), dyb, rows, cols)
			s.dev.LogSoftmaxGrad(same, s.in(log32), same, rows, cols)
			s.near("LogSoftmaxGrad", dst, dlog, 4e-6, 2e-6*math.Sqrt(float64(cols)))
			s.near("LogSoftmaxGrad in place", same, dlog, 4e-6, 2e-6*math.Sqrt(float64(cols)))
			s.done()
		}
	}
}

// softmaxSpecial: masked elements are −Inf and get probability 0, a NaN spoils its own row and no other.
func softmaxSpecial(s *suite) {
	for _, cols := range []int{2, 5, 16, 17, 37, 131} {
		for at := range cols {
			s.start("%d columns, special values in column %d", cols, at)
			x := s.normal(3*cols, 1)
			x[at], x[cols+at] = float32(math.Inf(-1)), float32(math.NaN())
			p, logp := make([]float64, len(x)), make([]float64, len(x))
			for k, v := range x {
				row := k / cols
				logp[k] = float64(v) - logSum(x[row*cols:][:cols])
				if row == 1 {
					logp[k] = math.NaN()
				}
				p[k] = math.Exp(logp[k])
			}
			dst := s.out(len(x))
			s.dev.Softmax(dst, s.in(x), 3, cols)
			s.near("Softmax", dst, p, 4e-6, 1e-30)
			s.dev.LogSoftmax(dst, s.in(x), 3, cols)
			s.near("LogSoftmax", dst, logp, 1e-6, 2e-6)
			s.done()
		}
	}
}

func crossEntropy(s *suite) {
	for _, m := range shapes {
		rows, cols := m[0], m[1]
		for _, deviation := range []float64{1, 100} {
			s.start("%d×%d, deviation %v", rows, cols, deviation)
			n := rows * cols
			x, labels := s.normal(n, deviation), make([]int32, rows)
			loss, lse, lse32, dx := make([]float64, rows), make([]float64, rows), make([]float32, rows), make([]float64, n)
			for r := range rows {
				labels[r] = int32(s.r.IntN(cols))
				row := x[r*cols : (r+1)*cols]
				lse[r] = logSum(row)
				lse32[r] = float32(lse[r])
				if s.r.IntN(3) == 0 {
					labels[r], lse32[r] = -100, float32(math.NaN())
					continue
				}
				loss[r] = lse[r] - float64(row[labels[r]])
				for j, v := range row {
					dx[r*cols+j] = 0.3 * math.Exp(float64(v)-float64(lse32[r]))
				}
				dx[r*cols+int(labels[r])] -= 0.3
			}
			gotLoss, gotLSE, xb, lb := s.out(rows), s.out(rows), s.in(x), s.ints(labels)
			s.dev.CrossEntropy(gotLoss, gotLSE, xb, lb, rows, cols)
			s.near("loss", gotLoss, loss, 1e-6, 2e-6+2e-7*deviation)
			for r, l := range labels { // what lse an ignored row gets is left open
				if l < 0 {
					gotLSE.Float32()[r] = float32(lse[r])
				}
			}
			s.near("lse", gotLSE, lse, 1e-6, 2e-6)
			dst, same := s.out(n), s.inout(x)
			s.dev.CrossEntropyGrad(dst, xb, s.in(lse32), lb, rows, cols, 0.3)
			s.dev.CrossEntropyGrad(same, same, s.in(lse32), lb, rows, cols, 0.3)
			s.near("gradient", dst, dx, 4e-6, 1e-6)
			s.near("gradient in place", same, dx, 4e-6, 1e-6)
			s.done()
		}
	}
}

func rope(s *suite) {
	for _, c := range [][5]int{{1, 1, 1, 2, 2}, {2, 3, 2, 8, 8}, {3, 17, 5, 6, 4}, {1, 5, 3, 80, 80}, {2, 7, 1, 96, 32},
		{2, 33, 2, 128, 128}, {1, 1, 32, 64, 64}, {2, 4, 3, 10, 0},
		{0, 4, 2, 8, 8}} {
		b, t, heads, d, r := c[0], c[1], c[2], c[3], c[4]
		for form := range 4 {
			own, inverse := form&1 == 1, form&2 == 2
			s.start("x [%d %d %d %d], r=%d, own positions: %v, inverse: %v", b, t, heads, d, r, own, inverse)
			rows := t
			if own {
				rows = b * t
			}
			cos, sin := make([]float32, rows*r/2), make([]float32, rows*r/2)
			for i := range cos {
				a := s.r.Float64() * 7
				cos[i], sin[i] = float32(math.Cos(a)), float32(math.Sin(a))
			}
			x := s.normal(b*t*heads*d, 1)
			want := wide(x)
			for k := range want {
				e, row := k%d, k/(heads*d)
				if !own {
					row %= t
				}
				if e >= r {
					continue
				}
				j := row*(r/2) + e%(r/2)
				c, sn := float64(cos[j]), float64(sin[j])
				if inverse {
					sn = -sn
				}
				if e < r/2 {
					want[k] = float64(x[k])*c - float64(x[k+r/2])*sn
				} else {
					want[k] = float64(x[k])*c + float64(x[k-r/2])*sn
				}
			}
			cb, sb := s.in(cos), s.in(sin)
			dst, same := s.out(len(x)), s.inout(x)
			s.dev.RoPE(dst, s.in(x), cb, sb, b, t, heads, d, r, inverse)
			s.dev.RoPE(same, same, cb, sb, b, t, heads, d, r, inverse)
			s.near("dst", dst, want, 4e-7, 1e-6)
			s.near("in place", same, want, 4e-7, 1e-6)
			s.done()
		}
	}
}
