package cpu

import (
	"fmt"
	"math"
	"math/rand/v2"
	"slices"
	"testing"

	"github.com/gollava/gollava/internal/backend"
	"github.com/stretchr/testify/require"
)

// trial is one kernel on n elements: it gets slices, some of which it writes, and returns what the kernel returns.
type trial struct {
	name     string
	slices   int
	run      func(k *kernels, x [][]float32) []float32
	rel, abs float64 // how far from the Go loop
	sums     bool    // results are sums of all elements: abs counts for each
	positive bool    // of slices
	scale    float32 // of slices; 0: 1
	length   func(n int) int
}

func trials() (all []trial) {
	names := []string{"Identity", "Exp", "Log", "Sqrt", "Rsqrt", "Tanh", "Sigmoid", "ReLU", "SiLU", "GELU", "GELUTanh", "QuickGELU"}
	for op, name := range names {
		all = append(all,
			trial{name: name, slices: 2, run: func(k *kernels, x [][]float32) []float32 { k.unary[op](x[0], x[1]); return nil }, rel: 5e-7, abs: 2e-7, scale: 3},
			trial{name: name + " in place", slices: 1, run: func(k *kernels, x [][]float32) []float32 { k.unary[op](x[0], x[0]); return nil }, rel: 5e-7, abs: 2e-7, scale: 3},
			trial{name: name + " of large numbers", slices: 2, run: func(k *kernels, x [][]float32) []float32 { k.unary[op](x[0], x[1]); return nil }, rel: 1e-5, abs: 1e-6, scale: 60},
			trial{name: name + "'s gradient", slices: 4, run: func(k *kernels, x [][]float32) []float32 { k.unaryGrad[op](x[0], x[1], x[2], x[3]); return nil }, rel: 1e-4, abs: 2e-6})
	}
	for op, name := range []string{"Add", "Sub", "Mul", "Div"} {
		all = append(all,
			trial{name: name, slices: 3, run: func(k *kernels, x [][]float32) []float32 { k.binary[op](x[0], x[1], x[2]); return nil }},
			trial{name: name + " of a number and a slice", slices: 2, run: func(k *kernels, x [][]float32) []float32 { k.left[op](x[0], -1.7, x[1]); return nil }},
			trial{name: name + " of a slice and a number", slices: 2, run: func(k *kernels, x [][]float32) []float32 { k.right[op](x[0], x[1], -1.7); return nil }})
	}
	step := adamwStep{gradScale: 0.5, beta1: 0.9, rest1: 0.1, beta2: 0.99, rest2: 0.01, decay: 0.999, rate: 1e-2, unbias: 1.5, eps: 1e-8}
	halves := func(x []float32) []uint16 {
		h := make([]uint16, len(x))
		goKernels.narrow(h, x)
		return h
	}
	pairs := func(f func(k *kernels) func(dst, x, cos, sin []float32)) func(k *kernels, x [][]float32) []float32 {
		return func(k *kernels, x [][]float32) []float32 {
			n := len(x[0]) / 2
			f(k)(x[0], x[1], x[2][:n], x[3][:n])
			return nil
		}
	}
	even := func(n int) int { return n &^ 1 }
	return append(all,
		trial{name: "affine", slices: 2, run: func(k *kernels, x [][]float32) []float32 { k.affine(x[0], x[1], 2.5, -1); return nil }, rel: 2e-7, abs: 3e-7},
		trial{name: "axpy", slices: 2, run: func(k *kernels, x [][]float32) []float32 { k.axpy(x[0], x[1], -0.7); return nil }, rel: 2e-7, abs: 3e-7},
		trial{name: "axpby", slices: 3, run: func(k *kernels, x [][]float32) []float32 { k.axpby(x[0], x[1], x[2], -0.7, 1.3); return nil }, rel: 2e-7, abs: 6e-7},
		trial{name: "swiglu", slices: 3, run: func(k *kernels, x [][]float32) []float32 { k.swiglu(x[0], x[1], x[2]); return nil }, rel: 5e-7, abs: 2e-7},
		trial{name: "swigluGrad", slices: 5, run: func(k *kernels, x [][]float32) []float32 { k.swigluGrad(x[0], x[1], x[2], x[3], x[4]); return nil }, rel: 1e-4, abs: 2e-6},
		trial{name: "dropout", slices: 2, run: func(k *kernels, x [][]float32) []float32 {
			k.dropout(x[0], x[1], 0.4, 0xfedcba9876543210, 77)
			return nil
		}},
		trial{name: "sum", slices: 1, run: func(k *kernels, x [][]float32) []float32 { return []float32{k.sum(x[0])} }, abs: 3e-7, sums: true},
		trial{name: "max", slices: 1, run: func(k *kernels, x [][]float32) []float32 { return []float32{k.max(x[0])} }},
		trial{name: "dot", slices: 2, run: func(k *kernels, x [][]float32) []float32 { return []float32{k.dot(x[0], x[1])} }, abs: 5e-7, sums: true},
		trial{name: "deviation", slices: 1, run: func(k *kernels, x [][]float32) []float32 { return []float32{k.deviation(x[0], 3)} }, rel: 1e-6, abs: 1e-6, sums: true},
		trial{name: "sumSquares", slices: 1, run: func(k *kernels, x [][]float32) []float32 { return []float32{float32(k.sumSquares(x[0]))} }, rel: 2e-7},
		trial{name: "finite", slices: 1, run: func(k *kernels, x [][]float32) []float32 { return []float32{truth(k.finite(x[0]))} }},
		trial{name: "expSub", slices: 2, run: func(k *kernels, x [][]float32) []float32 { return []float32{k.expSub(x[0], x[1], 1.5)} }, rel: 1e-6},
		trial{name: "expSum", slices: 1, run: func(k *kernels, x [][]float32) []float32 { return []float32{k.expSum(x[0], -1.5)} }, rel: 1e-6},
		trial{name: "expScale", slices: 2, run: func(k *kernels, x [][]float32) []float32 { k.expScale(x[0], x[1], -1.5, 0.3); return nil }, rel: 1e-6},
		trial{name: "shift", slices: 2, run: func(k *kernels, x [][]float32) []float32 { k.shift(x[0], x[1], -1.5, 0.3); return nil }},
		trial{name: "softmaxGrad", slices: 3, run: func(k *kernels, x [][]float32) []float32 { k.softmaxGrad(x[0], x[1], x[2], 0.3); return nil }},
		trial{name: "logSoftmaxGrad", slices: 3, run: func(k *kernels, x [][]float32) []float32 { k.logSoftmaxGrad(x[0], x[1], x[2], 0.3); return nil }, rel: 1e-6, abs: 1e-6},
		trial{name: "normalize", slices: 3, run: func(k *kernels, x [][]float32) []float32 { k.normalize(x[0], x[1], x[2], nil, 0.3, 1.7); return nil }},
		trial{name: "normalize with bias", slices: 4, run: func(k *kernels, x [][]float32) []float32 { k.normalize(x[0], x[1], x[2], x[3], 0.3, 1.7); return nil }, rel: 2e-7, abs: 1e-6},
		trial{name: "normSums", slices: 3, run: func(k *kernels, x [][]float32) []float32 {
			a, b := k.normSums(x[0], x[1], x[2], 0.3)
			return []float32{a, b}
		}, abs: 1e-6, sums: true},
		trial{name: "normGrad", slices: 4, run: func(k *kernels, x [][]float32) []float32 {
			k.normGrad(x[0], x[1], x[2], x[3], 0.3, 1.7, 0.2, -0.1)
			return nil
		}, rel: 2e-7, abs: 2e-6},
		trial{name: "normCols", slices: 4, run: func(k *kernels, x [][]float32) []float32 { k.normCols(x[0], x[1], x[2], x[3], 0.3, 1.7); return nil }, rel: 2e-7, abs: 2e-6},
		trial{name: "normCols without db", slices: 3, run: func(k *kernels, x [][]float32) []float32 { k.normCols(x[0], nil, x[1], x[2], 0.3, 1.7); return nil }, rel: 2e-7, abs: 2e-6},
		trial{name: "normCols without dw", slices: 3, run: func(k *kernels, x [][]float32) []float32 { k.normCols(nil, x[0], x[1], x[2], 0.3, 1.7); return nil }},
		trial{name: "rope", slices: 4, run: pairs(func(k *kernels) func(dst, x, cos, sin []float32) { return k.rope }), length: even, rel: 2e-7, abs: 1e-6},
		trial{name: "ropeBack", slices: 4, run: pairs(func(k *kernels) func(dst, x, cos, sin []float32) { return k.ropeBack }), length: even, rel: 2e-7, abs: 1e-6},
		trial{name: "adamw", slices: 4, run: func(k *kernels, x [][]float32) []float32 { k.adamw(x[0], x[1], x[2], x[3], step); return nil }, positive: true, rel: 4e-7, abs: 4e-7},
		trial{name: "narrow", slices: 1, run: func(k *kernels, x [][]float32) []float32 {
			h := make([]uint16, len(x[0])+1)
			h[len(x[0])] = 7
			k.narrow(h[:len(x[0])], x[0])
			w := make([]float32, len(h))
			goKernels.widen(w, h)
			return w
		}},
		trial{name: "widen", slices: 2, run: func(k *kernels, x [][]float32) []float32 { k.widen(x[0], halves(x[1])); return nil }},
		trial{name: "fromInt", slices: 1, run: func(k *kernels, x [][]float32) []float32 {
			ids := make([]int32, len(x[0]))
			for i, v := range x[0] {
				ids[i] = int32(math.Float32bits(v))
			}
			k.fromInt(x[0], ids)
			return nil
		}},
	)
}

