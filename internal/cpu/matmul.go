package cpu

import "github.com/gollava/gollava/internal/backend"

// MatMul computes p in blocks that several processors share.
func (d *Device) MatMul(p *backend.MatMul) {
	q := *p
	if q.Batch > 1 && q.BStride == 0 && !q.AT && q.AStride == q.M*q.K && q.CStride == q.M*q.N {
		q.M, q.Batch = q.M*q.Batch, 1 // one product with the rows of all
	}
	if q.M == 0 || q.N == 0 || q.Batch == 0 {
		return
	}
	s := borrow()
	defer s.giveBack()
	g := gemm{tiler: activeTiler(), m: q.M, n: q.N, k: q.K, a: floats(q.A, q.K), b: floats(q.B, q.N), cRow: q.N, accumulate: q.Accumulate}
	if q.AT {
		g.a.row, g.a.col = 1, q.M
	}
	if q.BT {
		g.b.row, g.b.col = 1, q.K
	}
	if !q.Accumulate {
		g.act = q.Act
		if q.Bias != nil {
			bias := floats(q.Bias, 0)
			if g.bias = bias.full; bias.half != nil {
				g.bias = s.take(q.N)
				bias.copyRow(g.bias, 0)
			}
		}
	}
	item := func(n int) gemm {
		h := g
		h.a.skip(n * q.AStride)
		h.b.skip(n * q.BStride)
		h.c = q.C.Float32()[n*q.CStride:]
		if q.Pre != nil && !q.Accumulate {
			h.pre = q.Pre.Float32()[n*q.CStride:]
		}
		return h
	}
	work := q.M * q.N * q.K
	if q.Batch > 1 && work < 8*taskWork {
		ranges(q.Batch, max(1, taskWork/max(work, 1)), func(from, to int) {
			s := borrow()
			defer s.giveBack()
			for n := from; n < to; n++ {
				h := item(n)
				h.region(0, h.m, 0, h.n, s)
			}
		})
		return
	}
	for n := range q.Batch {
		h := item(n)
		h.run(s)
	}
}

// floats is a row-major matrix with rows of cols elements.
func floats(b *backend.Buffer, cols int) operand {
	if b.DType == backend.BFloat16 {
		return operand{half: b.BFloat16(), row: cols, col: 1}
	}
	return operand{full: b.Float32(), row: cols, col: 1}
}

// skip drops the first n elements.
func (x *operand) skip(n int) {
	if x.half != nil {
		x.half = x.half[n:]
	} else {
		x.full = x.full[n:]
	}
}

// taskWork is the number of multiply-adds that make a task: some 10 µs.
const taskWork = 1 << 19

// run computes the product with tasks for several processors.
func (g *gemm) run(s *scratch) {
	work := g.m * g.n * g.k
	switch {
	case work < 2*taskWork:
		g.region(0, g.m, 0, g.n, s)
	case g.k > g.depth && g.m*g.n*g.depth < 8*taskWork:
		g.cut(g.k, g.n, func(i0, i1, j0, j1 int, s *scratch) { g.region(i0, i1, j0, j1, s) })
	default:
		g.shared(s)
	}
}

// cut covers m rows by n columns of C with tasks of about taskWork multiply-adds, given the inner length.
func (g *gemm) cut(depth, n int, f func(i0, i1, j0, j1 int, s *scratch)) {
	tasks := min(max(1, g.m*n*depth/taskWork), 1<<16)
	down := min(tasks, (g.m+g.rows-1)/g.rows)
	height := min((g.m/down+g.rows-1)/g.rows*g.rows, g.height)
	down = (g.m + height - 1) / height
	across := min((tasks+down-1)/down, g.panels(n))
	width := (g.panels(n) + across - 1) / across * g.cols
	across = (n + width - 1) / width
	parallel(down*across, func(t int) {
		s := borrow()
		defer s.giveBack()
		i, j := t%down*height, t/down*width
		f(i, min(g.m, i+height), j, min(n, j+width), s)
	})
}

// shared packs each block of B once, for all tasks.
func (g *gemm) shared(s *scratch) {
	mark := s.used
	for j := 0; j < g.n; j += g.width {
		end := min(g.n, j+g.width)
		for k := 0; k == 0 || k < g.k; k += g.depth {
			depth := min(g.depth, g.k-k)
			panels := s.take(depth * g.panels(end-j) * g.cols)
			ranges(g.panels(end-j), max(1, 1<<15/(depth*g.cols+1)), func(from, to int) { g.pack(panels, k, depth, j, end, from, to) })
			g.cut(depth, end-j, func(i0, i1, j0, j1 int, s *scratch) {
				g.block(i0, i1, j+j0, j+j1, k, depth, panels[j0*depth:], s)
			})
			s.used = mark
		}
	}
}
