package reference

import (
	"math"

	"github.com/gollava/gollava/internal/backend"
)

func (d *Device) RMSNorm(dst, rstd, x, w *backend.Buffer, rows, cols int, eps float32) {
	ww := floats(w)
	for r := range rows {
		s := 0.0
		for j := range cols {
			s += float64(x.Float32()[r*cols+j]) * float64(x.Float32()[r*cols+j])
		}
		q := 1 / math.Sqrt(s/float64(cols)+float64(eps))
		if rstd != nil {
			rstd.Float32()[r] = float32(q)
		}
		for j := range cols {
			dst.Float32()[r*cols+j] = ww[j] * float32(float64(x.Float32()[r*cols+j])*q)
		}
	}
}

func (d *Device) RMSNormGrad(dx, dw, x, w, rstd, dy *backend.Buffer, rows, cols int) {
	ww := floats(w)
	acc := make([]float64, cols)
	for r := range rows {
		q := float64(rstd.Float32()[r])
		s := 0.0
		for j := range cols {
			k := r*cols + j
			xh := float64(x.Float32()[k]) * q
			g := float64(dy.Float32()[k])
			acc[j] += g * xh
			s += g * float64(ww[j]) * xh
		}
		if dx != nil {
			for j := range cols {
				k := r*cols + j
				xh := float64(x.Float32()[k]) * q
				dx.Float32()[k] = float32(q * (float64(dy.Float32()[k])*float64(ww[j]) - xh*s/float64(cols)))
			}
		}
	}
	if dw != nil {
		for j := range cols {
			dw.Float32()[j] = float32(acc[j])
		}
	}
}

func (d *Device) LayerNorm(dst, mean, rstd, x, w, bb *backend.Buffer, rows, cols int, eps float32) {
	ww := floats(w)
	for r := range rows {
		m, s := 0.0, 0.0
		for j := range cols {
			m += float64(x.Float32()[r*cols+j])
		}
		m /= float64(cols)
		for j := range cols {
			v := float64(x.Float32()[r*cols+j]) - m
			s += v * v
		}
		q := 1 / math.Sqrt(s/float64(cols)+float64(eps))
		if mean != nil {
			mean.Float32()[r], rstd.Float32()[r] = float32(m), float32(q)
		}
		for j := range cols {
			v := float32((float64(x.Float32()[r*cols+j])-m)*q) * ww[j]
			if bb != nil {
				v += floats(bb)[j]
			}
			dst.Float32()[r*cols+j] = v
		}
	}
}

func (d *Device) LayerNormGrad(dx, dw, db, x, w, mean, rstd, dy *backend.Buffer, rows, cols int) {
	ww := floats(w)
	aw, ab := make([]float64, cols), make([]float64, cols)
	for r := range rows {
		m, q := float64(mean.Float32()[r]), float64(rstd.Float32()[r])
		s1, s2 := 0.0, 0.0
		for j := range cols {
			k := r*cols + j
			xh := (float64(x.Float32()[k]) - m) * q
			g := float64(dy.Float32()[k])
			aw[j] += g * xh
			ab[j] += g
			s1 += g * float64(ww[j])
			s2 += g * float64(ww[j]) * xh
		}
		if dx != nil {
			n := float64(cols)
			for j := range cols {
				k := r*cols + j
				xh := (float64(x.Float32()[k]) - m) * q
				dx.Float32()[k] = float32(q * (float64(dy.Float32()[k])*float64(ww[j]) - s1/n - xh*s2/n))
			}
		}
	}
	for j := range cols {
		if dw != nil {
			dw.Float32()[j] = float32(aw[j])
		}
		if db != nil {
			db.Float32()[j] = float32(ab[j])
		}
	}
}

func (d *Device) L2Normalize(dst, norm, x *backend.Buffer, rows, cols int, eps float32) {
	for r := range rows {
		s := 0.0
		for j := range cols {
			s += float64(x.Float32()[r*cols+j]) * float64(x.Float32()[r*cols+j])
		}
		n := math.Max(math.Sqrt(s), float64(eps))
		norm.Float32()[r] = float32(n)
		for j := range cols {
			dst.Float32()[r*cols+j] = float32(float64(x.Float32()[r*cols+j]) / n)
		}
	}
}

func (d *Device) L2NormalizeGrad(dx, y, norm, dy *backend.Buffer, rows, cols int) {
	for r := range rows {
		s := 0.0
		for j := range cols {
			s += float64(y.Float32()[r*cols+j]) * float64(dy.Float32()[r*cols+j])
		}
		for j := range cols {
			k := r*cols + j
			dx.Float32()[k] = float32((float64(dy.Float32()[k]) - float64(y.Float32()[k])*s) / float64(norm.Float32()[r]))
		}
	}
}