func truth(b bool) float32 {
	if b {
		return 1
	}
	return 0
}

// TestKernels compares every level's kernels with the Go loops at every length up to two blocks and beyond, at odd addresses, with special
// values in all places, and watches what lies around the slices.
func TestKernels(t *testing.T) {
	special := []float32{nan, inf, -inf, 0, float32(math.Copysign(0, -1)), 1e-45, -1e-40, 1e-38, 88, -87.5, -103.9, -110, 1e-7, 3e38, -3e38}
	r := rand.New(rand.NewPCG(1, 2))
	eachLevel(t, func(t *testing.T) {
		for _, c := range trials() {
			for _, n := range append(upTo(70), 127, 129, 500) {
				for _, with := range []bool{false, true} {
					if c.length != nil {
						n = c.length(n)
					}
					huge := 2 // with more operands, rounding once or twice decides whether they overflow
					if c.slices <= 2 && !c.sums {
						huge = 0
					}
					want := make([]guarded, c.slices)
					for i := range want {
						want[i] = guard(r, n)
						for j := range want[i].x {
							v := float32(r.NormFloat64()) * max(c.scale, 1)
							if c.positive && v < 0 {
								v = -v
							}
							want[i].x[j] = v
						}
						if with && n > 0 && !c.positive {
							for range 1 + r.IntN(2) {
								want[i].x[r.IntN(n)] = special[r.IntN(len(special)-huge)]
							}
						}
					}
					got := make([]guarded, c.slices)
					for i := range got {
						got[i] = want[i].clone(r)
					}
					what := fmt.Sprintf("%s, n=%d, special=%v", c.name, n, with)
					results := [2][]float32{c.run(&goKernels, parts(want)), c.run(vectors(), parts(got))}
					abs, beside := c.abs, c.abs
					if with { // numbers up to 110
						abs, beside = 200*abs, 200*beside
					}
					if c.sums {
						abs *= float64(n + 1)
					}
					agree(t, what+": result", results[1], results[0], c.rel, abs)
					for i := range want {
						agree(t, fmt.Sprintf("%s: slice %d", what, i), got[i].x, want[i].x, c.rel, beside)
						require.True(t, got[i].whole(), "%s: slice %d: something beside it was overwritten", what, i)
					}
				}
			}
		}
	})
}

