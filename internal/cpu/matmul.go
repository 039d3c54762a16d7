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
	if q.B.DType.Quantized() {
		d.quantized(&q)
		return
	}
	s := borrow()
	defer s.giveBack()
	var bias []float32
	if q.Bias != nil && !q.Accumulate {
		x := floats(q.Bias, 0)
		if bias = x.full; x.half != nil {
			bias = s.take(q.N)
			x.copyRow(bias, 0)
		}
	}
	work := max(q.M, 4) * q.N * q.K // reading B takes as long as multiplying it by about four rows
	switch {
	case q.Batch == 1 && work < 2*taskWork:
		g := item(&q, 0, bias)
		g.serial(s)
	case q.Batch == 1:
		run(&q, 0, bias, s)
	case work < 8*taskWork:
		batch(&q, bias, max(1, taskWork/max(work, 1)))
	default:
		for n := range q.Batch {
			run(&q, n, bias, s)
		}
	}
}

// batch computes the products of a batch, each by one processor, grain of them in a task.
func batch(q *backend.MatMul, bias []float32, grain int) {
	p := *q // so that only large products allocate
	ranges(p.Batch, grain, func(from, to int) {
		s := borrow()
		defer s.giveBack()
		for n := from; n < to; n++ {
			g := item(&p, n, bias)
			g.serial(s)
		}
	})
}

