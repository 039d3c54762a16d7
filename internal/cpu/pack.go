package cpu

import (
	"math"
	"unsafe"
)

// operand is a matrix of float32 or bfloat16 elements with any strides.
type operand struct {
	full     []float32
	half     []uint16
	row, col int // elements from one row, or column, to the next
}

// at is element i as float32.
func (x *operand) at(i int) float32 {
	if x.half != nil {
		return math.Float32frombits(uint32(x.half[i]) << 16)
	}
	return x.full[i]
}

// index is the address of the i-th element after p.
func index(p *float32, i int) *float32 { return (*float32)(unsafe.Add(unsafe.Pointer(p), 4*i)) }

func pointer(p *float32, i int) unsafe.Pointer { return unsafe.Add(unsafe.Pointer(p), 4*i) }

// copyRow sets dst to the len(dst) elements of x from i on, which lie next to each other.
func (x *operand) copyRow(dst []float32, i int) {
	if x.half == nil {
		copy(dst, x.full[i:i+len(dst)])
		return
	}
	src := x.half[i : i+len(dst)]
	for k := widenRow(dst, src); k < len(dst); k++ {
		dst[k] = math.Float32frombits(uint32(src[k]) << 16)
	}
}

// packPanel writes rows [k0, k0+k) of columns [j0, j1) as a panel of width columns: dst [k, width], with zeros from column j1−j0 on.
func packPanel(dst []float32, b *operand, k0, k, j0, j1, width int) {
	at, cols := k0*b.row+j0*b.col, j1-j0
	if b.col == 1 {
		if copyStrip(k, dst, width, b, at, cols, width) {
			return
		}
		for p := range k {
			row := dst[p*width:][:width]
			b.copyRow(row[:cols], at)
			clear(row[cols:])
			at += b.row
		}
		return
	}
	j := 0
	for ; j+8 <= cols; j += 8 {
		from := 0
		if b.row == 1 && k > 0 {
			from = transposeRows(k, &dst[j], width, b, at+j*b.col, b.col)
		}
		for p := from; p < k; p++ {
			for e := range 8 {
				dst[p*width+j+e] = b.at(at + p*b.row + (j+e)*b.col)
			}
		}
	}
	for p := range k {
		row := dst[p*width:][:width]
		for e := j; e < cols; e++ {
			row[e] = b.at(at + p*b.row + e*b.col)
		}
		clear(row[cols:])
	}
}
