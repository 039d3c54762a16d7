package reference

import (
	"math"

	"github.com/gollava/gollava/internal/backend"
)

func (d *Device) MatMul(p *backend.MatMul) {
	A, B, C := floats(p.A), floats(p.B), p.C.Float32()
	if p.Half && !p.B.DType.Quantized() {
		A, B = halved(A), halved(B)
	}
	var bias []float32
	if p.Bias != nil {
		bias = floats(p.Bias)
	}
	for n := range p.Batch {
		for i := range p.M {
			for j := range p.N {
				s := 0.0
				for k := range p.K {
					ai, bi := n*p.AStride+i*p.K+k, n*p.BStride+k*p.N+j
					if p.AT {
						ai = n*p.AStride + k*p.M + i
					}
					if p.BT {
						bi = n*p.BStride + j*p.K + k
					}
					s += float64(A[ai]) * float64(B[bi])
				}
				o := n*p.CStride + i*p.N + j
				if p.Accumulate {
					C[o] += float32(s)
					continue
				}
				if p.Bias != nil {
					s += float64(bias[j])
				}
				if p.Pre != nil {
					p.Pre.Float32()[o] = float32(s)
				}
				C[o] = float32(apply(p.Act, s))
			}
		}
	}
}

func (d *Device) each(a *backend.Attention, f func(bb, h, t int, p []float64, keys []int)) {
	q, k := a.Q.Float32(), a.K.Float32()
	for bb := range a.B {
		for h := range a.H {
			for t := range a.T {
				var keys []int
				var p []float64
				for s := range a.Keys {
					if a.Start != nil && s < int(a.Start.Int32()[bb]) || a.End != nil && s >= int(a.End.Int32()[bb]) {
						continue
					}
					if a.From != nil && s < int(a.From.Int32()[bb*a.T+t]) ||
						a.To != nil && s >= int(a.To.Int32()[bb*a.T+t]) {
						continue
					}
					if a.Causal && (s > a.Offset+t || a.Window > 0 && s <= a.Offset+t-a.Window) {
						continue
					}
					z := 0.0
					for e := range a.D {
						z += float64(q[((bb*a.T+t)*a.H+h)*a.D+e]) * float64(k[((bb*a.S+s)*a.G+h*a.G/a.H)*a.D+e])
					}
					z *= float64(a.Scale)
					if a.Cap > 0 {
						z = float64(a.Cap) * math.Tanh(z/float64(a.Cap))
					}
					if a.Slopes != nil {
						z += float64(a.Slopes.Float32()[h]) * float64(s-a.Offset-t)
					}
					keys, p = append(keys, s), append(p, z)
				}
				f(bb, h, t, p, keys)
			}
		}
	}
}

func (d *Device) Attention(list ...*backend.Attention) {
	for _, a := range list {
		d.attention(a)
	}
}

func (d *Device) attention(a *backend.Attention) {
	if row := a.G * a.D; a.NewK != nil {
		for b := range a.B {
			at := (b*a.S + a.Keys - a.T) * row
			copy(a.K.Float32()[at:], a.NewK.Float32()[b*a.T*row:(b+1)*a.T*row])
			copy(a.V.Float32()[at:], a.NewV.Float32()[b*a.T*row:(b+1)*a.T*row])
		}
	}
	d.Fill(a.Out, 0)
	d.each(a, func(bb, h, t int, p []float64, keys []int) {
		m, s := math.Inf(-1), 0.0
		for _, v := range p {
			m = math.Max(m, v)
		}
		for _, v := range p {
			s += math.Exp(v - m)
		}
		l := m + math.Log(s)
		if len(p) == 0 {
			l = math.Inf(-1)
		}
		if a.LSE != nil {
			a.LSE.Float32()[(bb*a.H+h)*a.T+t] = float32(l)
		}
		for e := range a.D {
			y := 0.0
			for i, s := range keys {
				y += math.Exp(p[i]-l) * float64(a.V.Float32()[((bb*a.S+s)*a.G+h*a.G/a.H)*a.D+e])
			}
			a.Out.Float32()[((bb*a.T+t)*a.H+h)*a.D+e] = float32(y)
		}
	})
}

func (d *Device) AttentionGrad(a *backend.Attention, dq, dk, dv, dOut *backend.Buffer) {
	for _, x := range []*backend.Buffer{dq, dk, dv} {
		if x != nil {
			d.Fill(x, 0)
		}
	}
	d.each(a, func(bb, h, t int, p []float64, keys []int) {
		l := float64(a.LSE.Float32()[(bb*a.H+h)*a.T+t])
		qo := ((bb*a.T+t)*a.H + h) * a.D
		delta := 0.0
		for e := range a.D {
			delta += float64(dOut.Float32()[qo+e]) * float64(a.Out.Float32()[qo+e])
		}
		for i, s := range keys {
			w := math.Exp(p[i] - l)
			ko := ((bb*a.S+s)*a.G + h*a.G/a.H) * a.D
			dp := 0.0
			for e := range a.D {
				dp += float64(dOut.Float32()[qo+e]) * float64(a.V.Float32()[ko+e])
			}
			ds := w * (dp - delta) * float64(a.Scale)
			if a.Cap > 0 {
				capped := p[i]
				if a.Slopes != nil {
					capped -= float64(a.Slopes.Float32()[h]) * float64(s-a.Offset-t)
				}
				ds *= 1 - capped/float64(a.Cap)*(capped/float64(a.Cap))
			}
			for e := range a.D {
				if dq != nil {
					dq.Float32()[qo+e] += float32(ds * float64(a.K.Float32()[ko+e]))
				}
				if dk != nil {
					dk.Float32()[ko+e] += float32(ds * float64(a.Q.Float32()[qo+e]))
				}
				if dv != nil {
					dv.Float32()[ko+e] += float32(w * float64(dOut.Float32()[qo+e]))
				}
			}
		}
	})
}
