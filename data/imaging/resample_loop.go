package imaging

import (
	"encoding/binary"
	"fmt"
	"image"
)

// lanes is two 32-bit numbers in one word, low and high. Multiplied by a signed weight and summed as a whole, each half stays
// exact as long as its own sum fits in 32 bits (255·2²²·Σ|w| < 2³¹ holds for every kernel here): one multiplication does two.
type lanes = uint64

const half lanes = 1<<21 | 1<<53 // one half in each lane, in fixed point of 22 bits

// bytes rounds both lanes down to whole numbers and clips them to 0…255.
func clip(s lanes) (low, high byte) {
	a := int32(s)
	b := int32((s - uint64(int64(a))) >> 32) // takes back what a negative low lane borrowed
	return byte(min(max(a>>22, 0), 255)), byte(min(max(b>>22, 0), 255))
}

// resample computes window of the w×h picture that c scales to. Rows of c are mixed along their length two at a time and kept
// in a ring just long enough for the columns' mixing.
func resample(c canvas, w, h int, window image.Rectangle, f Filter) *RGB {
	if c.m.W <= 0 || c.m.H <= 0 || w <= 0 || h <= 0 {
		panic(fmt.Sprintf("imaging: resize %d×%d to %d×%d", c.m.W, c.m.H, w, h))
	}
	if window.Empty() || !window.In(image.Rect(0, 0, w, h)) {
		panic(fmt.Sprintf("imaging: window %v of a %d×%d picture", window, w, h))
	}
	out := New(window.Dx(), window.Dy())
	across := f.weights(c.w, w, window.Min.X, window.Max.X)
	down := f.weights(c.h, h, window.Min.Y, window.Max.Y)

	next, last := down.inputs(0) // rows of c: next to be mixed along their length
	_, last = down.inputs(out.H - 1)
	ring := make([][]byte, min(max(down.taps, 1)+2, last-next+1))
	mixer := newMixer(&across, out.W)
	slab := make([]byte, len(ring)*mixer.stride)
	for i := range ring {
		ring[i], slab = slab[:mixer.stride:mixer.stride], slab[mixer.stride:]
	}
	var buf [2]*RGB
	for i := range buf {
		buf[i] = &RGB{W: c.w, H: 1}
		if c.w != c.m.W || c.h != c.m.H {
			buf[i] = New(c.w, 1)
		}
	}
	rows := make([][]byte, down.taps)
	for o := range out.H {
		from, to := down.inputs(o)
		for ; next < to; next += 2 {
			a, b := c.row(next, buf[0]), []byte(nil)
			if next+1 < last {
				b = c.row(next+1, buf[1])
			}
			mixer.rows(ring[next%len(ring)], ring[(next+1)%len(ring)], a, b)
		}
		if down.same {
			copy(out.row(o), ring[from%len(ring)])
			continue
		}
		for i := range to - from {
			rows[i] = ring[(from+i)%len(ring)]
		}
		mixDown(out.row(o), rows[:to-from], down.weight[o])
	}
	return out
}

// mixer mixes rows along their length.
type mixer struct {
	*axis
	n       int     // output pixels
	stride  int     // bytes of an output row, rounded up to whole words
	lo, hi  int     // input pixels that take part
	r, g, b []lanes // two rows, planar
}

func newMixer(a *axis, n int) *mixer {
	m := &mixer{axis: a, n: n, stride: (3*n + 7) &^ 7}
	m.lo, _ = a.inputs(0)
	_, m.hi = a.inputs(n - 1)
	if !a.same {
		p := make([]lanes, 3*(m.hi-m.lo))
		k := m.hi - m.lo
		m.r, m.g, m.b = p[:k:k], p[k:2*k:2*k], p[2*k:]
	}
	return m
}

// rows mixes two rows of the canvas into two rows of the ring; b may be nil.
func (m *mixer) rows(outA, outB, a, b []byte) {
	a = a[3*m.lo : 3*m.hi]
	if b == nil {
		b = a
	} else {
		b = b[3*m.lo : 3*m.hi]
	}
	if m.same {
		copy(outA, a)
		copy(outB, b)
		return
	}
	b = b[:len(a)]
	R, G, B := m.r, m.g[:len(m.r)], m.b[:len(m.r)]
	for i := range R {
		p, q := a[3*i:3*i+3:3*i+3], b[3*i:3*i+3:3*i+3]
		R[i] = lanes(p[0]) | lanes(q[0])<<32
		G[i] = lanes(p[1]) | lanes(q[1])<<32
		B[i] = lanes(p[2]) | lanes(q[2])<<32
	}
	for o, weight := range m.weight {
		k := m.first[o] - m.lo
		R, G, B := m.r[k:k+len(weight)], m.g[k:k+len(weight)], m.b[k:k+len(weight)]
		r, g, b := half, half, half
		for i, w := range weight {
			r += R[i] * lanes(w)
			g += G[i] * lanes(w)
			b += B[i] * lanes(w)
		}
		p, q := outA[3*o:3*o+3:3*o+3], outB[3*o:3*o+3:3*o+3]
		p[0], q[0] = clip(r)
		p[1], q[1] = clip(g)
		p[2], q[2] = clip(b)
	}
}

// mixDown mixes rows into out, eight bytes at a time: bytes j and j+4 share a word. The rows are as long as out, rounded up to
// whole words.
func mixDown(out []byte, rows [][]byte, weight []int64) {
	const mask lanes = 255 | 255<<32
	rows = rows[:len(weight)]
	var tail [8]byte
	for j := 0; j < len(out); j += 8 {
		s0, s1, s2, s3 := half, half, half, half
		for t, w := range weight {
			v := binary.LittleEndian.Uint64(rows[t][j:])
			s0 += v & mask * lanes(w)
			s1 += v >> 8 & mask * lanes(w)
			s2 += v >> 16 & mask * lanes(w)
			s3 += v >> 24 & mask * lanes(w)
		}
		p := tail[:]
		if j+8 <= len(out) {
			p = out[j : j+8 : j+8]
		}
		p[0], p[4] = clip(s0)
		p[1], p[5] = clip(s1)
		p[2], p[6] = clip(s2)
		p[3], p[7] = clip(s3)
		if j+8 > len(out) {
			copy(out[j:], p)
		}
	}
}
