package cpu

// correlation is a product of weights and patches: c[image, i, p] = bias[i] + Σ a[i, k]·x(k, p). The column of
// patches x(·, p) is never formed: what is packed for the tiles are the elements that the taps of planes read at
// output p.
//
// Every output is one chain of multiply-adds in order of k, cut into blocks that depend on sizes alone.
type correlation struct {
	gemm            // a [m, k] and c of the first image; n is the number of outputs of all images
	src     *planes //
	first   int     // channel of src that comes first
	own     int     // channels
	taps    []int   // of src, in the order that k counts
	byTap   bool    // k = tap·own + channel; else channel·taps + tap
	out     [3]int  // outputs of an image along each axis
	images  int
	cImage  int       // elements from one image's outputs to the next's
	rowBias []float32 // [m] or nil
}

// few is the number of rows up to which a chain of vector operations on whole planes costs less than packing
// patches.
const few = 2

// run computes the correlation with tasks for several processors.
func (c *correlation) run(s *scratch) {
	if c.m == 0 || c.n == 0 {
		return
	}
	if c.m <= few {
		c.planewise()
		return
	}
	c.chooseTiler()
	perImage := c.panels(c.n / c.images)
	total := c.images * perImage
	direct := c.direct(c.n)
	c.depth = max(1, ceilDiv(c.k, max(1, ceilDiv(c.k, c.deepest)))) // blocks of equal depth
	mark := s.used
	for q := 0; q < total; q += max(1, c.width/c.cols) {
		end := min(total, q+max(1, c.width/c.cols))
		for k := 0; k == 0 || k < c.k; k += c.depth {
			depth := min(c.depth, c.k-k)
			h := c.grid(0, c.m, q*c.cols, end*c.cols, depth)
			rows := make([]tilesOfA, h.down)
			size := (c.sizeA(h.height, depth) + 15) &^ 15
			panels := s.take((end-q)*depth*c.cols + spill)
			perTask := max(1, packWork/(depth*c.cols+1))
			pack := func(t int) {
				for p := t * perTask; p < min(end-q, (t+1)*perTask); p++ {
					c.pack(panels[p*depth*c.cols:], (q+p)/perImage, (q+p)%perImage*c.cols, k, depth)
				}
			}
			if packing := ceilDiv(end-q, perTask); direct {
				for t := range rows {
					from, to := h.rows(t)
					rows[t] = c.tilesInPlace(from, to, k)
				}
				parallel(packing, pack)
			} else {
				packed := s.take(h.down * size)
				parallel(h.down+packing, func(t int) {
					if t < h.down {
						from, to := h.rows(t)
						rows[t] = c.packA(packed[t*size:][:size], from, to, k, depth)
					} else {
						pack(t - h.down)
					}
				})
			}
			parallel(h.down*h.across, func(t int) {
				from, to := h.columns(t / h.down)
				for j := from; j < to; j += c.cols {
					c.multiply(&rows[t%h.down], j/c.cols/perImage, j/c.cols%perImage*c.cols, k, depth, at(panels,
						(j/c.cols-q)*depth*c.cols))
				}
			})
			s.used = mark
		}
	}
}

// multiply adds the products of a, columns [k, k+depth) of A, and a packed panel to the outputs from j on of an
// image.
func (c *correlation) multiply(a *tilesOfA, image, j, k, depth int, panel *float32) {
	cols := min(c.cols, c.n/c.images-j)
	tile := c.forColumns(cols).tile
	out := c.c[image*c.cImage+j:]
	if k == 0 && c.rowBias != nil {
		for i := a.from; i < a.to; i++ {
			set(out[i*c.cRow:][:cols], c.rowBias[i])
		}
	}
	i, from := a.from, 0
	for n, band := range a.bands {
		if band.tiles == 0 {
			continue
		}
		y := at(out, i*c.cRow)
		d, dRow := y, c.cRow
		if k == 0 && c.rowBias == nil {
			d, dRow = nil, 0
		}
		tile[band.rows-1](band.tiles, depth, at(a.full, from), a.tile[n], a.row, a.col, panel, c.cols, d, dRow, y,
			c.cRow, cols)
		i += band.tiles * band.rows
		from += band.tiles * a.tile[n]
	}
}

