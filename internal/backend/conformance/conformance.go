// Package conformance checks that a device computes what package backend says: every operation on fresh random inputs,
// against plain float64 loops written here independently of any device.
//
// Besides values it watches memory: buffers start at odd offsets between guard elements that must survive, destinations
// start as NaN so that a skipped or half-written one shows, and sources must come out of every operation as they went
// in.
package conformance

import (
	"fmt"
	"math"
	"math/rand/v2"
	"testing"

	"github.com/gollava/gollava/internal/backend"
)

// Run tests every operation of dev, whose memory must be addressable. The seed of the inputs is logged when a test
// fails.
func Run(t *testing.T, dev backend.Device) {
	if !dev.Host() {
		t.Fatalf("conformance: device %s: its memory must be addressable to be filled and compared", dev.Name())
	}
	seed := rand.Uint64()
	groups := []struct {
		name string
		test func(*suite)
	}{
		{"Memory", memory}, {"Copy", copies}, {"Cast", casts}, {"CopyBlocks", copyBlocks}, {"Permute", permute},
		{"Rows", gatherScatter},
		{"Patches", patches}, {"Expand", expand},
		{"Unary", unary}, {"UnarySpecial", unarySpecial}, {"UnaryGrad", unaryGrad}, {"Affine", affine}, {"Binary", binary},
		{"SumTo", sumTo},
		{"Dropout", dropout}, {"SwiGLU", swiglu}, {"Sums", sums},
		{"Reduce", reduce}, {"Max", maxima}, {"Softmax", softmax}, {"SoftmaxSpecial", softmaxSpecial},
		{"CrossEntropy", crossEntropy}, {"RoPE", rope},
		{"RMSNorm", rmsNorm}, {"LayerNorm", layerNorm}, {"L2Normalize", l2Normalize},
		{"MatMul", matmul}, {"MatMulBatch", matmulBatch}, {"MatMulEpilogue", matmulEpilogue},
		{"MatMulSpecial", matmulSpecial}, {"MatMulDecode", decodeRows}, {"BlockCast", blockCasts},
		{"BlockMatMul", blockProducts},
		{"Attention", attention}, {"AttentionRandom", attentionRandom},
		{"Conv", conv}, {"ConvSpecial", convSpecial},
		{"Resample", resample}, {"MaxPool", maxPool}, {"GridSample", gridSample},
		{"GroupNorm", groupNorm}, {"TopK", topK}, {"CumSum", cumSum}, {"GatherLines", gatherLines}, {"Select", selects},
		{"AdamW", adamW}, {"Threads", threads},
	}
	for _, g := range groups {
		t.Run(g.name, func(t *testing.T) {
			s := &suite{T: t, dev: dev, r: rand.New(rand.NewPCG(seed, 1))}
			defer func() {
				if t.Failed() {
					t.Logf("device %s, seed %#x", dev.Name(), seed)
				}
			}()
			g.test(s)
		})
	}
}

// sizes are vector lengths around the widths of SIMD registers and blocks, none of them friendly.
var sizes = []int{0, 1, 2, 3, 7, 8, 9, 15, 16, 17, 31, 33, 67, 127, 257, 1031, 5003}

// shapes are rows and columns of matrices.
var shapes = [][2]int{{0, 5}, {1, 1}, {1, 17}, {3, 1}, {2, 3}, {5, 16}, {7, 33}, {4, 67}, {3, 131}, {33, 31}, {2, 1031},
	{65, 257}}

type suite struct {
	*testing.T
	dev   backend.Device
	r     *rand.Rand
	what  string // the case at hand, for messages
	made  []made
	fault bool // the case has failed: say no more about it
}

// made is a buffer of the case at hand within its guards.
type made struct {
	whole, part *backend.Buffer
	from        int
	before      []uint32 // what a source held, else nil
}

func (s *suite) start(format string, args ...any) {
	s.what, s.fault = fmt.Sprintf(format, args...), false
}

func (s *suite) wrong(format string, args ...any) {
	if !s.fault {
		s.Errorf("%s: %s", s.what, fmt.Sprintf(format, args...))
	}
	s.fault = true
}

const guard = 0x7fc5dead // a NaN, whose lower half is no small number either

func bits(b *backend.Buffer) []uint32 {
	out := make([]uint32, b.Len)
	switch b.DType {
	case backend.Float32:
		for i, v := range b.Float32() {
			out[i] = math.Float32bits(v)
		}
	case backend.BFloat16:
		for i, v := range b.BFloat16() {
			out[i] = uint32(v)
		}
	case backend.Int32:
		for i, v := range b.Int32() {
			out[i] = uint32(v)
		}
	default:
		out = out[:0]
		for _, v := range b.Raw() {
			out = append(out, uint32(v))
		}
	}
	return out
}

// buffer returns n elements at an odd place between guards, all of them set to the guard's NaN.
func (s *suite) buffer(dt backend.DType, n int) *backend.Buffer {
	from := 1 + s.r.IntN(16)
	whole := s.dev.Alloc(dt, n+from+3)
	if whole.Len != n+from+3 || whole.DType != dt || whole.Device != s.dev {
		s.wrong("Alloc(%v, %d) returned %d elements of %v", dt, n+from+3, whole.Len, whole.DType)
	}
	for i := range whole.Len {
		switch dt {
		case backend.Float32:
			whole.Float32()[i] = math.Float32frombits(guard)
		case backend.BFloat16:
			whole.BFloat16()[i] = guard >> 16
		default:
			whole.Int32()[i] = guard
		}
	}
	part := whole.Slice(from, n)
	s.made = append(s.made, made{whole: whole, part: part, from: from})
	return part
}

