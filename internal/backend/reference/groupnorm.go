package reference

import (
	"math"

	"github.com/gollava/gollava/internal/backend"
)

// scaleOf is element i of an optional weight, or what stands for one that is not there.
func scaleOf(w *backend.Buffer, i int, otherwise float64) float64 {
	if w == nil {
		return otherwise
	}
	return float64(floats(w.Slice(i, 1))[0])
}

func (d *Device) GroupNorm(dst, mean, rstd, x, w, b *backend.Buffer, batch, channels, inner, groups int, eps float32) {
	n := channels / groups * inner
	for g := range batch * groups {
		m, s := 0.0, 0.0
		for _, v := range x.Float32()[g*n : (g+1)*n] {
			m += float64(v) / float64(n)
		}
		for _, v := range x.Float32()[g*n : (g+1)*n] {
			s += (float64(v) - m) * (float64(v) - m) / float64(n)
		}
		q := 1 / math.Sqrt(s+float64(eps))
		mean.Float32()[g], rstd.Float32()[g] = float32(m), float32(q)
		for i := range n {
			k := g*n + i
			c := k / inner % channels
			dst.Float32()[k] = float32((float64(x.Float32()[k])-m)*q*scaleOf(w, c, 1) + scaleOf(b, c, 0))
		}
	}
}

func (d *Device) GroupNormGrad(dx, dw, db, x, w, mean, rstd, dy *backend.Buffer, batch, channels, inner, groups int) {
	n := channels / groups * inner
	sw, sb := make([]float64, channels), make([]float64, channels)
	for g := range batch * groups {
		m, q := float64(mean.Float32()[g]), float64(rstd.Float32()[g])
		s1, s2 := 0.0, 0.0
		for k := g * n; k < (g+1)*n; k++ {
			c := k / inner % channels
			xh, v := (float64(x.Float32()[k])-m)*q, float64(dy.Float32()[k])
			sw[c] += v * xh
			sb[c] += v
			s1 += v * scaleOf(w, c, 1)
			s2 += v * scaleOf(w, c, 1) * xh
		}
		for k := g * n; k < (g+1)*n && dx != nil; k++ {
			xh := (float64(x.Float32()[k]) - m) * q
			v := float64(dy.Float32()[k]) * scaleOf(w, k/inner%channels, 1)
			dx.Float32()[k] = float32(q * (v - s1/float64(n) - xh*s2/float64(n)))
		}
	}
	if dw != nil {
		rounded(dw, sw)
	}
	if db != nil {
		rounded(db, sb)
	}
}
