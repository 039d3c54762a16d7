package imaging

// natural maps zigzag order to row-major order; the tail catches runs that lead out of the block.
var natural = [64 + 16]byte{
	0, 1, 8, 16, 9, 2, 3, 10, 17, 24, 32, 25, 18, 11, 4, 5, 12, 19, 26, 33, 40, 48, 41, 34, 27, 20, 13, 6, 7, 14, 21,
	28,
	35, 42, 49, 56, 57, 50, 43, 36, 29, 22, 15, 23, 30, 37, 44, 51, 58, 59, 52, 45, 38, 31, 39, 46, 53, 60, 61, 54, 47,
	55, 62, 63,
	63, 63, 63, 63, 63, 63, 63, 63, 63, 63, 63, 63, 63, 63, 63, 63,
}

// pace is what one scan adds: coefficients from to last in zigzag order, bits high (exclusive) to low.
type pace struct {
	from, last int
	high, low  uint
}

// scan reads a scan header and the scan.
func (d *jpegDecoder) scan(body []byte) error {
	if d.scans++; d.scans > maxScans {
		return fail(Corrupt, "more than %d scans", maxScans)
	}
	if d.comps == nil {
		return fail(Corrupt, "a scan before the frame header")
	}
	if len(body) < 1 || len(body) != 4+2*int(body[0]) || body[0] < 1 || int(body[0]) > len(d.comps) {
		return fail(Corrupt, "a scan header of %d bytes", len(body))
	}
	n := int(body[0])
	p := pace{last: 63}
	if tail := body[1+2*n:]; d.progressive {
		p = pace{int(tail[0]), int(tail[1]), uint(tail[2] >> 4), uint(tail[2] & 15)}
		if p.last > 63 || p.from > p.last || p.from == 0 && p.last != 0 || p.from > 0 && n > 1 || p.low > 13 ||
			p.high > 0 && p.high != p.low+1 {
			return fail(Corrupt, "a scan of coefficients %d to %d, bits %d to %d, of %d components", p.from, p.last,
				p.high, p.low, n)
		}
	}
	var list []*component
	blocks := 0
	for i := range n {
		c, err := d.scanned(body[1+2*i], body[2+2*i], p)
		if err != nil {
			return err
		}
		for _, other := range list {
			if other == c {
				return fail(Corrupt, "component %d is twice in a scan", c.id)
			}
		}
		list = append(list, c)
		blocks += c.h * c.v
	}
	if n > 1 && blocks > 10 {
		return fail(Corrupt, "%d blocks in an MCU", blocks)
	}
	return d.mcus(list, p)
}

// scanned finds a component of a scan and gives it the tables that it names.
func (d *jpegDecoder) scanned(id, tables byte, p pace) (*component, error) {
	for i := range d.comps {
		c := &d.comps[i]
		if c.id != id {
			continue
		}
		if c.quant == nil {
			if c.quant = d.quant[c.table]; c.quant == nil {
				return nil, fail(Corrupt, "quantisation table %d is not there", c.table)
			}
		}
		if tables>>4 > 3 || tables&15 > 3 {
			return nil, fail(Corrupt, "Huffman tables %d and %d", tables>>4, tables&15)
		}
		c.dcTree, c.acTree = d.trees[0][tables>>4], d.trees[1][tables&15]
		if p.from == 0 && p.high == 0 && c.dcTree == nil || p.last > 0 && c.acTree == nil {
			return nil, fail(Corrupt, "a Huffman table of component %d is not there", id)
		}
		return c, nil
	}
	return nil, fail(Corrupt, "a scan of component %d, which the frame does not have", id)
}

// mcus reads the minimum coded units of a scan: one block of a lone component, else what a grid of hMax×vMax blocks
// covers.
func (d *jpegDecoder) mcus(list []*component, p pace) error {
	r := &bitReader{data: d.data, at: d.at}
	across, down := d.mcusX, d.mcusY
	if len(list) == 1 {
		across, down = list[0].ownX, list[0].ownY
	}
	left, mark := d.restart, byte(mRST0)
	for _, c := range list {
		c.prediction = 0
	}
	for y := range down {
		for x := range across {
			if d.restart > 0 && left == 0 {
				if err := r.restart(mark); err != nil {
					return err
				}
				for _, c := range list {
					c.prediction = 0
				}
				left, mark = d.restart, mRST0+(mark-mRST0+1)%8
			}
			left--
			if len(list) == 1 {
				d.block(r, list[0], x, y, p)
			} else {
				for _, c := range list {
					for v := range c.v {
						for h := range c.h {
							d.block(r, c, x*c.h+h, y*c.v+v, p)
						}
					}
				}
			}
			if r.n < r.pad || r.bad {
				return r.check()
			}
		}
	}
	d.at = r.at
	return nil
}