// item is product n of a batch.
func item(q *backend.MatMul, n int, bias []float32) gemm {
	g := gemm{m: q.M, n: q.N, k: q.K, a: floats(q.A, q.K), b: floats(q.B, q.N), c: q.C.Float32(), cRow: q.N,
		accumulate: q.Accumulate, half: q.Half, bias: bias}
	if q.AT {
		g.a.row, g.a.col = 1, q.M
	}
	if q.BT {
		g.b.row, g.b.col = 1, q.K
	}
	if !q.Accumulate {
		g.act = q.Act
		if q.Pre != nil {
			g.pre = q.Pre.Float32()[n*q.CStride:]
		}
	}
	g.a.skip(n * q.AStride)
	g.b.skip(n * q.BStride)
	g.c = g.c[n*q.CStride:]
	g.chooseTiler()
	return g
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

// serial computes the product on the calling goroutine.
func (g *gemm) serial(s *scratch) {
	mark := s.used
	if g.chooseUnit(s, false); g.isSkinny() {
		g.skinnyPart(g.rowsOfA(s), 0, g.n, s)
	} else {
		g.region(0, g.m, 0, g.n, s)
	}
	s.used = mark
}

// run computes product n of a batch with tasks for several processors.
func run(q *backend.MatMul, n int, bias []float32, s *scratch) {
	mark := s.used
	g := item(q, n, bias)
	g.spread(s)
	s.used = mark
}

// spread computes the product with tasks for several processors.
func (g *gemm) spread(s *scratch) {
	switch g.chooseUnit(s, true); {
	case g.isSkinny():
		g.skinny(s)
	case !g.decodes() && g.m*g.n <= smallC && g.k >= 2*minDepth && g.k > max(g.m, g.n):
		g.splitDepth(s)
	default:
		g.shared(s)
	}
}

// decodes reports whether a row of C may not depend on how many there are: what follows may then depend on n and k, not
// on m.
func (g *gemm) decodes() bool { return g.b.row == 1 && g.m <= backend.DecodeRows }

// A product whose C is small and whose inner length is the longest, as of a weight's gradient, is cut along the inner
// length: C has up to smallC elements, and a part is at least minDepth long.
const (
	smallC   = 1 << 15
	minDepth = 192
)

// splitDepth computes parts of the inner length on their own and adds the partial results in order.
func (g *gemm) splitDepth(s *scratch) {
	parts := min(max(g.m*g.n*g.k/(2*taskWork), (g.k+g.depth-1)/g.depth), g.k/minDepth)
	depth := (g.k + parts - 1) / parts
	parts = (g.k + depth - 1) / depth
	size := g.m * g.n
	sums := s.take(parts * size)
	parallel(parts, func(t int) {
		s := borrow()
		defer s.giveBack()
		h := gemm{tiler: g.tiler, depth: g.depth, m: g.m, n: g.n, k: min(depth, g.k-t*depth), a: g.a, b: g.b,
			c: sums[t*size:][:size], cRow: g.n}
		h.a.skip(t * depth * g.a.col)
		h.b.skip(t * depth * g.b.row)
		h.region(0, h.m, 0, h.n, s)
	})
	ranges(g.m, max(1, taskWork/16/(parts*g.n)), func(from, to int) {
		for i := from; i < to; i++ {
			c := g.c[i*g.cRow:][:g.n]
			if !g.accumulate {
				clear(c)
				copy(c, g.bias)
			}
			for t := range parts {
				for j, v := range sums[t*size+i*g.n:][:g.n] {
					c[j] += v
				}
			}
		}
		g.finish(from, to, 0, g.n)
	})
}

// rowsAtOnce is the number of rows of A that are packed at once.
const rowsAtOnce = 2048

// shared packs blocks of A and B once, for all tasks.
func (g *gemm) shared(s *scratch) {
	mark := s.used
	for j := 0; j < g.n; j += g.width {
		end := min(g.n, j+g.width)
		direct := g.direct(end - j)
		for k := 0; k == 0 || k < g.k; k += g.depth {
			depth := min(g.depth, g.k-k)
			panels := s.take(g.panels(end-j) * g.panel(depth))
			perTask := max(1, packWork/(depth*g.cols+1))
			packing, panelsEnd := (g.panels(end-j)+perTask-1)/perTask, s.used
			for i := 0; i < g.m; i += rowsAtOnce {
				s.used = panelsEnd
				h := g.grid(i, min(g.m, i+rowsAtOnce), j, end, depth)
				once := !direct && h.across == 1 // rows of A that one task multiplies are packed by it
				a := make([]tilesOfA, h.down)
				size := (g.sizeA(h.height, depth) + 15) &^ 15
				packB := func(t int) {
					g.packB(panels, k, depth, j, end, t*perTask, min(g.panels(end-j), (t+1)*perTask))
				}
				switch {
				case direct:
					for t := range a {
						from, to := h.rows(t)
						a[t] = g.tilesInPlace(from, to, k)
					}
					parallel(packing, packB)
				case once:
					parallel(packing, packB)
				default:
					packed := s.take(h.down * size)
					parallel(h.down+packing, func(t int) {
						if t < h.down {
							from, to := h.rows(t)
							a[t] = g.packA(packed[t*size:][:size], from, to, k, depth)
						} else {
							packB(t - h.down)
						}
					})
				}
				packing = 0
				parallel(h.down*h.across, func(t int) {
					rows := &a[t%h.down]
					if once {
						s := borrow()
						defer s.giveBack()
						from, to := h.rows(t)
						*rows = g.packA(s.take(size), from, to, k, depth)
					}
					from, to := h.columns(t / h.down)
					g.block(rows, from, to, k, depth, panels[(from-j)/g.cols*g.panel(depth):])
				})
			}
			s.used = mark
		}
	}
}

// packWork is the number of elements that a task packs.
const packWork = 1 << 15

// grid cuts a part of C into tasks.
type grid struct {
	i0, i1, j0, j1 int
	height, width  int // of a task
	down, across   int // tasks
}

func (h *grid) rows(t int) (from, to int) {
	return h.i0 + t*h.height, min(h.i1, h.i0+(t+1)*h.height)
}

func (h *grid) columns(t int) (from, to int) {
	return h.j0 + t*h.width, min(h.j1, h.j0+(t+1)*h.width)
}

// grid cuts rows [i0, i1) and columns [j0, j1) into up to maxTasks tasks of about taskWork multiply-adds or more, given
// the inner length. Tasks are high before they are wide, since those of one height read the same panels of B one after
// another.
func (g *gemm) grid(i0, i1, j0, j1, depth int) grid {
	const maxTasks = 32
	m, n := i1-i0, j1-j0
	tasks := min(max(1, m*n*depth/taskWork), maxTasks)
	height := min((m+g.rows-1)/g.rows*g.rows, g.height/2/g.rows*g.rows)
	down := (m + height - 1) / height
	across := min((tasks+down-1)/down, max(1, g.panels(n)/4))
	if down*across < tasks {
		down = min((tasks+across-1)/across, (m+g.rows-1)/g.rows)
	}
	height = ((m+down-1)/down + g.rows - 1) / g.rows * g.rows
	width := (g.panels(n) + across - 1) / across * g.cols
	return grid{i0, i1, j0, j1, height, width, (m + height - 1) / height, (n + width - 1) / width}
}
