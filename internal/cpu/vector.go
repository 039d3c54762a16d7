package cpu

import (
	"math"

	"github.com/gollava/gollava/internal/backend"
)

// functions is the number of backend.Unary functions.
const functions = int(backend.QuickGELU) + 1

// kernels are the loops over slices that everything but products is made of. All slices of a call are as long as its
// first, and a destination may be one of the sources but not overlap it otherwise. The Go loops below say what each
// computes.
type kernels struct {
	unary     [functions]func(dst, x []float32)       // by backend.Unary
	unaryGrad [functions]func(dx, x, y, dy []float32) // dx = dy·f'(x), y being f(x)

	binary [4]func(dst, a, b []float32)                   // by backend.Binary
	left   [4]func(dst []float32, a float32, b []float32) // a is one number
	right  [4]func(dst, a []float32, b float32)           // b is one number

	affine func(dst, x []float32, a, b float32)    // dst = a·x + b
	axpy   func(dst, x []float32, a float32)       // dst += a·x
	axpby  func(dst, x, y []float32, a, b float32) // dst = a·x + b·y

	swiglu     func(dst, gate, up []float32)
	swigluGrad func(dGate, dUp, gate, up, dy []float32)
	dropout    func(dst, x []float32, p float32, key, first uint64) // the random numbers from the first on

	sum        func(x []float32) float32
	max        func(x []float32) float32            // NaN wins; −Inf of nothing
	dot        func(x, y []float32) float32         // Σ x·y
	deviation  func(x []float32, m float32) float32 // Σ (x−m)²
	sumSquares func(x []float32) float64            // Σ x², in float64
	finite     func(x []float32) bool

	expSub         func(dst, x []float32, m float32) float32 // dst = e^(x−m); returns its sum
	expSum         func(x []float32, m float32) float32      // Σ e^(x−m)
	expScale       func(dst, x []float32, m, scale float32)  // dst = scale·e^(x−m)
	shift          func(dst, x []float32, m, l float32)      // dst = (x−m) − l
	softmaxGrad    func(dx, y, dy []float32, s float32)      // dx = y·(dy−s)
	logSoftmaxGrad func(dx, y, dy []float32, s float32)      // dx = dy − s·eʸ

	normalize func(dst, x, w, b []float32, m, r float32)               // dst = (x−m)·r·w + b; b may be nil
	normSums  func(x, w, dy []float32, m float32) (sum, along float32) // Σ dy·w and Σ dy·w·(x−m)
	normGrad  func(dx, x, w, dy []float32, m, r, along, shift float32) // dx = dy·w·r + (x−m)·along + shift
	normCols  func(dw, db, x, dy []float32, m, r float32)              // dw += dy·((x−m)·r); db += dy; db may be nil

	rope     func(dst, x, cos, sin []float32) // pairs (j, j+len(cos)) of x turned by the angles
	ropeBack func(dst, x, cos, sin []float32) // turned back
	adamw    func(p, g, m, v []float32, c adamwStep)

	// 8 rows of k elements, a multiple of 8, become columns
	transpose func(k int, dst *float32, dRow int, src *float32, sRow int)

	narrow  func(dst []uint16, x []float32) // float32 to bfloat16
	widen   func(dst []float32, x []uint16) // bfloat16 to float32
	fromInt func(dst []float32, x []int32)
}

