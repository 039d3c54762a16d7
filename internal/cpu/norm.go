package cpu

import (
	"math"

	"github.com/gollava/gollava/internal/backend"
)

// wide returns b as float32, widened into s if need be; nil if b is nil.
func wide(b *backend.Buffer, s *scratch) []float32 {
	if b == nil || b.DType == backend.Float32 {
		return optional(b)
	}
	w := s.take(b.Len)
	vectors().widen(w, b.BFloat16())
	return w
}

func (d *Device) RMSNorm(dst, rstd, x, w *backend.Buffer, rows, cols int, eps float32) {
	s := borrow()
	defer s.giveBack()
	y, q, u, ww := dst.Float32(), optional(rstd), x.Float32(), wide(w, s)
	if len(y) <= grain {
		rmsNorm(y, q, u, ww, 0, rows, cols, eps)
		return
	}
	ranges(rows, height(cols), func(i, j int) { rmsNorm(y, q, u, ww, i, j, cols, eps) })
}

func rmsNorm(y, rstd, x, w []float32, from, to, cols int, eps float32) {
	k := vectors()
	for r := from; r < to; r++ {
		row := x[r*cols : (r+1)*cols]
		q := inverseRoot(k.dot(row, row), cols, eps)
		if rstd != nil {
			rstd[r] = q
		}
		k.normalize(y[r*cols:(r+1)*cols], row, w, nil, 0, q)
	}
}

// inverseRoot is 1/√(sum/n + eps).
func inverseRoot(sum float32, n int, eps float32) float32 {
	return float32(1 / math.Sqrt(float64(sum)/float64(n)+float64(eps)))
}

func (d *Device) LayerNorm(dst, mean, rstd, x, w, b *backend.Buffer, rows, cols int, eps float32) {
	s := borrow()
	defer s.giveBack()
	y, m, q, u, ww, bb := dst.Float32(), optional(mean), optional(rstd), x.Float32(), wide(w, s), wide(b, s)
	if len(y) <= grain {
		layerNorm(y, m, q, u, ww, bb, 0, rows, cols, eps)
		return
	}
	ranges(rows, height(cols), func(i, j int) { layerNorm(y, m, q, u, ww, bb, i, j, cols, eps) })
}

func layerNorm(y, mean, rstd, x, w, b []float32, from, to, cols int, eps float32) {
	k := vectors()
	for r := from; r < to; r++ {
		row := x[r*cols : (r+1)*cols]
		m := k.sum(row) / float32(cols)
		q := inverseRoot(k.deviation(row, m), cols, eps)
		if mean != nil {
			mean[r], rstd[r] = m, q
		}
		k.normalize(y[r*cols:(r+1)*cols], row, w, b, m, q)
	}
}

// normGrad is the gradient of RMSNorm, or of LayerNorm where mean is not nil. What is nil is not wanted.
type normGrad struct {
	dx, dw, db           []float32
	x, w, mean, rstd, dy []float32
	cols                 int
}

func (d *Device) RMSNormGrad(dx, dw, x, w, rstd, dy *backend.Buffer, rows, cols int) {
	s := borrow()
	defer s.giveBack()
	g := normGrad{dx: optional(dx), dw: optional(dw), x: x.Float32(), w: wide(w, s), rstd: rstd.Float32(),
		dy: dy.Float32(), cols: cols}
	g.run(rows, s)
}

func (d *Device) LayerNormGrad(dx, dw, db, x, w, mean, rstd, dy *backend.Buffer, rows, cols int) {
	s := borrow()
	defer s.giveBack()
	g := normGrad{dx: optional(dx), dw: optional(dw), db: optional(db), x: x.Float32(), w: wide(w, s),
		mean: mean.Float32(), rstd: rstd.Float32(),
		dy: dy.Float32(), cols: cols}
	g.run(rows, s)
}

// run sums the columns of dw and db over chunks of rows, one after another, and then over the chunks: always in the
// same order.
func (g *normGrad) run(rows int, s *scratch) {
	clear(g.dw)
	clear(g.db)
	chunk := max(32, height(g.cols))
	if rows <= chunk {
		g.rows(0, rows, g.dw, g.db)
		return
	}
	own, chunks := *g, (rows+chunk-1)/chunk
	dws, dbs := s.take(chunks*len(g.dw)), s.take(chunks*len(g.db))
	parallel(chunks, func(i int) {
		dw, db := dws[i*len(own.dw):][:len(own.dw)], dbs[i*len(own.db):][:len(own.db)]
		clear(dw)
		clear(db)
		own.rows(i*chunk, min(rows, (i+1)*chunk), dw, db)
	})
	add := vectors().binary[backend.Add]
	for i := range chunks {
		add(g.dw, g.dw, dws[i*len(g.dw):][:len(g.dw)])
		add(g.db, g.db, dbs[i*len(g.db):][:len(g.db)])
	}
}

// rows computes dx of some rows, and adds to dw and db.
func (g *normGrad) rows(from, to int, dw, db []float32) {
	k, n := vectors(), float32(g.cols)
	if len(dw) == 0 {
		dw = nil
	}
	if len(db) == 0 {
		db = nil
	}
	for r := from; r < to; r++ {
		x, dy := g.x[r*g.cols:(r+1)*g.cols], g.dy[r*g.cols:(r+1)*g.cols]
		m, q := float32(0), g.rstd[r]
		if g.mean != nil {
			m = g.mean[r]
		}
		if dw != nil || db != nil {
			k.normCols(dw, db, x, dy, m, q) // before dx overwrites dy
		}
		if g.dx == nil {
			continue
		}
		sum, along := k.normSums(x, g.w, dy, m)
		if g.mean == nil {
			sum = 0
		}
		k.normGrad(g.dx[r*g.cols:(r+1)*g.cols], x, g.w, dy, m, q, -along*q*q*q/n, -sum*q/n)
	}
}

func (d *Device) L2Normalize(dst, norm, x *backend.Buffer, rows, cols int, eps float32) {
	y, n, u := dst.Float32(), norm.Float32(), x.Float32()
	if len(y) <= grain {
		l2Normalize(y, n, u, cols, eps)
		return
	}
	ranges(rows, height(cols), func(i, j int) { l2Normalize(y[i*cols:j*cols], n[i:j], u[i*cols:j*cols], cols, eps) })
}

func l2Normalize(y, norm, x []float32, cols int, eps float32) {
	k := vectors()
	for r := range norm {
		row := x[r*cols : (r+1)*cols]
		norm[r] = max(float32(math.Sqrt(float64(k.dot(row, row)))), eps)
		k.affine(y[r*cols:(r+1)*cols], row, 1/norm[r], 0)
	}
}

func (d *Device) L2NormalizeGrad(dx, y, norm, dy *backend.Buffer, rows, cols int) {
	o, u, n, g := dx.Float32(), y.Float32(), norm.Float32(), dy.Float32()
	if len(o) <= grain {
		l2NormalizeGrad(o, u, n, g, cols)
		return
	}
	ranges(rows, height(cols), func(i, j int) {
		l2NormalizeGrad(o[i*cols:j*cols], u[i*cols:j*cols], n[i:j], g[i*cols:j*cols], cols)
	})
}

func l2NormalizeGrad(dx, y, norm, dy []float32, cols int) {
	k := vectors()
	for r, n := range norm {
		y, dy := y[r*cols:(r+1)*cols], dy[r*cols:(r+1)*cols]
		k.axpby(dx[r*cols:(r+1)*cols], dy, y, 1/n, -k.dot(y, dy)/n)
	}
}
