// Package tensortest helps to test code built on package tensor, as httptest helps with net/http: comparing tensors and
// checking gradients against finite differences.
package tensortest

import (
	"fmt"
	"math"
	"runtime"
	"runtime/metrics"
	"testing"

	"github.com/gollava/gollava/tensor"
)

// Close fails the test unless got and want (float32) have the same shape and |got−want| ≤ abs + rel·|want| in every
// element. NaN equals only NaN.
func Close(t testing.TB, got, want *tensor.Tensor, abs, rel float64) {
	t.Helper()
	if g, w := fmt.Sprint(got.Shape()), fmt.Sprint(want.Shape()); g != w {
		t.Fatalf("shape %s, want %s", g, w)
	}
	g, w := got.Data(), want.Data()
	worst, at := 0.0, -1
	for i := range g {
		a, b := float64(g[i]), float64(w[i])
		if math.IsNaN(a) && math.IsNaN(b) || a == b {
			continue
		}
		if over := math.Abs(a-b) - (abs + rel*math.Abs(b)); !(over <= 0) && (at < 0 || !(over <= worst)) {
			worst, at = over, i
		}
	}
	if at >= 0 {
		t.Fatalf("element %d of %v: got %v, want %v (tolerance %g + %g·|want|)", at, got.Shape(), g[at], w[at], abs, rel)
	}
}

// GradCheck compares the gradients of f with central differences in every element of every input that trains. f maps
// the inputs to a tensor of any shape, whose elements it weighs with fixed irregular numbers so that no error cancels.
// Inputs should be of order 1; the step is 10⁻² and errors up to 2 % of the largest gradient pass, which float32 needs.
func GradCheck(t testing.TB, f func(in []*tensor.Tensor) *tensor.Tensor, in ...*tensor.Tensor) {
	t.Helper()
	loss := func() *tensor.Tensor {
		y := f(in)
		weights := make([]float32, y.Len())
		for i := range weights {
			weights[i] = float32(math.Sin(float64(3*i+1))) + 0.3
		}
		return y.Mul(tensor.From(weights, y.Shape()...)).Sum()
	}
	for _, x := range in {
		x.ZeroGrad()
	}
	l := loss()
	l.Backward()
	for k, x := range in {
		if !x.Trainable() {
			continue
		}
		if x.Grad() == nil {
			t.Fatalf("input %d, %v, got no gradient", k, x.Shape())
		}
		got, d := x.Grad().Data(), x.Data()
		want, scale := make([]float64, len(d)), 1e-3
		for i := range d {
			const h = 1e-2
			old := d[i]
			d[i] = old + h
			up := float64(loss().Item())
			d[i] = old - h
			down := float64(loss().Item())
			d[i] = old
			want[i] = (up - down) / (2 * h)
			scale = math.Max(scale, math.Abs(want[i]))
		}
		for i := range want {
			if e := math.Abs(float64(got[i]) - want[i]); !(e <= 0.02*scale) {
				t.Fatalf("input %d, %v, element %d: gradient %v, by differences %v", k, x.Shape(), i, got[i], want[i])
			}
		}
	}
}

// Allocations is how many objects of at least the given number of bytes the program has made on Go's heap so far. Of a
// step that recycles its tensors the difference between before and after is 0.
func Allocations(bytes int) (n uint64) {
	samples := []metrics.Sample{{Name: "/gc/heap/allocs-by-size:bytes"}}
	metrics.Read(samples) // the first reading of a program allocates
	runtime.GC()          // what a processor has made from its own cache counts from now on
	metrics.Read(samples)
	h := samples[0].Value.Float64Histogram()
	for i, count := range h.Counts {
		if h.Buckets[i] >= float64(bytes) {
			n += count
		}
	}
	return n
}
