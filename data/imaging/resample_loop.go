package imaging

import (
	"encoding/binary"
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

// pixels is two pixels, one below the other.
type pixels struct{ r, g, b lanes }

// slack is how many bytes the kernels may read or write past the end of a row.
const slack = 32

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
	if hasAVX2 {
		across.prepare()
	}

	var lines [3][]byte // rows of ground: one to stay so, two to put rows of the picture into
	for i := range lines {
		line := New(c.w+slack/3, 1)
		line.Fill(c.ground)
		lines[i] = line.Pix
	}
	scratch := make([]pixels, across.first[out.W-1]+across.taps-across.first[0])
	wide := 3*out.W + slack
	slab := make([]byte, (down.taps+3)*wide)
	ground, slab := slab[:wide:wide], slab[wide:]
	across.mixAcross(ground, ground, lines[2], lines[2], scratch)
	// From here on only what the picture has a share in is computed; the rest stays ground.
	lo, hi := across.touching(c.x, c.x+c.m.W)
	across = across.part(lo, hi)
	ring := make([][]byte, down.taps+2)
	for i := range ring {
		ring[i], slab = slab[:wide:wide], slab[wide:]
		copy(ring[i], ground)
	}

	rows := make([][]byte, down.taps)
	next := down.first[0] // row of c to be mixed along its length
	for o, first := range down.first {
		for ; next < first+down.taps; next += 2 {
			outA, outB := ring[next%len(ring)], ring[(next+1)%len(ring)]
			a, b := c.row(next, lines[0]), c.row(next+1, lines[1])
			switch {
			case a == nil && b == nil:
				copy(outA, ground)
				copy(outB, ground)
				continue
			case a == nil:
				a = lines[2]
			case b == nil:
				b = lines[2]
			}
			if hi > lo {
				across.mixAcross(outA[3*lo:], outB[3*lo:], a, b, scratch)
			}
		}
		for i := range rows {
			rows[i] = ring[(first+i)%len(ring)]
		}
		mixDown(out.row(o), rows, down.weight[o*down.taps:(o+1)*down.taps])
	}
	return out
}

// touching is the range of outputs that mix any of the inputs [from, to).
func (x *axis) touching(from, to int) (lo, hi int) {
	hi = len(x.first)
	for hi > 0 && x.first[hi-1] >= to {
		hi--
	}
	for lo < hi && x.first[lo]+x.taps <= from {
		lo++
	}
	return lo, hi
}

// mixAcross mixes the rows a and b along their length; scratch has room for the part of both that is needed. All rows
// go on for slack bytes.
func (x *axis) mixAcross(outA, outB, a, b []byte, scratch []pixels) {
	if !hasAVX2 {
		x.mixAcrossLoop(outA, outB, a, b, scratch)
		return
	}
	n := len(x.first)
	behindA, behindB := outA[3*n], outB[3*n]
	acrossAVX2(&outA[0], &outB[0], n, &a[0], &b[0], &x.at[0], &x.split[0], x.groups())
	outA[3*n], outB[3*n] = behindA, behindB
}

// mixAcrossLoop is mixAcross.
func (x *axis) mixAcrossLoop(outA, outB, a, b []byte, scratch []pixels) {
	lo := x.first[0]
	scratch = scratch[:x.first[len(x.first)-1]+x.taps-lo]
	a = a[3*lo : 3*(lo+len(scratch))]
	b = b[3*lo : 3*(lo+len(scratch))]
	for i := range scratch {
		p, q := a[3*i:3*i+3:3*i+3], b[3*i:3*i+3:3*i+3]
		scratch[i] = pixels{lanes(p[0]) | lanes(q[0])<<32, lanes(p[1]) | lanes(q[1])<<32, lanes(p[2]) | lanes(q[2])<<32}
	}
	for o, first := range x.first {
		r, g, b := dot(scratch[first-lo:], x.weight[o*x.taps:(o+1)*x.taps])
		p, q := outA[3*o:3*o+3:3*o+3], outB[3*o:3*o+3:3*o+3]
		p[0], p[1], p[2] = clippedLow[uint32(r)>>22], clippedLow[uint32(g)>>22], clippedLow[uint32(b)>>22]
		q[0], q[1], q[2] = clipped[r>>54], clipped[g>>54], clipped[b>>54]
	}
}

// mixDown mixes rows, as mixAcross leaves them, into a row of a picture. They go on for slack bytes.
func mixDown(dst []byte, rows [][]byte, weight []int32) {
	if hasAVX2 && len(dst) >= 32 {
		downAVX2(&dst[0], len(dst), &rows[0], &weight[0], len(weight))
		return
	}
	mixDownLoop(dst, rows, weight)
}

// mixDownLoop is mixDown.
func mixDownLoop(dst []byte, rows [][]byte, weight []int32) {
	for i := 0; i < len(dst); i += 8 {
		var p [8]byte
		v := dotDown(rows, i, weight)
		for k, sum := range v {
			p[k], p[k+4] = clippedLow[uint32(sum)>>22], clipped[sum>>54]
		}
		copy(dst[i:], p[:])
	}
}

// dot is a function of its own so that its sums stay in registers; dotDown likewise.
//
//go:noinline
func dot(pix []pixels, weight []int32) (r, g, b lanes) {
	r, g, b = begin, begin, begin
	pix = pix[:len(weight)]
	for i, w := range weight {
		p, w := &pix[i], lanes(w)
		r += p.r * w
		g += p.g * w
		b += p.b * w
	}
	return r, g, b
}

// dotDown mixes the bytes from i to i+7 of rows; lane k of the result is of bytes k and k+4.
//
//go:noinline
func dotDown(rows [][]byte, i int, weight []int32) [4]lanes {
	const ends = 0xff | 0xff<<32
	s, t, u, v := begin, begin, begin, begin
	rows = rows[:len(weight)]
	for k, w := range weight {
		p, w := binary.LittleEndian.Uint64(rows[k][i:]), lanes(w)
		s += p & ends * w
		t += p >> 8 & ends * w
		u += p >> 16 & ends * w
		v += p >> 24 & ends * w
	}
	return [4]lanes{s, t, u, v}
}
