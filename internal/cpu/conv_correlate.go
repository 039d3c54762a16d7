package cpu

// correlation is a product of weights and patches: c[image, i, p] = bias[i] + Σ a[i, k]·x(k, p), with k =
// channel·taps + tap. The column of patches x(·, p) is never formed: what is packed for the tiles are the elements
// that the taps of planes read at output p.
//
// Every output is, in every block of depth terms, one chain of multiply-adds in order of k, and the blocks' sums
// are added in order: the result does not depend on how outputs are cut into tasks.
type correlation struct {
	gemm            // a [m, k] and c of the first image; n is the number of outputs of all images
	turned  *turned // where the weights lie if a does not say it
	src     *planes //
	first   int     // channel of src that comes first
	own     int     // channels
	taps    []int   // where in src each tap reads output 0 of channel 0
	out     [3]int  // outputs of an image along each axis
	images  int
	cImage  int       // elements from one image's outputs to the next's
	rowBias []float32 // [m] or nil
}

// turned is weights that lie as those of the convolution whose input is computed: that of row i, a channel and a
// tap at i·row + channel·col + tap.
type turned struct {
	w        []float32
	row, col int
	taps     []int
}

// few is the number of rows up to which a chain of vector operations on whole planes costs less than packing
// patches.
const few = 2

// run computes the correlation. A is packed first, for all. A task packs some panels and multiplies them, while
// they are in a core's second cache, with all rows or, where there are few panels, with part of them.
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
	c.depth = max(1, ceilDiv(c.k, max(1, ceilDiv(c.k, c.deepest)))) // blocks of equal depth
	blocks := max(1, ceilDiv(c.k, c.depth))
	const tasks = 16 // that share the work evenly, if there is enough of it
	enough := ceilDiv(taskWork, max(1, c.m*c.k*c.cols))
	const inCache = 1 << 16 // elements of a second cache's half, or less
	wide := min(max(enough, min(8, ceilDiv(total, tasks))), max(1, inCache/(c.depth*c.cols)))
	across := ceilDiv(total, wide)
	parts := min(ceilDiv(tasks, across), ceilDiv(c.m, c.rows), max(1, c.m*c.n*c.k/taskWork))
	down := max(parts, ceilDiv(c.m, c.height/2))
	high := ceilDiv(ceilDiv(c.m, down), c.rows) * c.rows
	down = ceilDiv(c.m, high)
	parts = min(parts, down)

	size := (c.sizeA(high, c.depth) + 15) &^ 15
	const atOnce = 1 << 22 // elements of A, unless a block has more
	step := min(blocks, max(1, atOnce/(down*size)))
	a := make([]tilesOfA, step*down)
	packed := s.take(step * down * size)
	for block := 0; block < blocks; block += step {
		some := min(step, blocks-block)
		parallel(some*down, func(t int) {
			k, i := (block+t/down)*c.depth, t%down*high
			a[t] = c.weights(packed[t*size:][:size], i, min(c.m, i+high), k, min(c.depth, c.k-k))
		})
		parallel(across*parts, func(t int) {
			s := borrow()
			defer s.giveBack()
			q, from, to := t/parts*wide, t%parts*down/parts, (t%parts+1)*down/parts
			end := min(total, q+wide)
			panels := s.take(wide*c.depth*c.cols + spill)
			for b := range some {
				k := (block + b) * c.depth
				depth := min(c.depth, c.k-k)
				for p := q; p < end; p++ {
					c.pack(panels[(p-q)*depth*c.cols:], p/perImage, p%perImage*c.cols, k, depth)
				}
				for _, rows := range a[b*down+from : b*down+to] {
					for p := q; p < end; p++ {
						c.multiply(&rows, p/perImage, p%perImage*c.cols, k, depth, at(panels, (p-q)*depth*c.cols))
					}
				}
			}
		})
	}
}

// weights returns rows [from, to) and columns [k, k+depth) of A, packed unless tiles can read them in place.
func (c *correlation) weights(packed []float32, from, to, k, depth int) tilesOfA {
	switch {
	case c.turned == nil && c.direct(c.n):
		return c.tilesInPlace(from, to, k)
	case c.turned == nil:
		return c.packA(packed, from, to, k, depth)
	}
	t := tilesOfA{full: packed, row: 1, col: c.rows, from: from, to: to, bands: c.bands(to - from)}
	i, at := from, 0
	for n, band := range t.bands {
		t.tile[n] = c.sizeTile(band.rows, depth)
		for range band.tiles {
			c.turned.pack(packed[at:], i, band.rows, k, depth, c.rows)
			i, at = i+band.rows, at+t.tile[n]
		}
	}
	return t
}

// pack writes columns [k, k+depth) of rows rows, from the i-th on, as dst [depth, width].
func (w *turned) pack(dst []float32, i, rows, k, depth, width int) {
	for p := range depth {
		x := w.w[(k+p)/len(w.taps)*w.col+w.taps[(k+p)%len(w.taps)]+i*w.row:]
		to := dst[p*width:][:rows]
		for r := range to {
			to[r] = x[r*w.row]
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
		// Rows row, row+taps, … hold this tap of channels from first on.
		first := max(0, ceilDiv(k-t, taps))
		row := first*taps + t - k
		if count := min(c.own-first, ceilDiv(depth-row, taps)); count > 0 {
			at := tap + (c.first+first)*c.src.channel + image*c.src.plane
			c.packRows(panel[row*c.cols:], taps*c.cols, count, at, parts, cols)
		}
	}
}

// packRows copies the stretches of count channels as rows that lie dRow apart.
func (c *correlation) packRows(dst []float32, dRow, count, at int, parts []stretch, cols int) {
	src := operand{full: c.src.data, row: c.src.channel, col: 1}
	if len(parts) == 1 && copyStrip(count, dst, dRow, &src, at+parts[0].from, cols, c.cols) {
		return
	}
	// From right to left: what a short stretch takes along on its left is overwritten. The leftmost takes nothing along,
	// since another row ends there.
	const strip = 8
	for i := len(parts) - 1; i >= 0; i-- {
		r := parts[i]
		from, done := at+r.from, false
		if least := strip - r.n; least <= 0 || i > 0 && least <= r.to && least <= from {
			for e := min(0, r.n-strip); e < r.n; e += strip {
				e := min(e, r.n-strip)
				done = copyStrip(count, dst[r.to+e:], dRow, &src, from+e, strip, strip)
			}
		}
		for k := 0; k < count && !done; k++ {
			x := c.src.data[from+k*c.src.channel:][:r.n]
			for e := range x {
				dst[k*dRow+r.to+e] = x[e]
			}
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
					x := c.src.data[c.taps[tap]+(c.first+channel)*c.src.channel+image*c.src.plane+j:]
					k.axpy(part, x[:len(part)], c.weight(i, channel, tap))
				}
			}
			out := c.c[image*c.cImage+i*c.cRow:]
			for row := range c.out[0] * c.out[1] {
				copy(out[row*c.out[2]:][:c.out[2]], sums[c.src.offset(row/c.out[1], row%c.out[1], 0):])
			}
		}
	})
}

// weight is one element of A.
func (c *correlation) weight(i, channel, tap int) float32 {
	if w := c.turned; w != nil {
		return w.w[i*w.row+channel*w.col+w.taps[tap]]
	}
	return c.a.at(i*c.a.row + channel*len(c.taps) + tap)
}
