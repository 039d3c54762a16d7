package cpu

import (
	"math"

	"github.com/gollava/gollava/internal/backend"
)

// adamwStep holds the numbers that all elements share, as the kernels read them:
// p ← decay·p − rate·m/(unbias·√v + eps) with m ← beta1·m + rest1·g, v ← beta2·v + rest2·g², and g the gradient times
// gradScale.
type adamwStep struct {
	gradScale, beta1, rest1, beta2, rest2, decay, rate, unbias, eps float32
}

func (d *Device) AdamW(c backend.AdamW, items []backend.AdamWItem) {
	t := float64(c.Step)
	s := adamwStep{
		gradScale: float32(c.GradScale),
		beta1:     float32(c.Beta1), rest1: float32(1 - c.Beta1),
		beta2: float32(c.Beta2), rest2: float32(1 - c.Beta2),
		decay:  float32(1 - c.LR*c.WeightDecay),
		rate:   float32(c.LR / (1 - math.Pow(c.Beta1, t))),
		unbias: float32(1 / math.Sqrt(1-math.Pow(c.Beta2, t))),
		eps:    float32(c.Eps),
	}
	n := 0
	for _, it := range items {
		n += it.Param.Len
	}
	if n <= grain {
		for i := range items {
			s.apply(&items[i], 0, items[i].Param.Len)
		}
		return
	}
	parts := pieces(len(items), func(i int) int { return items[i].Param.Len })
	step, list := s, items
	parallel(len(parts), func(i int) { step.apply(&list[parts[i].of], parts[i].from, parts[i].to) })
}

// apply updates elements from to to of an item.
func (s *adamwStep) apply(it *backend.AdamWItem, from, to int) {
	k, g, m, v := vectors(), it.Grad.Float32(), it.M.Float32(), it.V.Float32()
	if it.Master == nil {
		k.adamw(it.Param.Float32()[from:to], g[from:to], m[from:to], v[from:to], *s)
		return
	}
	const part = 2048 // stays in the first-level cache until it is rounded
	for ; from < to; from += part {
		end := min(to, from+part)
		p := it.Master.Float32()[from:end]
		k.adamw(p, g[from:end], m[from:end], v[from:end], *s)
		k.narrow(it.Param.BFloat16()[from:end], p)
	}
}

// piece is a part of one of several buffers.
type piece struct{ of, from, to int }

// pieces cuts n buffers of the given sizes into tasks.
func pieces(n int, size func(i int) int) (out []piece) {
	for i := range n {
		for at := 0; at < size(i); at += grain {
			out = append(out, piece{i, at, min(size(i), at+grain)})
		}
	}
	return out
}

func (d *Device) SumSquares(xs []*backend.Buffer) (sum float64) {
	n := 0
	for _, x := range xs {
		n += x.Len
	}
	f := vectors().sumSquares
	if n <= grain {
		for _, x := range xs {
			sum += f(x.Float32())
		}
		return sum
	}
	parts := pieces(len(xs), func(i int) int { return xs[i].Len })
	sums := make([]float64, len(parts))
	parallel(len(parts), func(i int) { sums[i] = f(xs[parts[i].of].Float32()[parts[i].from:parts[i].to]) })
	for _, s := range sums {
		sum += s
	}
	return sum
}

func (d *Device) AllFinite(xs []*backend.Buffer) (ok bool, first int) {
	n := 0
	for _, x := range xs {
		n += x.Len
	}
	f := vectors().finite
	if n <= grain {
		for i, x := range xs {
			if !f(x.Float32()) {
				return false, i
			}
		}
		return true, -1
	}
	parts := pieces(len(xs), func(i int) int { return xs[i].Len })
	bad := make([]bool, len(parts))
	parallel(len(parts), func(i int) { bad[i] = !f(xs[parts[i].of].Float32()[parts[i].from:parts[i].to]) })
	for i, b := range bad {
		if b {
			return false, parts[i].of
		}
	}
	return true, -1
}
