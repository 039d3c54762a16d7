package reference

import (
	"github.com/gollava/gollava/internal/backend"
)

func (d *Device) Fill(dst *backend.Buffer, v float32) {
	if dst.DType == backend.BFloat16 {
		for i := range dst.BFloat16() {
			dst.BFloat16()[i] = narrow(v)
		}
		return
	}
	for i := range dst.Float32() {
		dst.Float32()[i] = v
	}
}

func (d *Device) Copy(dst, src *backend.Buffer) {
	switch dst.DType {
	case backend.Float32:
		copy(dst.Float32(), src.Float32())
	case backend.Int32:
		copy(dst.Int32(), src.Int32())
	default:
		copy(dst.Raw(), src.Raw())
	}
}

func (d *Device) Cast(dst, src *backend.Buffer) {
	if src.DType == backend.Int32 {
		for i, v := range src.Int32() {
			dst.Float32()[i] = float32(v)
		}
		return
	}
	if dst.DType == backend.Float32 {
		copy(dst.Float32(), floats(src))
		return
	}
	if f := dst.DType.Blocks(); f != nil {
		f.Encode(dst.Raw(), src.Float32())
		return
	}
	for i, v := range src.Float32() {
		dst.BFloat16()[i] = narrow(v)
	}
}

func (d *Device) CopyBlocks(dst *backend.Buffer, do, ds int, src *backend.Buffer, so, ss int, rows, cols int,
	add bool) {
	D, S := dst.Float32(), src.Float32()
	for i := range rows {
		for j := range cols {
			if add {
				D[do+i*ds+j] += S[so+i*ss+j]
			} else {
				D[do+i*ds+j] = S[so+i*ss+j]
			}
		}
	}
}

func (d *Device) Permute(dst, src *backend.Buffer, shape, perm []int) {
	r := len(shape)
	st := make([]int, r)
	n := 1
	for i := r - 1; i >= 0; i-- {
		st[i] = n
		n *= shape[i]
	}
	for o := range n {
		rem, at := o, 0
		for i := r - 1; i >= 0; i-- {
			dd := shape[perm[i]]
			at += rem % dd * st[perm[i]]
			rem /= dd
		}
		dst.Float32()[o] = src.Float32()[at]
	}
}

func (d *Device) GatherRows(dst, table, ids *backend.Buffer, cols int) {
	t := floats(table)
	for i, id := range ids.Int32() {
		copy(dst.Float32()[i*cols:(i+1)*cols], t[int(id)*cols:])
	}
}

func (d *Device) ScatterAddRows(dst, src, ids *backend.Buffer, cols int) {
	for i, id := range ids.Int32() {
		for j := range cols {
			dst.Float32()[int(id)*cols+j] += src.Float32()[i*cols+j]
		}
	}
}

func (d *Device) Patches(dst, src *backend.Buffer, B, C, H, W, p int, inv bool) {
	k := 0
	for n := range B {
		for y := 0; y < H/p; y++ {
			for x := 0; x < W/p; x++ {
				for c := range C {
					for i := range p {
						for j := range p {
							at := ((n*C+c)*H+y*p+i)*W + x*p + j
							if inv {
								dst.Float32()[at] = src.Float32()[k]
							} else {
								dst.Float32()[k] = src.Float32()[at]
							}
							k++
						}
					}
				}
			}
		}
	}
}

func (d *Device) Expand(dst, src *backend.Buffer, o, n, in int, s float32) {
	for i := range o {
		for j := range n {
			for k := range in {
				dst.Float32()[(i*n+j)*in+k] = s * src.Float32()[i*in+k]
			}
		}
	}
}