var goKernels = kernels{
	unary:     unaryLoops(),
	unaryGrad: gradLoops(),

	binary: [4]func(dst, a, b []float32){
		backend.Add: func(dst, a, b []float32) {
			a, b = a[:len(dst)], b[:len(dst)]
			for i := range dst {
				dst[i] = a[i] + b[i]
			}
		},
		backend.Sub: func(dst, a, b []float32) {
			a, b = a[:len(dst)], b[:len(dst)]
			for i := range dst {
				dst[i] = a[i] - b[i]
			}
		},
		backend.Mul: func(dst, a, b []float32) {
			a, b = a[:len(dst)], b[:len(dst)]
			for i := range dst {
				dst[i] = a[i] * b[i]
			}
		},
		backend.Div: func(dst, a, b []float32) {
			a, b = a[:len(dst)], b[:len(dst)]
			for i := range dst {
				dst[i] = a[i] / b[i]
			}
		},
	},
	left:  leftLoops(),
	right: rightLoops(),

	affine: func(dst, x []float32, a, b float32) {
		for i, v := range x[:len(dst)] {
			dst[i] = a*v + b
		}
	},
	axpy: func(dst, x []float32, a float32) {
		for i, v := range x[:len(dst)] {
			dst[i] += a * v
		}
	},
	axpby: func(dst, x, y []float32, a, b float32) {
		y = y[:len(dst)]
		for i, v := range x[:len(dst)] {
			dst[i] = a*v + b*y[i]
		}
	},

	swiglu: func(dst, gate, up []float32) {
		up = up[:len(dst)]
		for i, v := range gate[:len(dst)] {
			dst[i] = v / (1 + exp(-v)) * up[i]
		}
	},
	swigluGrad: func(dGate, dUp, gate, up, dy []float32) {
		for i, v := range gate[:len(dGate)] {
			s, y := sigmoid(v), dy[i]
			dGate[i], dUp[i] = y*up[i]*(s+v*s*(1-s)), y*(v*s)
		}
	},
	dropout: func(dst, x []float32, p float32, key, first uint64) {
		scale := 1 / (1 - p)
		for i, v := range x[:len(dst)] {
			if backend.Uniform(key, first+uint64(i)) < p {
				v = 0
			}
			dst[i] = v * scale
		}
	},

	sum: func(x []float32) float32 {
		var s [4]float64
		for ; len(x) >= 4; x = x[4:] {
			s[0] += float64(x[0])
			s[1] += float64(x[1])
			s[2] += float64(x[2])
			s[3] += float64(x[3])
		}
		for _, v := range x {
			s[0] += float64(v)
		}
		return float32(s[0] + s[1] + (s[2] + s[3]))
	},
	max: func(x []float32) float32 {
		m := float32(math.Inf(-1))
		for _, v := range x {
			if v > m || v != v {
				m = v
			}
			if m != m {
				break
			}
		}
		return m
	},
	dot: func(x, y []float32) float32 {
		y = y[:len(x)]
		s := 0.0
		for i, v := range x {
			s += float64(v * y[i])
		}
		return float32(s)
	},
	deviation: func(x []float32, m float32) float32 {
		s := 0.0
		for _, v := range x {
			s += float64((v - m) * (v - m))
		}
		return float32(s)
	},
	sumSquares: func(x []float32) float64 {
		s := 0.0
		for _, v := range x {
			s += float64(v) * float64(v)
		}
		return s
	},
	finite: func(x []float32) bool {
		for _, v := range x {
			if v-v != 0 {
				return false
			}
		}
		return true
	},

	expSub: func(dst, x []float32, m float32) float32 {
		s := 0.0
		for i, v := range x[:len(dst)] {
			e := exp(v - m)
			dst[i] = e
			s += float64(e)
		}
		return float32(s)
	},
	expSum: func(x []float32, m float32) float32 {
		s := 0.0
		for _, v := range x {
			s += float64(exp(v - m))
		}
		return float32(s)
	},
	expScale: func(dst, x []float32, m, scale float32) {
		for i, v := range x[:len(dst)] {
			dst[i] = scale * exp(v-m)
		}
	},
	shift: func(dst, x []float32, m, l float32) {
		for i, v := range x[:len(dst)] {
			dst[i] = (v - m) - l
		}
	},
	softmaxGrad: func(dx, y, dy []float32, s float32) {
		dy = dy[:len(dx)]
		for i, v := range y[:len(dx)] {
			dx[i] = v * (dy[i] - s)
		}
	},
	logSoftmaxGrad: func(dx, y, dy []float32, s float32) {
		dy = dy[:len(dx)]
		for i, v := range y[:len(dx)] {
			dx[i] = dy[i] - s*exp(v)
		}
	},

	normalize: func(dst, x, w, b []float32, m, r float32) {
		x, w = x[:len(dst)], w[:len(dst)]
		if b == nil {
			for i, v := range x {
				dst[i] = (v - m) * r * w[i]
			}
			return
		}
		b = b[:len(dst)]
		for i, v := range x {
			dst[i] = (v-m)*r*w[i] + b[i]
		}
	},
	normSums: func(x, w, dy []float32, m float32) (float32, float32) {
		w, dy = w[:len(x)], dy[:len(x)]
		sum, along := 0.0, 0.0
		for i, v := range x {
			g := dy[i] * w[i]
			sum += float64(g)
			along += float64(g * (v - m))
		}
		return float32(sum), float32(along)
	},
	normGrad: func(dx, x, w, dy []float32, m, r, along, shift float32) {
		w, dy = w[:len(dx)], dy[:len(dx)]
		for i, v := range x[:len(dx)] {
			dx[i] = dy[i]*w[i]*r + (v-m)*along + shift
		}
	},
	normCols: func(dw, db, x, dy []float32, m, r float32) {
		x = x[:len(dy)]
		if db != nil {
			for i, v := range dy {
				db[i] += v
			}
		}
		if dw != nil {
			for i, v := range dy {
				dw[i] += v * ((x[i] - m) * r)
			}
		}
	},

	rope: func(dst, x, cos, sin []float32) {
		n := len(cos)
		dst, x, sin = dst[:2*n], x[:2*n], sin[:n]
		for j, c := range cos {
			a, b, s := x[j], x[n+j], sin[j]
			dst[j], dst[n+j] = a*c-b*s, b*c+a*s
		}
	},
	ropeBack: func(dst, x, cos, sin []float32) {
		n := len(cos)
		dst, x, sin = dst[:2*n], x[:2*n], sin[:n]
		for j, c := range cos {
			a, b, s := x[j], x[n+j], sin[j]
			dst[j], dst[n+j] = a*c+b*s, b*c-a*s
		}
	},
	adamw: func(p, g, m, v []float32, c adamwStep) {
		g, m, v = g[:len(p)], m[:len(p)], v[:len(p)]
		for i, d := range g {
			d *= c.gradScale
			m[i] = c.beta1*m[i] + c.rest1*d
			v[i] = c.beta2*v[i] + c.rest2*(d*d)
			p[i] = p[i]*c.decay - c.rate*m[i]/(float32(math.Sqrt(float64(v[i])))*c.unbias+c.eps)
		}
	},

	transpose: func(k int, dst *float32, dRow int, src *float32, sRow int) {
		for j := range 8 {
			for p, v := range elements(src, j*sRow, k) {
				*index(dst, p*dRow+j) = v
			}
		}
	},

	narrow: narrowGo,
	widen: func(dst []float32, x []uint16) {
		for i, v := range x[:len(dst)] {
			dst[i] = math.Float32frombits(uint32(v) << 16)
		}
	},
	fromInt: func(dst []float32, x []int32) {
		for i, v := range x[:len(dst)] {
			dst[i] = float32(v)
		}
	},
}