// stretch is n elements of a panel's row that lie together in a plane.
type stretch struct{ to, from, n int }

// stretches cuts the outputs [j, j+cols) of an image where a row of outputs ends.
func (c *correlation) stretches(dst []stretch, j, cols int) []stretch {
	for done := 0; done < cols; {
		x, row := (j+done)%c.out[2], (j+done)/c.out[2]
		n := min(cols-done, c.out[2]-x)
		dst = append(dst, stretch{done, c.src.offset(row/c.out[1], row%c.out[1], x), n})
		done += n
	}
	return dst
}

// pack writes rows [k, k+depth) of a panel: the patches of the outputs from j on of an image.
func (c *correlation) pack(panel []float32, image, j, k, depth int) {
	var space [64]stretch
	cols := min(c.cols, c.n/c.images-j)
	parts := c.stretches(space[:0], j, cols)
	taps := len(c.taps)
	for t, tap := range c.taps {
		// Rows row, row+step, … hold this tap of channels from first on.
		first, row, step := max(0, ceilDiv(k-t, taps)), 0, taps
		if c.byTap {
			first, row, step = max(0, k-t*c.own), 0, 1
			row = max(0, t*c.own-k)
		} else {
			row = first*taps + t - k
		}
		count := min(c.own-first, ceilDiv(depth-row, step))
		if count > 0 {
			at := tap + (c.first+first)*c.src.channel + image*c.src.plane
			c.packRows(panel[row*c.cols:], step*c.cols, count, at, parts, cols)
		}
	}
}

// packRows copies the stretches of count channels as rows that lie dRow apart.
func (c *correlation) packRows(dst []float32, dRow, count, at int, parts []stretch, cols int) {
	src := operand{full: c.src.data, row: c.src.channel, col: 1}
	if len(parts) == 1 && copyStrip(count, dst, dRow, &src, at+parts[0].from, cols, c.cols) {
		return
	}
	const strip = 8
	done := true
	for _, r := range parts {
		done = done && r.n%strip == 0
	}
	for _, r := range parts {
		for i := 0; i < r.n && done; i += strip {
			done = copyStrip(count, dst[r.to+i:], dRow, &src, at+r.from+i, strip, strip)
		}
	}
	if done {
		return
	}
	for i := range count {
		for _, r := range parts {
			copy(dst[i*dRow+r.to:][:r.n], c.src.data[at+i*c.src.channel+r.from:])
		}
	}
}

// chunk is the number of outputs of which a processor's first cache holds the sums and what is added.
const chunk = 2048

// planewise computes row by row, of all outputs of an image at once: those between rows of outputs, too, which are
// left out in the end.
func (c *correlation) planewise() {
	n := c.src.offset(c.out[0]-1, c.out[1]-1, c.out[2]-1) + 1
	k := vectors()
	ranges(c.m*c.images, max(1, taskWork/8/(n*(c.k+1))), func(from, to int) {
		s := borrow()
		defer s.giveBack()
		sums := s.take(n)
		for u := from; u < to; u++ {
			i, image := u/c.images, u%c.images
			bias := float32(0)
			if c.rowBias != nil {
				bias = c.rowBias[i]
			}
			set(sums, bias)
			for j := 0; j < n; j += chunk {
				part := sums[j:min(n, j+chunk)]
				for p := range c.k {
					channel, tap := p/len(c.taps), p%len(c.taps)
					if c.byTap {
						channel, tap = p%c.own, p/c.own
					}
					x := c.src.data[c.taps[tap]+(c.first+channel)*c.src.channel+image*c.src.plane+j:]
					k.axpy(part, x[:len(part)], c.a.at(i*c.a.row+p*c.a.col))
				}
			}
			out := c.c[image*c.cImage+i*c.cRow:]
			for row := range c.out[0] * c.out[1] {
				copy(out[row*c.out[2]:][:c.out[2]], sums[c.src.offset(row/c.out[1], row%c.out[1], 0):])
			}
		}
	})
}
