package imaging

import (
	"image"

	"github.com/gollava/gollava/internal/misuse"
)

// lanes is two 32-bit numbers in one word, low and high. Multiplied by a signed weight and summed as a whole, each half
// stays exact as long as its own sum fits in 32 bits (255·2²²·Σ|w| < 2³¹ holds for every kernel here): one
// multiplication does two.
type lanes = uint64

// begin is what a sum of lanes starts from: one half in each lane, in fixed point of 22 bits, and 2³¹ in the low one,
// which keeps that one from going below zero and borrowing from the other.
const begin lanes = 1<<21 | 1<<31 | 1<<53

// clipped and clippedLow map the upper ten bits of a lane, whole numbers from -512 to 511, to 0…255.
var clipped, clippedLow = func() (high, low [1024]byte) {
	for i := range 1024 {
		v := byte(min(max(i-512, 0), 255))
		low[i], high[i^512] = v, v
	}
	return high, low
}()

// pixels is two pixels: one below the other on their way through mixAcross, one beside the other through mixDown.
type pixels struct{ r, g, b lanes }

// resample computes window of the w×h picture that c scales to. Rows of c are mixed along their length two at a time,
// and kept in a ring just long enough for mixing them downwards.
func resample(c canvas, w, h int, window image.Rectangle, f Filter) *RGB {
	if c.m.W <= 0 || c.m.H <= 0 || w <= 0 || h <= 0 {
		panic(misuse.Errorf("imaging", "resize %d×%d to %d×%d", c.m.W, c.m.H, w, h))
	}
	if window.Empty() || !window.In(image.Rect(0, 0, w, h)) {
		panic(misuse.Errorf("imaging", "window %v of a %d×%d picture", window, w, h))
	}
	out := New(window.Dx(), window.Dy())
	across := f.weights(c.w, w, window.Min.X, window.Max.X)
	down := f.weights(c.h, h, window.Min.Y, window.Max.Y)

	var lines [3]*RGB // rows of ground: one to stay so, two to put rows of the picture into
	for i := range lines {
		lines[i] = New(c.w, 1)
		lines[i].Fill(c.ground)
	}
	scratch := make([]pixels, across.first[out.W-1]+across.taps-across.first[0])
	pairs := (out.W + 1) / 2
	slab := make([]pixels, (down.taps+3)*pairs)
	ground, slab := slab[:pairs:pairs], slab[pairs:]
	across.mixAcross(ground, ground, lines[2].Pix, lines[2].Pix, scratch)
	// From here on only what the picture has a share in is computed; the rest stays ground.
	lo, hi := across.touching(c.x, c.x+c.m.W)
	across = axis{across.first[lo:hi], across.weight[lo*across.taps : hi*across.taps], across.taps}
	ring := make([][]pixels, down.taps+2)
	for i := range ring {
		ring[i], slab = slab[:pairs:pairs], slab[pairs:]
		copy(ring[i], ground)
	}

	rows := make([][]pixels, down.taps)
	next := down.first[0] // row of c to be mixed along its length
	for o, first := range down.first {
		for ; next < first+down.taps; next += 2 {
			outA, outB := ring[next%len(ring)], ring[(next+1)%len(ring)]
			a, b := c.row(next, lines[0].Pix), c.row(next+1, lines[1].Pix)
			switch {
			case a == nil && b == nil:
				copy(outA, ground)
				copy(outB, ground)
				continue
			case a == nil:
				a = lines[2].Pix
			case b == nil:
				b = lines[2].Pix
			}
			if hi > lo {
				across.mixAcross(outA[lo/2:(hi+1)/2], outB[lo/2:(hi+1)/2], a, b, scratch)
			}
		}
		for i := range rows {
			rows[i] = ring[(first+i)%len(ring)]
		}
		mixDown(out.row(o), rows, down.weight[o*down.taps:(o+1)*down.taps])
	}
	return out
}

// touching is the range of outputs, in whole pairs, that mix any of the inputs [from, to).
func (x *axis) touching(from, to int) (lo, hi int) {
	hi = len(x.first)
	for hi > 0 && x.first[hi-1] >= to {
		hi--
	}
	for lo < hi && x.first[lo]+x.taps <= from {
		lo++
	}
	return lo &^ 1, min(hi+hi&1, len(x.first))
}

// mixAcross mixes the rows a and b along their length; scratch holds the part of both that is needed.
func (x *axis) mixAcross(outA, outB []pixels, a, b []byte, scratch []pixels) {
	lo := x.first[0]
	scratch = scratch[:x.first[len(x.first)-1]+x.taps-lo]
	a = a[3*lo : 3*(lo+len(scratch))]
	b = b[3*lo : 3*(lo+len(scratch))]
	for i := range scratch {
		p, q := a[3*i:3*i+3:3*i+3], b[3*i:3*i+3:3*i+3]
		scratch[i] = pixels{lanes(p[0]) | lanes(q[0])<<32, lanes(p[1]) | lanes(q[1])<<32, lanes(p[2]) | lanes(q[2])<<32}
	}
	for i := range outA {
		o := 2 * i
		r, g, b := dot(scratch[x.first[o]-lo:], x.weight[o*x.taps:(o+1)*x.taps])
		p := pixels{lanes(clippedLow[uint32(r)>>22]), lanes(clippedLow[uint32(g)>>22]),
			lanes(clippedLow[uint32(b)>>22])}
		q := pixels{lanes(clipped[r>>54]), lanes(clipped[g>>54]), lanes(clipped[b>>54])}
		if o++; o < len(x.first) {
			r, g, b := dot(scratch[x.first[o]-lo:], x.weight[o*x.taps:(o+1)*x.taps])
			p.r |= lanes(clippedLow[uint32(r)>>22]) << 32
			p.g |= lanes(clippedLow[uint32(g)>>22]) << 32
			p.b |= lanes(clippedLow[uint32(b)>>22]) << 32
			q.r |= lanes(clipped[r>>54]) << 32
			q.g |= lanes(clipped[g>>54]) << 32
			q.b |= lanes(clipped[b>>54]) << 32
		}
		outA[i], outB[i] = p, q
	}
}

// mixDown mixes rows, as mixAcross leaves them, into a row of a picture.
func mixDown(out []byte, rows [][]pixels, weight []lanes) {
	for i := range rows[0] {
		r, g, b := dotDown(rows, i, weight)
		p := out[6*i:]
		p[2], p[1], p[0] = clippedLow[uint32(b)>>22], clippedLow[uint32(g)>>22], clippedLow[uint32(r)>>22]
		if len(p) >= 6 {
			p[5], p[4], p[3] = clipped[b>>54], clipped[g>>54], clipped[r>>54]
		}
	}
}

// dot is a function of its own so that its sums stay in registers; dotDown likewise.
//
//go:noinline
func dot(pix []pixels, weight []lanes) (r, g, b lanes) {
	r, g, b = begin, begin, begin
	pix = pix[:len(weight)]
	for i, w := range weight {
		p := &pix[i]
		r += p.r * w
		g += p.g * w
		b += p.b * w
	}
	return r, g, b
}

//go:noinline
func dotDown(rows [][]pixels, i int, weight []lanes) (r, g, b lanes) {
	r, g, b = begin, begin, begin
	rows = rows[:len(weight)]
	for t, w := range weight {
		p := &rows[t][i]
		r += p.r * w
		g += p.g * w
		b += p.b * w
	}
	return r, g, b
}