// restart drops what is left of the bits, and steps over the restart marker that is due.
func (r *bitReader) restart(marker byte) error {
	for r.at+1 < len(r.data) && !(r.data[r.at] == 0xff && r.data[r.at+1] != 0 && r.data[r.at+1] != 0xff) {
		r.at++
	}
	if r.at+1 >= len(r.data) {
		return fail(Truncated, "the data ends within a scan")
	}
	if r.data[r.at+1] != marker {
		return fail(Corrupt, "marker %#02x where restart %#02x is due", r.data[r.at+1], marker)
	}
	*r = bitReader{data: r.data, at: r.at + 2}
	return nil
}

// block reads one block of a scan.
func (d *jpegDecoder) block(r *bitReader, c *component, x, y int, p pace) {
	if !d.progressive {
		var b [64]int32
		used := r.sequential(c, &b)
		inverseDCT(&b, used, c.pix[8*(y*c.stride+x):], c.stride)
		return
	}
	b := (*[64]int16)(c.coefficients[64*(y*c.blocksX+x):])
	switch {
	case p.from == 0 && p.high == 0:
		k := uint(r.next(c.dcTree) & 15)
		c.prediction += extend(r.bits(k), k)
		b[0] = int16(c.prediction << p.low)
	case p.from == 0:
		b[0] |= int16(r.bits(1) << p.low)
	case p.high == 0:
		r.firstAC(c.acTree, b, p)
	default:
		r.refineAC(c.acTree, b, p)
	}
}

// sequential reads a whole block, dequantised and in natural order. Bit i of used is set where coefficient i may not be
// zero.
func (r *bitReader) sequential(c *component, b *[64]int32) (used uint64) {
	k := uint(r.next(c.dcTree) & 15)
	c.prediction += extend(r.bits(k), k)
	b[0] = c.prediction * c.quant[0]
	used = 1
	t := c.acTree
	for i := 1; i < 64; i++ {
		if r.n < 32 {
			r.fill()
		}
		var s byte
		if e := t.look[r.acc>>((r.n-peekBits)&63)&(1<<peekBits-1)]; e != 0 {
			r.n -= uint(e >> 8)
			s = byte(e)
		} else {
			s = r.nextLong(t)
		}
		k := uint(s & 15)
		if k == 0 {
			if s != 0xf0 {
				break
			}
			i += 15
			continue
		}
		i += int(s >> 4)
		r.n -= k
		v := extend(int32(r.acc>>(r.n&63)&(1<<k-1)), k)
		at := natural[i] & 63
		b[at] = v * c.quant[i&63]
		used |= 1 << at
	}
	return used
}

// firstAC reads the high bits of a band of coefficients (T.81, G.1.2.2).
func (r *bitReader) firstAC(t *huffman, b *[64]int16, p pace) {
	if r.eob > 0 {
		r.eob--
		return
	}
	for i := p.from; i <= p.last; i++ {
		s := r.next(t)
		run, k := int(s>>4), uint(s&15)
		if k == 0 {
			if run < 15 {
				r.eob = 1<<run - 1 + int(r.bits(uint(run)))
				return
			}
			i += 15
			continue
		}
		i += run
		b[natural[i]] = int16(extend(r.bits(k), k) << p.low)
	}
}

// refineAC reads one more bit of each coefficient of a band (T.81, G.1.2.3).
func (r *bitReader) refineAC(t *huffman, b *[64]int16, p pace) {
	one := int16(1) << p.low
	i := p.from
	if r.eob == 0 {
		for ; i <= p.last; i++ {
			s := r.next(t)
			run, fresh := int(s>>4), int16(0)
			if s&15 != 0 {
				if fresh = -one; r.bits(1) == 1 {
					fresh = one
				}
			} else if run < 15 {
				r.eob = 1<<run + int(r.bits(uint(run)))
				break
			}
			for ; i <= p.last; i++ {
				v := &b[natural[i]]
				if *v != 0 {
					r.refine(v, one)
					continue
				}
				if run--; run < 0 {
					break
				}
			}
			if fresh != 0 && i <= p.last {
				b[natural[i]] = fresh
			}
		}
	}
	if r.eob > 0 {
		for ; i <= p.last; i++ {
			if v := &b[natural[i]]; *v != 0 {
				r.refine(v, one)
			}
		}
		r.eob--
	}
}

// refine moves v away from zero by one, where the next bit says so and it has not been done.
func (r *bitReader) refine(v *int16, one int16) {
	if r.bits(1) == 1 && *v&one == 0 {
		if *v >= 0 {
			*v += one
		} else {
			*v -= one
		}
	}
}
