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

// pairs is a matrix of bfloat16 as one of pairs of them, half as many along the dimension in which it is stored, if
// there is such a view.
func (x *operand) pairs() (view operand, ok bool) {
	if len(x.half) < 2 || min(x.row, x.col) != 1 || max(x.row, x.col)%2 != 0 ||
		uintptr(unsafe.Pointer(&x.half[0]))%4 != 0 {
		return operand{}, false
	}
	return operand{full: unsafe.Slice((*float32)(unsafe.Pointer(&x.half[0])), len(x.half)/2), row: (x.row + 1) / 2,
		col: (x.col + 1) / 2}, true
}

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

// spill is how far packPanel may write beyond its panel.
const spill = 16

// packPanel writes rows [k0, k0+k) of columns [j0, j1) as a panel of width columns: dst [k, width]. What it leaves in
// columns j1−j0 to width is undefined, and so are up to spill elements after the panel.
func packPanel(dst []float32, b *operand, k0, k, j0, j1, width int) {
	at, cols := k0*b.row+j0*b.col, j1-j0
	if b.col == 1 {
		if copyStrip(k, dst, width, b, at, cols, width) {
			return
		}
		for p := range k {
			b.copyRow(dst[p*width:][:cols], at+p*b.row)
		}
		return
	}
	// From right to left, since eight columns that are too many spill into the first ones of the next row.
	for j := (cols - 1) &^ 7; j >= 0; j -= 8 {
		from, at := 0, at+j*b.col
		if b.row == 1 && b.holds(at+7*b.col+k) {
			from = transposeRows(k, dst[j:], width, b, at, b.col)
		}
		for p := from; p < k; p++ {
			for e := range min(8, cols-j) {
				dst[p*width+j+e] = b.at(at + p*b.row + e*b.col)
			}
		}
	}
}

// holds reports whether x has n elements.
func (x *operand) holds(n int) bool { return n <= max(len(x.full), len(x.half)) }