// TestWidths: kernels of either register width compute the same bits.
func TestWidths(t *testing.T) {
	if supported() < avx512 {
		t.Skip("this processor or build has no AVX-512")
	}
	r := rand.New(rand.NewPCG(3, 4))
	for _, c := range trials() {
		for _, n := range append(upTo(70), 500) {
			if c.length != nil {
				n = c.length(n)
			}
			var narrow, wide []guarded
			for range c.slices {
				g := guard(r, n)
				for j := range g.x {
					g.x[j] = float32(r.NormFloat64()) * 3
				}
				narrow, wide = append(narrow, g), append(wide, g.clone(r))
			}
			restore := useLevel(avx2)
			want := c.run(vectors(), parts(narrow))
			restore()
			restore = useLevel(avx512)
			got := c.run(vectors(), parts(wide))
			restore()
			what := fmt.Sprintf("%s, n=%d", c.name, n)
			agree(t, what, got, want, 0, 0)
			for i, g := range narrow {
				agree(t, what, wide[i].x, g.x, 0, 0)
			}
		}
	}
}

var nan, inf = float32(math.NaN()), float32(math.Inf(1))

func upTo(n int) (out []int) {
	for i := range n {
		out = append(out, i)
	}
	return out
}

// guarded is a slice at an odd place between guard elements.
type guarded struct {
	memory, x []float32
	from      int
}

