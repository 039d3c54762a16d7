package conformance

import (
	"math"

	"github.com/gollava/gollava/internal/backend"
)

// weight is w as a source, in bfloat16 if half.
func (s *suite) weight(w []float32, half bool) *backend.Buffer {
	if half {
		return s.half(w)
	}
	return s.in(w)
}

func narrowed(x []float64) []float32 {
	o := make([]float32, len(x))
	for i, v := range x {
		o[i] = float32(v)
	}
	return o
}

// normCase is a normalisation in float64: its statistics, its values, and the gradients for dy.
type normCase struct {
	rows, cols           int
	x, w, b, dy          []float32
	mean, rstd, y        []float64
	dx, dw, db, dwm, dbm []float64 // dwm, dbm: the sums of magnitudes that make dw and db
}

// compute fills everything from x, w, b and dy. centre subtracts the mean, as LayerNorm does.
func (c *normCase) compute(centre bool, eps float64) {
	n := float64(c.cols)
	c.mean, c.rstd = make([]float64, c.rows), make([]float64, c.rows)
	c.y, c.dx = make([]float64, len(c.x)), make([]float64, len(c.x))
	c.dw, c.db = make([]float64, c.cols), make([]float64, c.cols)
	c.dwm, c.dbm = make([]float64, c.cols), make([]float64, c.cols)
	for r := range c.rows {
		x, dy := c.x[r*c.cols:(r+1)*c.cols], c.dy[r*c.cols:(r+1)*c.cols]
		if centre {
			for _, v := range x {
				c.mean[r] += float64(v) / n
			}
		}
		power := 0.0
		for _, v := range x {
			power += (float64(v) - c.mean[r]) * (float64(v) - c.mean[r]) / n
		}
		c.rstd[r] = 1 / math.Sqrt(power+eps)
		hat := func(j int) float64 { return (float64(x[j]) - c.mean[r]) * c.rstd[r] }
		along, shift := 0.0, 0.0 // means of dŷ·x̂ and of dŷ
		for j := range x {
			g := float64(dy[j]) * float64(c.w[j])
			along += g * hat(j) / n
			if centre {
				shift += g / n
			}
			c.dw[j] += float64(dy[j]) * hat(j)
			c.db[j] += float64(dy[j])
			c.dwm[j] += math.Abs(float64(dy[j]) * hat(j))
			c.dbm[j] += math.Abs(float64(dy[j]))
		}
		for j := range x {
			c.y[r*c.cols+j] = hat(j) * float64(c.w[j])
			if c.b != nil {
				c.y[r*c.cols+j] += float64(c.b[j])
			}
			c.dx[r*c.cols+j] = c.rstd[r] * (float64(dy[j])*float64(c.w[j]) - shift - hat(j)*along)
		}
	}
}

// gradTolerance allows for the cancellation in dx, whose terms have the size of rstd·|dy·w|.
func (c *normCase) gradTolerance(i int) float64 {
	return 4e-6*math.Abs(c.dx[i]) + 8e-6*c.rstd[i/c.cols]
}

func rmsNorm(s *suite) {
	const eps = 1e-5
	for _, m := range shapes {
		for _, half := range []bool{false, true} {
			rows, cols := m[0], m[1]
			s.start("%d×%d, bfloat16 weight: %v", rows, cols, half)
			n := rows * cols
			c := &normCase{rows: rows, cols: cols, x: s.normal(n, 3), w: s.uniform(cols, 0.5, 1.5), dy: s.normal(n, 1)}
			w := s.weight(c.w, half)
			c.compute(false, eps)
			x, dy, rstd := s.in(c.x), s.in(c.dy), s.in(narrowed(c.rstd))
			y, y2, gotRstd := s.out(n), s.out(n), s.out(rows)
			s.dev.RMSNorm(y, gotRstd, x, w, rows, cols, eps)
			s.dev.RMSNorm(y2, nil, x, w, rows, cols, eps)
			s.near("dst", y, c.y, 4e-6, 1e-6)
			s.near("dst without rstd", y2, c.y, 4e-6, 1e-6)
			s.near("rstd", gotRstd, c.rstd, 2e-6, 0)

			dw := func(i int) float64 { return 4e-6 * c.dwm[i] }
			dx, gotDW := s.out(n), s.out(cols)
			s.dev.RMSNormGrad(dx, gotDW, x, w, rstd, dy, rows, cols)
			s.within("dx", dx, c.dx, c.gradTolerance)
			s.within("dw", gotDW, c.dw, dw)
			same, alone := s.inout(c.dy), s.out(cols)
			s.dev.RMSNormGrad(same, nil, x, w, rstd, same, rows, cols)
			s.dev.RMSNormGrad(nil, alone, x, w, rstd, dy, rows, cols)
			s.within("dx in place, without dw", same, c.dx, c.gradTolerance)
			s.within("dw without dx", alone, c.dw, dw)
			same, alone = s.inout(c.dy), s.out(cols)
			s.dev.RMSNormGrad(same, alone, x, w, rstd, same, rows, cols)
			s.within("dx in place", same, c.dx, c.gradTolerance)
			s.within("dw beside dx in place", alone, c.dw, dw)
			s.done()
		}
	}
	s.start("a row with NaN between two without")
	x := s.normal(3*37, 1)
	x[37+11] = float32(math.NaN())
	c := &normCase{rows: 3, cols: 37, x: x, w: s.uniform(37, 0.5, 1.5), dy: s.normal(3*37, 1)}
	c.compute(false, eps)
	y := s.out(len(x))
	s.dev.RMSNorm(y, nil, s.in(x), s.in(c.w), 3, 37, eps)
	s.near("dst", y, c.y, 4e-6, 1e-6)
	s.done()
}

