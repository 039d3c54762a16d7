package cpu

import "github.com/gollava/gollava/internal/backend"

func (d *Device) Permute(dst, src *backend.Buffer, shape, perm []int) {
	y, x := dst.Float32(), src.Float32()
	if len(y) == 0 {
		return
	}
	p := permutationOf(shape, perm)
	switch {
	case len(y) <= grain:
		p.run(y, x, 0, p.tasks())
	default:
		q := p
		ranges(q.tasks(), max(1, grain*q.tasks()/len(y)), func(i, j int) { q.run(y, x, i, j) })
	}
}

// permutation is a transposition of axes in which no two neighbours stay neighbours in order, except that of
// single-element axes nothing remains.
type permutation struct {
	outer axes // of dst, without the axes below; a and b are the strides of src and dst
	// The elements of a task: with rows == 0 a run of cols elements that lie together in both, else rows × cols elements
	// of which columns lie together in dst, srcCol apart in src, and rows lie together in src, dstRow apart in dst.
	rows, cols     int
	srcCol, dstRow int
}

func permutationOf(shape, perm []int) (p permutation) {
	var strides [maxAxes]int
	n := 1
	for k := len(shape) - 1; k >= 0; k-- {
		strides[k] = n
		n *= shape[k]
	}
	// The axes of dst, with neighbours merged that src runs through as through one.
	var dims, from, to [maxAxes]int
	r := 0
	for _, a := range perm {
		d, s := shape[a], strides[a]
		if d == 1 {
			continue
		}
		if r > 0 && from[r-1] == s*d {
			dims[r-1], from[r-1] = dims[r-1]*d, s
			continue
		}
		dims[r], from[r] = d, s
		r++
	}
	n = 1
	for k := r - 1; k >= 0; k-- {
		to[k] = n
		n *= dims[k]
	}
	if r == 0 {
		p.cols = 1
		p.outer.n, p.outer.dims[0] = 1, 1
		return p
	}
	last := r - 1
	p.cols, p.srcCol = dims[last], from[last]
	row := -1
	if from[last] != 1 {
		for k := range last {
			if from[k] == 1 {
				row = k
			}
		}
		p.rows, p.dstRow = dims[row], to[row]
	}
	for k := range last {
		if k != row {
			p.outer.dims[p.outer.n], p.outer.a[p.outer.n], p.outer.b[p.outer.n] = dims[k], from[k], to[k]
			p.outer.n++
		}
	}
	p.outer.dims[p.outer.n] = 1 // the last axis of an axes is within its rows
	p.outer.n++
	return p
}

// side is the number of rows of a task of a transposition, and of the columns that it turns at a time.
const side = 64

// tasks is the number of tasks of equal size, except for the last of each transposition.
func (p *permutation) tasks() int { return p.outer.outer() * p.parts() }

func (p *permutation) parts() int { return max(1, (p.rows+side-1)/side) }

// run executes tasks from to to.
func (p *permutation) run(y, x []float32, from, to int) {
	parts := p.parts()
	var tile []float32
	if p.rows > 0 {
		s := borrow()
		defer s.giveBack()
		tile = s.take(side * side)
	}
	p.outer.rows(from/parts, (to+parts-1)/parts, func(o, a, b int) {
		if p.rows == 0 {
			copy(y[b:b+p.cols], x[a:a+p.cols])
			return
		}
		for t := max(from, o*parts); t < min(to, (o+1)*parts); t++ {
			i := t % parts * side
			transpose(y[b+i*p.dstRow:], p.dstRow, x[a+i:], p.srcCol, p.cols, min(side, p.rows-i), tile)
		}
	})
}

// transpose writes x [rows, cols], rows ldx apart, cols ≤ side, as [cols, rows], rows ldy apart. Squares are turned
// within tile, so that memory is read and written in runs of several cache lines: single ones, a power of two apart,
// would throw each other out of the cache.
func transpose(y []float32, ldy int, x []float32, ldx, rows, cols int, tile []float32) {
	f, even := vectors().transpose, cols&^7
	for r := 0; r < rows; r += side {
		n := min(side, rows-r)
		i := 0
		for ; i+8 <= n && even > 0; i += 8 {
			f(even, &tile[i], side, &x[(r+i)*ldx], ldx)
			for k := i; k < i+8; k++ {
				for j := even; j < cols; j++ {
					tile[j*side+k] = x[(r+k)*ldx+j]
				}
			}
		}
		for ; i < n; i++ {
			for j, v := range x[(r+i)*ldx:][:cols] {
				tile[j*side+i] = v
			}
		}
		for j := range cols {
			copy(y[j*ldy+r:][:n], tile[j*side:])
		}
	}
}
