package blocks

import "math"

func encodeQ4K(dst []byte, x []float32) { encodeK(dst, x, 144, 15, 21, -1) }
func encodeQ5K(dst []byte, x []float32) { encodeK(dst, x, 176, 31, 16, -0.5) }

// encodeK finds scale and minimum of each sub-block of 32 by search, rounds them to six bits, and then q to what these
// make best.
func encodeK(dst []byte, x []float32, size, top, steps int, first float32) {
	for ; len(x) > 0; dst, x = dst[size:], x[256:] {
		var scales, minima [8]float32
		var q [256]byte
		for s := range 8 {
			scales[s], minima[s] = searchRange(x[32*s:][:32], top, steps, first)
		}
		d, dmin := peak(scales[:])/63, peak(minima[:])/63
		b := dst[:size]
		clear(b)
		putHalf(b, d)
		putHalf(b[2:], dmin)
		id, idmin := inverse(d), inverse(dmin)
		d, dmin = half(b), half(b[2:])
		for s := range 8 {
			part := x[32*s:][:32]
			scale, minimum := around(part, d, dmin, away(id*scales[s]), away(idmin*minima[s]), top)
			putScaleMin(s, b[4:], byte(scale), byte(minimum))
			for i, v := range part {
				q[32*s+i] = byte(nearest(v, d*scale, dmin*minimum, top))
			}
		}
		packK(b[16:], q[:], top > 15)
	}
}

// nearest is the q in [0, top] that makes scale·q − minimum closest to v.
func nearest(v, scale, minimum float32, top int) int {
	if scale == 0 {
		return 0
	}
	return clamp((v+minimum)/scale, 0, top)
}

// around looks for the six-bit scale and minimum with the least squared error among those near a guess: rounding one of
// them moves the best choice of the other.
func around(x []float32, d, dmin, scale, minimum float32, top int) (bestScale, bestMinimum float32) {
	least := float32(math.Inf(1))
	for s := max(0, scale-1); s <= min(63, scale+1); s++ {
		for m := max(0, minimum-2); m <= min(63, minimum+2); m++ {
			e := float32(0)
			for _, v := range x {
				r := d*s*float32(nearest(v, d*s, dmin*m, top)) - dmin*m - v
				e += r * r
			}
			if e < least {
				least, bestScale, bestMinimum = e, s, m
			}
		}
	}
	return bestScale, bestMinimum
}

// packK writes the fifth bits, if there are any, and the nibbles.
func packK(b, q []byte, fifth bool) {
	if fifth {
		for i, v := range q {
			b[i%32] |= v >> 4 << (i / 32)
		}
		b = b[32:]
	}
	for i, v := range q {
		b[i/64*32+i%32] |= v & 15 << (i / 32 % 2 * 4)
	}
}

// searchRange finds the scale and minimum ≥ 0 with which scale·q − minimum, q in [0, top], has the least squared error
// over x, where large values weigh more. For several q grids it solves for both by weighted least squares.
func searchRange(x []float32, top, steps int, first float32) (scale, minimum float32) {
	mean, lo, hi := float32(0), float32(0), x[0]
	for _, v := range x {
		mean += v * v
		lo, hi = min(lo, v), max(hi, v)
	}
	if hi <= lo {
		return 0, -lo
	}
	mean = float32(math.Sqrt(float64(mean / float32(len(x)))))
	w := func(v float32) float32 { return mean + max(v, -v) }
	failure := func(scale, low float32, at func(v float32) int) (e float32) {
		for _, v := range x {
			d := scale*float32(at(v)) + low - v
			e += w(v) * d * d
		}
		return e
	}
	low := lo
	scale = (hi - lo) / float32(top)
	least := failure(scale, low, func(v float32) int { return clamp((v-lo)/scale, 0, top) })
	for t := range steps {
		grid := (first + 0.1*float32(t) + float32(top)) / (hi - lo)
		at := func(v float32) int { return clamp(grid*(v-lo), 0, top) }
		var sw, sx, sl, sll, sxl float32
		for _, v := range x {
			l, w := float32(at(v)), w(v)
			sw, sx, sl, sll, sxl = sw+w, sx+w*v, sl+w*l, sll+w*l*l, sxl+w*l*v
		}
		det := sw*sll - sl*sl
		if det <= 0 {
			continue
		}
		a, c := (sw*sxl-sx*sl)/det, (sll*sx-sl*sxl)/det
		if c > 0 {
			a, c = sxl/sll, 0
		}
		if e := failure(a, c, at); e < least {
			least, scale, low = e, a, c
		}
	}
	return scale, -low
}

// encodeQ6K finds a scale for each 16 values by search, rounds it to a signed byte, and then q to what it makes best.
func encodeQ6K(dst []byte, x []float32) {
	for ; len(x) > 0; dst, x = dst[210:], x[256:] {
		var scales [16]float32
		for s := range 16 {
			scales[s] = searchScale(x[16*s:][:16], 32)
		}
		b := dst[:210]
		clear(b)
		d := largest(scales[:]) / -128
		id := inverse(d)
		putHalf(b[208:], d)
		d = half(b[208:])
		for s := range 16 {
			b[192+s] = byte(int8(min(127, away(id*scales[s]))))
			scale := d * float32(int8(b[192+s]))
			for i := 16 * s; i < 16*s+16; i++ {
				q := 32
				if scale != 0 {
					q += clamp(x[i]/scale, -32, 31)
				}
				b[sixLow(i)] |= byte(q&15) << (i / 64 % 2 * 4)
				b[sixHigh(i)] |= byte(q>>4) << (i / 32 % 4 * 2)
			}
		}
	}
}

// searchScale finds the scale with which scale·q, q in [−n, n), has the least squared error over x weighted by x².
func searchScale(x []float32, n int) (scale float32) {
	v := largest(x)
	if max(v, -v) < 1e-15 {
		return 0
	}
	best := float32(0)
	for t := -9; t <= 9; t++ {
		grid := -(float32(n) + 0.1*float32(t)) / v
		var lx, ll float32
		for _, v := range x {
			l, w := float32(clamp(grid*v, -n, n-1)), v*v
			lx, ll = lx+w*v*l, ll+w*l*l
		}
		if ll > 0 && lx*lx > best*ll {
			best, scale = lx*lx/ll, lx/ll
		}
	}
	return scale
}

// clamp is the integer nearest to x, within [lo, hi].
func clamp(x float32, lo, hi int) int {
	return int(max(float32(lo), min(float32(hi), float32(math.RoundToEven(float64(x))))))
}
