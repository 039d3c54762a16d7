package cpu

import "github.com/gollava/gollava/internal/backend"

func (d *Device) MaxPool(p *backend.MaxPool) {
	x, y, at := p.X.Float32(), p.Y.Float32(), p.At.Int32()
	q, size := *p, p.In[0]*p.In[1]
	ranges(p.N*p.Out[0], height(p.Out[1]*p.Kernel[0]*p.Kernel[1]), func(from, to int) {
		for u := from; u < to; u++ {
			n, o := u/q.Out[0], u*q.Out[1]
			poolRow(&q, y[o:o+q.Out[1]], at[o:o+q.Out[1]], x[n*size:(n+1)*size], u%q.Out[0])
		}
	})
}

// poolRow computes row i of a picture's maxima.
func poolRow(p *backend.MaxPool, y []float32, at []int32, x []float32, i int) {
	for j := range y {
		best := -1
		var top float32
		for a := range p.Kernel[0] {
			u := i*p.Stride[0] + a*p.Dilation[0] - p.Pad[0]
			if u < 0 || u >= p.In[0] {
				continue
			}
			for b := range p.Kernel[1] {
				v := j*p.Stride[1] + b*p.Dilation[1] - p.Pad[1]
				if v < 0 || v >= p.In[1] {
					continue
				}
				if e := x[u*p.In[1]+v]; best < 0 || e > top || e != e && top == top {
					top, best = e, u*p.In[1]+v
				}
			}
		}
		y[j], at[j] = top, int32(best)
	}
}

func (d *Device) MaxPoolGrad(p *backend.MaxPool) {
	x, y, at := p.X.Float32(), p.Y.Float32(), p.At.Int32()
	in, out := p.In[0]*p.In[1], p.Out[0]*p.Out[1]
	ranges(p.N, height(max(in, out)), func(from, to int) {
		for n := from; n < to; n++ {
			plane := x[n*in : (n+1)*in]
			clear(plane)
			for i, e := range at[n*out : (n+1)*out] {
				plane[e] += y[n*out+i]
			}
		}
	})
}
