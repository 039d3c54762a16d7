package cpu

import (
	"math"
	"slices"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/gollava/gollava/internal/backend"
)

// strip is numbers between guards that must survive.
type strip struct{ all, x []float32 }

func newStrip(n, start int, f func(i int) float32) strip {
	s := strip{all: make([]float32, n+start+9)}
	for i := range s.all {
		s.all[i] = 12345
	}
	s.x = s.all[start:][:n]
	for i := range s.x {
		s.x[i] = f(i)
	}
	return s
}

func (s strip) clone() strip {
	c := strip{all: append([]float32(nil), s.all...)}
	c.x = c.all[len(s.all)-9-len(s.x):][:len(s.x)]
	return c
}

// alike compares everything, guards included: NaN with NaN, and numbers to a few units in the last place of the largest.
func alike(t *testing.T, want, got strip, what ...any) {
	t.Helper()
	for i, w := range want.all {
		g := got.all[i]
		if w != w && g != g || w == g {
			continue
		}
		require.InDelta(t, w, g, 1e-5*math.Max(1, math.Abs(float64(w))), append(what, i)...)
	}
}

func wave(i int) float32 { return float32(i*37%101)/25 - 2 }

// TestAttentionKernels compares each level's kernels with the Go loops, at every length and odd starts, NaN and infinities among the numbers.
func TestAttentionKernels(t *testing.T) {
	want := &attentionGeneric
	eachLevel(t, func(t *testing.T) {
		got := activeAttention()
		for n := range 70 {
			const rows = 3
			row := n + 5
			at := func(s strip) *float32 { return &s.all[len(s.all)-9-len(s.x)] }
			x, y := newStrip(rows*row, 1+n%7, wave), newStrip(rows*row, 3, func(i int) float32 { return wave(i + 50) })
			by := newStrip(rows, 2, func(i int) float32 { return []float32{0.5, 1, -3}[i] })
			if n%5 == 4 {
				x.x[n/2] = float32(math.NaN())
			}
			out := newStrip(rows*row, 5, func(int) float32 { return 7 })
			a, b := out.clone(), out.clone()
			want.dot(rows, n, at(x), row, at(y), row, at(a))
			got.dot(rows, n, at(x), row, at(y), row, at(b))
			alike(t, a, b, "dot", n)
			a, b = out.clone(), out.clone()
			want.scale(rows, n, at(a), row, at(x), row, at(by))
			got.scale(rows, n, at(b), row, at(x), row, at(by))
			alike(t, a, b, "scale", n)
			a, b = x.clone(), x.clone()
			want.scale(rows, n, at(a), row, at(a), row, at(by))
			got.scale(rows, n, at(b), row, at(b), row, at(by))
			alike(t, a, b, "scale in place", n)
			a, b = out.clone(), out.clone()
			want.sum(rows, n, at(x), row, at(by), at(a))
			got.sum(rows, n, at(x), row, at(by), at(b))
			alike(t, a, b, "sum", n)
			if n%16 != 0 || n == 0 {
				continue
			}
			top := newStrip(rows, 1, func(i int) float32 { return []float32{minusInf, 0.25, 9}[i] })
			sum, fade := newStrip(rows, 1, wave), newStrip(rows, 1, wave)
			x.x[3], x.x[row+1], x.x[2*row+5] = minusInf, -200, 40
			for i := range n { // a row that sees nothing
				x.x[i] = minusInf
			}
			xa, xb, ta, tb, sa, sb, fa, fb := x.clone(), x.clone(), top.clone(), top.clone(), sum.clone(), sum.clone(), fade.clone(), fade.clone()
			want.softmax(rows, n, at(xa), row, 0.7, at(ta), at(sa), at(fa))
			got.softmax(rows, n, at(xb), row, 0.7, at(tb), at(sb), at(fb))
			for i, pair := range [][2]strip{{xa, xb}, {ta, tb}, {sa, sb}, {fa, fb}} {
				alike(t, pair[0], pair[1], "softmax", n, i)
			}
			lse := newStrip(rows, 1, func(i int) float32 { return []float32{minusInf, 3, 30}[i] })
			xa, xb, ya, yb := x.clone(), x.clone(), y.clone(), y.clone()
			want.score(rows, n, at(xa), at(ya), row, 0.7, 0.4, at(lse), at(by))
			got.score(rows, n, at(xb), at(yb), row, 0.7, 0.4, at(lse), at(by))
			alike(t, xa, xb, "score p", n)
			alike(t, ya, yb, "score ds", n)
		}
	})
}