func layerNorm(s *suite) {
	const eps = 1e-5
	for _, m := range shapes {
		for form := range 6 { // without bias, with, shifted; each with float32 and bfloat16 weights
			rows, cols := m[0], m[1]
			half := form >= 3
			s.start("%d×%d, form %d", rows, cols, form)
			n := rows * cols
			c := &normCase{rows: rows, cols: cols, x: s.normal(n, 3), w: s.uniform(cols, 0.5, 1.5), dy: s.normal(n, 1)}
			if form%3 == 2 {
				for i := range c.x { // a mean far larger than the deviation
					c.x[i] += 100
				}
			}
			w := s.weight(c.w, half)
			var b *backend.Buffer
			if form%3 > 0 {
				c.b = s.normal(cols, 1)
				b = s.weight(c.b, half)
			}
			c.compute(true, eps)
			if cols == 1 {
				for i := range c.rstd { // of one element nothing remains but eps
					c.mean[i] = float64(c.x[i])
				}
			}
			x, dy := s.in(c.x), s.in(c.dy)
			mean32 := narrowed(c.mean)
			mean, rstd := s.in(mean32), s.in(narrowed(c.rstd))
			// The mean is handed over in float32: rounding it moves every x̂ of its row by up to rstd·|mean|·2⁻²⁴.
			blur := func(r int) float64 { return 2e-7 * math.Abs(c.mean[r]) * c.rstd[r] }
			value := func(i int) float64 { return 4e-6*math.Abs(c.y[i]) + 2e-6 + 4*blur(i/cols) }
			y, y2, gotMean, gotRstd := s.out(n), s.out(n), s.out(rows), s.out(rows)
			s.dev.LayerNorm(y, gotMean, gotRstd, x, w, b, rows, cols, eps)
			s.dev.LayerNorm(y2, nil, nil, x, w, b, rows, cols, eps)
			s.within("dst", y, c.y, value)
			s.within("dst without statistics", y2, c.y, value)
			s.near("mean", gotMean, c.mean, 1e-6, 1e-5)
			if cols > 1 {
				s.near("rstd", gotRstd, c.rstd, 4e-6, 0)
			}
			slack := 0.0
			for r := range rows {
				slack = math.Max(slack, blur(r))
			}
			dw := func(i int) float64 { return 4e-6*c.dwm[i] + slack*c.dbm[i] }
			dx := func(i int) float64 { return c.gradTolerance(i) + 20*blur(i/cols)*c.rstd[i/cols] }
			db := func(i int) float64 { return 1e-6 * c.dbm[i] }
			for pick := range 8 {
				var DX, DW, DB *backend.Buffer
				from := dy
				if pick&1 != 0 {
					DX = s.out(n)
					if pick&2 != 0 {
						DX = s.inout(c.dy)
						from = DX
					}
				}
				if pick&2 != 0 {
					DW = s.out(cols)
				}
				if pick&4 != 0 {
					DB = s.out(cols)
				}
				s.dev.LayerNormGrad(DX, DW, DB, x, w, mean, rstd, from, rows, cols)
				if DX != nil {
					s.within("dx", DX, c.dx, dx)
				}
				if DW != nil {
					s.within("dw", DW, c.dw, dw)
				}
				if DB != nil {
					s.within("db", DB, c.db, db)
				}
			}
			s.done()
		}
	}
}

func l2Normalize(s *suite) {
	const eps = 1e-3
	for _, m := range shapes {
		rows, cols := m[0], m[1]
		s.start("%d×%d", rows, cols)
		n := rows * cols
		x, dy := s.normal(n, 3), s.normal(n, 1)
		if rows > 2 {
			for j := range cols {
				x[j], x[cols+j] = 0, x[cols+j]*1e-6 // rows of zeros, and shorter than eps
			}
		}
		y, norm, dx := make([]float64, n), make([]float64, rows), make([]float64, n)
		for r := range rows {
			power := 0.0
			for _, v := range x[r*cols : (r+1)*cols] {
				power += float64(v) * float64(v)
			}
			norm[r] = math.Max(math.Sqrt(power), eps)
			dot := 0.0
			for k := r * cols; k < (r+1)*cols; k++ {
				y[k] = float64(x[k]) / norm[r]
				dot += float64(float32(y[k])) * float64(dy[k])
			}
			for k := r * cols; k < (r+1)*cols; k++ {
				dx[k] = (float64(dy[k]) - y[k]*dot) / norm[r]
			}
		}
		got, gotNorm := s.out(n), s.out(rows)
		s.dev.L2Normalize(got, gotNorm, s.in(x), rows, cols, eps)
		s.near("dst", got, y, 4e-6, 1e-7)
		s.near("norm", gotNorm, norm, 2e-6, 0)
		yb, nb := s.in(narrowed(y)), s.in(narrowed(norm))
		gotDX, same := s.out(n), s.inout(dy)
		s.dev.L2NormalizeGrad(gotDX, yb, nb, s.in(dy), rows, cols)
		s.dev.L2NormalizeGrad(same, yb, nb, same, rows, cols)
		limit := func(i int) float64 { return 4e-6*math.Abs(dx[i]) + 8e-6/norm[i/cols] }
		s.within("dx", gotDX, dx, limit)
		s.within("dx in place", same, dx, limit)
		s.done()
	}
}
