package cpu

import (
	"slices"

	"github.com/gollava/gollava/internal/backend"
)

// terms are the terms of a resampling along one axis.
type terms struct {
	k      int
	index  []int32
	weight []float32
	pick   bool // each output is one element of the input
}

func termsOf(t *backend.Taps) terms {
	x := terms{k: t.K, index: t.Index.Int32(), weight: t.Weight.Float32()}
	x.pick = x.k == 1 && !slices.ContainsFunc(x.weight, func(w float32) bool { return w != 1 })
	return x
}

// same reports whether outputs i and i−1 are made of the same terms.
func (t *terms) same(i int) bool {
	a, b := (i-1)*t.k, i*t.k
	return slices.Equal(t.index[a:b], t.index[b:b+t.k]) && slices.Equal(t.weight[a:b], t.weight[b:b+t.k])
}

// Resample adds up rows, and then elements of their sum.
func (d *Device) Resample(r *backend.Resample) {
	x, y, out, in := r.X.Float32(), r.Y.Float32(), r.Out, r.In
	rows, cols := termsOf(&r.Rows), termsOf(&r.Cols)
	ranges(r.N*out[0], height(max(in[1], out[1])*rows.k), func(from, to int) {
		s := borrow()
		defer s.giveBack()
		space := s.take(in[1])
		for u := from; u < to; u++ {
			i, row := u%out[0], y[u*out[1]:(u+1)*out[1]]
			if u > from && i > 0 && rows.same(i) {
				copy(row, y[(u-1)*out[1]:])
				continue
			}
			cols.gather(row, rows.sum(space, x[u/out[0]*in[0]*in[1]:], i))
		}
	})
}

// sum is the weighted sum of the rows of x, each as long as space, that output i is made of. It may be a row of x.
func (t *terms) sum(space, x []float32, i int) []float32 {
	f, n, none := vectors(), len(space), true
	for k := i * t.k; k < (i+1)*t.k; k++ {
		row, w := x[int(t.index[k])*n:][:n], t.weight[k]
		switch {
		case w == 0:
		case w == 1 && t.k == 1:
			return row
		case none:
			f.affine(space, row, w, 0)
			none = false
		default:
			f.axpy(space, row, w)
		}
	}
	if none {
		clear(space)
	}
	return space
}

// gather sets every element of dst to the weighted sum of those of x that it is made of.
func (t *terms) gather(dst, x []float32) {
	switch {
	case t.pick:
		for j, i := range t.index {
			dst[j] = x[i]
		}
	case t.k == 2:
		for j := range dst {
			i, w := t.index[2*j:2*j+2], t.weight[2*j:2*j+2]
			dst[j] = w[0]*x[i[0]] + w[1]*x[i[1]]
		}
	default:
		for j := range dst {
			sum := float32(0)
			w := t.weight[j*t.k : (j+1)*t.k]
			for k, i := range t.index[j*t.k : (j+1)*t.k] {
				sum += w[k] * x[i]
			}
			dst[j] = sum
		}
	}
}

// ResampleGrad adds the elements of a row of Y to those that they are made of, and the row that results to the
// rows.
func (d *Device) ResampleGrad(r *backend.Resample) {
	x, y, out, in := r.X.Float32(), r.Y.Float32(), r.Out, r.In
	rows, cols := termsOf(&r.Rows), termsOf(&r.Cols)
	ranges(r.N, height(max(in[0]*in[1], out[0]*out[1])), func(from, to int) {
		s := borrow()
		defer s.giveBack()
		f, space := vectors(), s.take(in[1])
		for n := from; n < to; n++ {
			plane := x[n*in[0]*in[1]:][:in[0]*in[1]]
			clear(plane)
			for i := range out[0] {
				clear(space)
				for j, v := range y[(n*out[0]+i)*out[1]:][:out[1]] {
					w := cols.weight[j*cols.k : (j+1)*cols.k]
					for k, e := range cols.index[j*cols.k : (j+1)*cols.k] {
						space[e] += w[k] * v
					}
				}
				for k := i * rows.k; k < (i+1)*rows.k; k++ {
					if w := rows.weight[k]; w != 0 {
						f.axpy(plane[int(rows.index[k])*in[1]:][:in[1]], space, w)
					}
				}
			}
		}
	})
}
