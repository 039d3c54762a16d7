package reference

import (
	"math"

	"github.com/gollava/gollava/internal/backend"
)

func (d *Device) Reduce(op backend.Reduction, dst, x *backend.Buffer, o, n, in int) {
	for i := range o {
		for k := range in {
			s := 0.0
			if op == backend.Max {
				s = math.Inf(-1)
			}
			for j := range n {
				v := float64(x.Float32()[(i*n+j)*in+k])
				switch {
				case op == backend.Sum:
					s += v
				case v > s || v != v: // math.Max prefers +Inf to NaN
					s = v
				}
			}
			dst.Float32()[i*in+k] = float32(s)
		}
	}
}

func (d *Device) ArgMax(dst, x *backend.Buffer, o, n, in int) {
	for i := range o {
		for k := range in {
			best := 0
			for j := range n {
				v, top := x.Float32()[(i*n+j)*in+k], x.Float32()[(i*n+best)*in+k]
				if v > top || v != v && top == top {
					best = j
				}
			}
			dst.Int32()[i*in+k] = int32(best)
		}
	}
}

func (d *Device) MaxGrad(dx, at, dy *backend.Buffer, o, n, in int) {
	d.Fill(dx, 0)
	for i := range o {
		for k := range in {
			dx.Float32()[(i*n+int(at.Int32()[i*in+k]))*in+k] = dy.Float32()[i*in+k]
		}
	}
}

func logSumExp(x []float32) float64 {
	m := math.Inf(-1)
	for _, v := range x {
		m = math.Max(m, float64(v))
	}
	s := 0.0
	for _, v := range x {
		s += math.Exp(float64(v) - m)
	}
	return m + math.Log(s)
}

func (d *Device) Softmax(dst, x *backend.Buffer, rows, cols int) {
	for r := range rows {
		z := logSumExp(x.Float32()[r*cols : (r+1)*cols])
		for j := range cols {
			dst.Float32()[r*cols+j] = float32(math.Exp(float64(x.Float32()[r*cols+j]) - z))
		}
	}
}

func (d *Device) SoftmaxGrad(dx, y, dy *backend.Buffer, rows, cols int) {
	for r := range rows {
		s := 0.0
		for j := range cols {
			s += float64(y.Float32()[r*cols+j]) * float64(dy.Float32()[r*cols+j])
		}
		for j := range cols {
			k := r*cols + j
			dx.Float32()[k] = float32(float64(y.Float32()[k]) * (float64(dy.Float32()[k]) - s))
		}
	}
}

func (d *Device) LogSoftmax(dst, x *backend.Buffer, rows, cols int) {
	for r := range rows {
		z := logSumExp(x.Float32()[r*cols : (r+1)*cols])
		for j := range cols {
			dst.Float32()[r*cols+j] = float32(float64(x.Float32()[r*cols+j]) - z)
		}
	}
}

func (d *Device) LogSoftmaxGrad(dx, y, dy *backend.Buffer, rows, cols int) {
	for r := range rows {
		s := 0.0
		for j := range cols {
			s += float64(dy.Float32()[r*cols+j])
		}
		for j := range cols {
			k := r*cols + j
			dx.Float32()[k] = float32(float64(dy.Float32()[k]) - math.Exp(float64(y.Float32()[k]))*s)
		}
	}
}

func (d *Device) CrossEntropy(loss, l, logits, labels *backend.Buffer, rows, cols int) {
	for r := range rows {
		z := logSumExp(logits.Float32()[r*cols : (r+1)*cols])
		l.Float32()[r] = float32(z)
		loss.Float32()[r] = 0
		if t := labels.Int32()[r]; t >= 0 {
			loss.Float32()[r] = float32(z - float64(logits.Float32()[r*cols+int(t)]))
		}
	}
}

func (d *Device) CrossEntropyGrad(dx, logits, l, labels *backend.Buffer, rows, cols int, scale float32) {
	for r := range rows {
		t := labels.Int32()[r]
		for j := range cols {
			k := r*cols + j
			v := math.Exp(float64(logits.Float32()[k]) - float64(l.Float32()[r]))
			if int(t) == j {
				v--
			}
			if t < 0 {
				v = 0
			}
			dx.Float32()[k] = float32(v) * scale
		}
	}
}

func (d *Device) RoPE(dst, x, cos, sin *backend.Buffer, B, T, H, D, R2 int, inv bool) {
	R := R2 / 2
	per := cos.Len == B*T*R && B > 1
	for bb := range B {
		for t := range T {
			row := t
			if per {
				row = bb*T + t
			}
			for h := range H {
				o := ((bb*T+t)*H + h) * D
				xs := append([]float32{}, x.Float32()[o:o+D]...)
				copy(dst.Float32()[o:o+D], xs)
				for j := range R {
					c, s := cos.Float32()[row*R+j], sin.Float32()[row*R+j]
					if inv {
						s = -s
					}
					dst.Float32()[o+j] = xs[j]*c - xs[j+R]*s
					dst.Float32()[o+j+R] = xs[j+R]*c + xs[j]*s
				}
			}
		}
	}
}