const edge = 12345.678

func guard(r *rand.Rand, n int) guarded {
	from := 1 + r.IntN(33)
	g := guarded{memory: make([]float32, from+n+33), from: from}
	for i := range g.memory {
		g.memory[i] = edge
	}
	g.x = g.memory[from : from+n : from+n]
	return g
}

func (g guarded) clone(r *rand.Rand) guarded {
	o := guard(r, len(g.x))
	copy(o.x, g.x)
	return o
}

func (g guarded) whole() bool {
	beside := slices.Concat(g.memory[:g.from], g.memory[g.from+len(g.x):])
	return !slices.ContainsFunc(beside, func(v float32) bool { return v != edge })
}

func parts(g []guarded) (x [][]float32) {
	for _, s := range g {
		x = append(x, s.x)
	}
	return x
}

func agree(t *testing.T, what string, got, want []float32, rel, abs float64) {
	t.Helper()
	require.Len(t, got, len(want), what)
	slack := 0.0 // of denormal numbers, where rel says nothing
	if rel > 0 {
		slack = 0x1p-149
	}
	for i, w := range want {
		g := got[i]
		d := math.Abs(float64(g) - float64(w))
		if w != w && g != g || g == w || d <= abs+rel*math.Abs(float64(w))+slack || math.Abs(float64(w)) > 3e38 && math.Abs(float64(g)) > 3e38 && w*g > 0 {
			continue
		}
		t.Fatalf("%s: element %d of %d is %v (%#08x), want %v (%#08x)", what, i, len(want), g, math.Float32bits(g), w, math.Float32bits(w))
	}
}

// TestAccuracy measures functions against float64 over their whole range.
func TestAccuracy(t *testing.T) {
	for _, c := range []struct {
		op       backend.Unary
		f        func(x float64) float64
		from, to float64
		ulps     float64 // of the result
		abs      float64 // or so near
	}{
		{backend.Exp, math.Exp, -104, 88.72, 1.5, 0},
		{backend.Exp, math.Exp, -1, 1, 1.5, 0},
		{backend.Log, math.Log, 1e-38, 1e-36, 2, 0},
		{backend.Log, math.Log, 0.3, 3, 2, 1e-9},
		{backend.Log, math.Log, 1, 1e30, 2, 0},
		{backend.Tanh, math.Tanh, -1, 1, 3, 0},
		{backend.Tanh, math.Tanh, -10, 10, 3, 0},
		{backend.Sigmoid, func(x float64) float64 { return 1 / (1 + math.Exp(-x)) }, -87, 20, 4, 0},
		{backend.SiLU, func(x float64) float64 { return x / (1 + math.Exp(-x)) }, -80, 20, 4, 0},
		{backend.GELU, func(x float64) float64 { return x * math.Erfc(-x/math.Sqrt2) / 2 }, -3, 10, 24, 0},
		{backend.GELUTanh, func(x float64) float64 { return x / (1 + math.Exp(-2*math.Sqrt(2/math.Pi)*(x+0.044715*x*x*x))) }, -3, 10, 24, 0},
		{backend.QuickGELU, func(x float64) float64 { return x / (1 + math.Exp(-1.702*x)) }, -10, 10, 24, 0},
	} {
		eachLevel(t, func(t *testing.T) {
			const n = 20000
			x, y := make([]float32, n), make([]float32, n)
			for i := range x {
				x[i] = float32(c.from + (c.to-c.from)*float64(i)/n)
			}
			vectors().unary[c.op](y, x)
			worst, at := 0.0, 0
			for i, v := range y {
				w := c.f(float64(x[i]))
				d := math.Abs(float64(v) - w)
				if d <= c.abs {
					continue
				}
				if ulps := d / math.Max(math.Abs(w)*0x1p-24, 0x1p-149); ulps > worst { // half a unit, at least
					worst, at = ulps, i
				}
			}
			require.LessOrEqual(t, worst/2, c.ulps, "op %d: %v at %v", c.op, y[at], x[at])
		})
	}
}