// unaryLoops returns the loops of all functions of one number.
func unaryLoops() (loops [functions]func(dst, x []float32)) {
	for op := range backend.Unary(functions) {
		loops[op] = func(dst, x []float32) {
			for i, v := range x[:len(dst)] {
				dst[i] = function(op, v)
			}
		}
	}
	return loops
}

// gradLoops returns the loops of their gradients.
func gradLoops() (loops [functions]func(dx, x, y, dy []float32)) {
	for op := range backend.Unary(functions) {
		loops[op] = func(dx, x, y, dy []float32) {
			for i, v := range x[:len(dx)] {
				dx[i] = dy[i] * slope(op, v, y[i])
			}
		}
	}
	return loops
}

func leftLoops() (loops [4]func(dst []float32, a float32, b []float32)) {
	for op := range backend.Div + 1 {
		loops[op] = func(dst []float32, a float32, b []float32) {
			for i, v := range b[:len(dst)] {
				dst[i] = combine(op, a, v)
			}
		}
	}
	return loops
}

func rightLoops() (loops [4]func(dst, a []float32, b float32)) {
	for op := range backend.Div + 1 {
		loops[op] = func(dst, a []float32, b float32) {
			for i, v := range a[:len(dst)] {
				dst[i] = combine(op, v, b)
			}
		}
	}
	return loops
}

func combine(op backend.Binary, a, b float32) float32 {
	switch op {
	case backend.Add:
		return a + b
	case backend.Sub:
		return a - b
	case backend.Mul:
		return a * b
	case backend.Less:
		return zeroOrOne(a < b)
	case backend.LessEqual:
		return zeroOrOne(a <= b)
	case backend.Equal:
		return zeroOrOne(a == b)
	}
	return a / b
}

func zeroOrOne(b bool) float32 {
	if b {
		return 1
	}
	return 0
}

// narrowGo rounds to nearest even; NaN stays a quiet NaN.
func narrowGo(dst []uint16, x []float32) {
	for i, v := range x[:len(dst)] {
		u := math.Float32bits(v)
		if r := uint16((u + 0x7fff + u>>16&1) >> 16); v == v {
			dst[i] = r
		} else {
			dst[i] = uint16(u>>16) | 0x40
		}
	}
}
