package reference

import (
	"slices"

	"github.com/gollava/gollava/internal/backend"
)

func (d *Device) TopK(values, at, x *backend.Buffer, outer, n, inner, k int, largest bool) {
	for o := range outer {
		for j := range inner {
			line := func(i int) float32 { return x.Float32()[(o*n+i)*inner+j] }
			order := make([]int, n)
			for i := range order {
				order[i] = i
			}
			slices.SortStableFunc(order, func(a, b int) int {
				if largest {
					a, b = b, a
				}
				switch u, v := line(a), line(b); {
				case u < v || u == u && v != v:
					return -1
				case u > v || u != u && v == v:
					return 1
				}
				return 0
			})
			for i, from := range order[:k] {
				to := (o*k+i)*inner + j
				values.Float32()[to], at.Int32()[to] = line(from), int32(from)
			}
		}
	}
}

func (d *Device) CumSum(dst, x *backend.Buffer, outer, n, inner int, reverse bool) {
	for o := range outer {
		for j := range inner {
			sum := 0.0
			for i := range n {
				if reverse {
					i = n - 1 - i
				}
				sum += float64(x.Float32()[(o*n+i)*inner+j])
				dst.Float32()[(o*n+i)*inner+j] = float32(sum)
			}
		}
	}
}

func (d *Device) GatherLines(dst, x, at *backend.Buffer, outer, n, m, inner int) {
	for k, i := range at.Int32() {
		dst.Float32()[k] = x.Float32()[(k/inner/m*n+int(i))*inner+k%inner]
	}
}

func (d *Device) ScatterLines(dst, src, at *backend.Buffer, outer, n, m, inner int) {
	for k, i := range at.Int32() {
		dst.Float32()[(k/inner/m*n+int(i))*inner+k%inner] += src.Float32()[k]
	}
}

func (d *Device) Select(dst, c, a, b *backend.Buffer, dims, cs, as, bs []int) {
	for o := range dst.Len {
		rem, i, j, k := o, 0, 0, 0
		for e := len(dims) - 1; e >= 0; e-- {
			at := rem % dims[e]
			i, j, k, rem = i+at*cs[e], j+at*as[e], k+at*bs[e], rem/dims[e]
		}
		v := b.Float32()[k]
		if c.Float32()[i] != 0 {
			v = a.Float32()[j]
		}
		dst.Float32()[o] = v
	}
}