// Scratch of a long attention grows with its length, not with the square of it.
func TestAttentionScratchIsLinear(t *testing.T) {
	used := func(length int) int {
		d := New()
		n := length * 2 * 8
		x, y := d.Alloc(backend.Float32, n), d.Alloc(backend.Float32, n)
		d.Fill(x, 0.1)
		a := &backend.Attention{Q: x, K: x, V: x, Out: y, LSE: d.Alloc(backend.Float32, 2*length), B: 1, T: length, S: length, H: 2, G: 2, D: 8, Keys: length, Causal: true, Scale: 1}
		scratches.free = nil // what this attention needs is made anew
		d.Attention(a)
		dq, dk, dv := d.Alloc(backend.Float32, n), d.Alloc(backend.Float32, n), d.Alloc(backend.Float32, n)
		d.AttentionGrad(a, dq, dk, dv, x)
		most := 0
		for _, s := range scratches.free {
			most = max(most, len(s.memory))
		}
		return most
	}
	require.Less(t, used(4000), 3*max(used(2000), 1<<17))
}

// unbounded is the index of the first element that is NaN or Inf, or -1.
func unbounded(b *backend.Buffer) int {
	return slices.IndexFunc(b.Float32(), func(v float32) bool { return v-v != 0 })
}

// With scores of 1e9 a float32 tells neighbours apart by 64, so that each query looks at one key alone: the outputs are that key's values, the
// gradients of the values add up to those of the outputs, and nothing overflows. Only products that are rounded alike throughout do so.
func TestAttentionOfLargeScores(t *testing.T) {
	eachLevel(t, func(t *testing.T) {
		for _, size := range []float32{3, 1e3, 1e4, 3e4, 1e6, 1e9} {
			for _, T := range []int{1, 3, 8, 17, 70, 301} {
				for _, causal := range []bool{false, true} {
					const D = 8
					d := New()
					fill := func(f func(i int) float32) *backend.Buffer {
						b := d.Alloc(backend.Float32, T*D)
						for i := range b.Float32() {
							b.Float32()[i] = f(i)
						}
						return b
					}
					q := fill(func(i int) float32 { return size * float32(math.Sin(float64(i*i+1))) })
					v, dOut := fill(wave), fill(func(i int) float32 { return wave(i + 31) })
					a := &backend.Attention{Q: q, K: q, V: v, Out: fill(wave), LSE: d.Alloc(backend.Float32, T),
						B: 1, T: T, S: T, H: 1, G: 1, D: D, Keys: T, Causal: causal, Scale: 0.35355338}
					dq, dk, dv := fill(wave), fill(wave), fill(wave)
					d.Attention(a)
					d.AttentionGrad(a, dq, dk, dv, dOut)
					for _, x := range []*backend.Buffer{a.Out, a.LSE, dq, dk, dv} {
						require.Equal(t, -1, unbounded(x), "size %v, T %d: an element is not finite", size, T)
					}
					for j := range D {
						want, got := 0.0, 0.0
						for i := j; i < T*D; i += D {
							want, got = want+float64(dOut.Float32()[i]), got+float64(dv.Float32()[i])
						}
						require.InDelta(t, want, got, 0.02*float64(T),
							"size %v, T %d, causal %v, column %d", size, T, causal, j)
					}
					w := *a // what a decoding step computes, without a gradient to come
					w.LSE, w.Out = nil, fill(wave)
					d.Attention(&w)
					require.Equal(t, -1, unbounded(w.Out), "size %v, T %d: an element is not finite", size, T)
				}
			}
		}
	})
}