// out is a destination.
func (s *suite) out(n int) *backend.Buffer { return s.buffer(backend.Float32, n) }

// in is a source that holds x.
func (s *suite) in(x []float32) *backend.Buffer {
	b := s.out(len(x))
	copy(b.Float32(), x)
	s.freeze()
	return b
}

// inout is a destination that holds x.
func (s *suite) inout(x []float32) *backend.Buffer {
	b := s.out(len(x))
	copy(b.Float32(), x)
	return b
}

func (s *suite) ints(x []int32) *backend.Buffer {
	b := s.buffer(backend.Int32, len(x))
	copy(b.Int32(), x)
	s.freeze()
	return b
}

// half is a bfloat16 source of x rounded; x is changed to the rounded values.
func (s *suite) half(x []float32) *backend.Buffer {
	b := s.buffer(backend.BFloat16, len(x))
	for i, v := range x {
		b.BFloat16()[i] = narrow(v)
		x[i] = widen(narrow(v))
	}
	s.freeze()
	return b
}

func (s *suite) freeze() {
	m := &s.made[len(s.made)-1]
	m.before = bits(m.part)
}

// done ends the case: guards and sources must be as they were.
func (s *suite) done() {
	for k, m := range s.made {
		edge := uint32(guard)
		if m.whole.DType == backend.BFloat16 {
			edge >>= 16
		}
		for i, v := range bits(m.whole) {
			if (i < m.from || i >= m.from+m.part.Len) && v != edge && !m.whole.DType.Quantized() {
				s.wrong("buffer %d of %d elements: element %d, outside of it, was overwritten", k, m.part.Len, i-m.from)
			}
		}
		if m.before != nil {
			for i, v := range bits(m.part) {
				if v != m.before[i] {
					s.wrong("buffer %d, a source: element %d was overwritten", k, i)
				}
			}
		}
		s.dev.Free(m.whole)
	}
	s.made = s.made[:0]
}

// near requires |got−want| ≤ abs + rel·|want| in every element, NaN exactly where want has it, and Inf likewise.
func (s *suite) near(name string, got *backend.Buffer, want []float64, rel, abs float64) {
	s.T.Helper()
	s.within(name, got, want, func(i int) float64 { return abs + rel*math.Abs(want[i]) })
}

// within is near with a tolerance for each element.
func (s *suite) within(name string, got *backend.Buffer, want []float64, tolerance func(i int) float64) {
	s.T.Helper()
	if got.Len != len(want) {
		s.wrong("%s: the test compares %d with %d elements", name, got.Len, len(want))
		return
	}
	for i, g := range got.Float32() {
		w := want[i]
		d, limit := math.Abs(float64(g)-w), tolerance(i)
		switch {
		case math.IsNaN(w) && g != g:
		case math.IsInf(float64(float32(w)), 0) &&
			(float64(g) == float64(float32(w)) || !math.IsInf(w, 0) && math.Abs(float64(g)) > 3.4e38):
		case !math.IsInf(w, 0) && d <= limit:
		default:
			s.wrong("%s: element %d of %d is %v, want %v (off by %.3g, allowed %.3g)", name, i, len(want), g, w, d, limit)
			return
		}
	}
}

// exact requires the bits of want.
func (s *suite) exact(name string, got *backend.Buffer, want []float32) {
	s.T.Helper()
	for i, g := range got.Float32() {
		if math.Float32bits(g) != math.Float32bits(want[i]) {
			s.wrong("%s: element %d of %d is %v, want exactly %v", name, i, len(want), g, want[i])
			return
		}
	}
}

// normal returns n samples of mean 0 and the given deviation.
func (s *suite) normal(n int, deviation float64) []float32 {
	x := make([]float32, n)
	for i := range x {
		x[i] = float32(s.r.NormFloat64() * deviation)
	}
	return x
}

// uniform returns n samples of [lo, hi).
func (s *suite) uniform(n int, lo, hi float64) []float32 {
	x := make([]float32, n)
	for i := range x {
		x[i] = float32(lo + s.r.Float64()*(hi-lo))
	}
	return x
}

func widen(h uint16) float32 { return math.Float32frombits(uint32(h) << 16) }

// narrow rounds to bfloat16 by looking at the two neighbours, the even one on a tie.
func narrow(v float32) uint16 {
	u := math.Float32bits(v)
	if v != v {
		return uint16(u>>16) | 0x40
	}
	down, lost := uint16(u>>16), u&0xffff
	if lost > 0x8000 || lost == 0x8000 && down&1 == 1 {
		return down + 1
	}
	return down
}

func wide(x []float32) []float64 {
	o := make([]float64, len(x))
	for i, v := range x {
		o[i] = float64(v)
	}
	return o
}

func product(dims []int) int {
	n := 1
	for _, d := range dims {
		n *= d
	}
	return n
}
