package reference

import (
	"math"

	"github.com/gollava/gollava/internal/backend"
)

func (d *Device) AdamW(c backend.AdamW, items []backend.AdamWItem) {
	for _, it := range items {
		p := it.Param
		if it.Master != nil {
			p = it.Master
		}
		for i := range p.Len {
			g := float64(it.Grad.Float32()[i]) * c.GradScale
			w := float64(p.Float32()[i]) * (1 - c.LR*c.WeightDecay)
			m := c.Beta1*float64(it.M.Float32()[i]) + (1-c.Beta1)*g
			v := c.Beta2*float64(it.V.Float32()[i]) + (1-c.Beta2)*g*g
			it.M.Float32()[i], it.V.Float32()[i] = float32(m), float32(v)
			w -= c.LR * (m / (1 - math.Pow(c.Beta1, float64(c.Step)))) / (math.Sqrt(v)/math.Sqrt(1-math.Pow(c.Beta2,
				float64(c.Step))) + c.Eps)
			p.Float32()[i] = float32(w)
			if it.Master != nil {
				it.Param.BFloat16()[i] = narrow(float32(w))
			}
		}
	}
}
