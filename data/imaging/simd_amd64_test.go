//go:build amd64 && !purego

package imaging

import (
	"image"
	"math/rand/v2"
	"testing"

	"github.com/stretchr/testify/require"
)

// noise is n random bytes with ends among them, and more that must stay as they are behind.
func noise(r *rand.Rand, n int) []byte {
	b := make([]byte, n+slack)
	for i := range b {
		if b[i] = byte(r.Uint32()); r.IntN(4) == 0 {
			b[i] = byte(255 * r.IntN(2))
		}
	}
	return b[:n]
}

// onlyIn fails if what lies behind b is not as it was.
func onlyIn(t *testing.T, was, b []byte) {
	t.Helper()
	require.Equal(t, was[len(b):], b[len(b):cap(b)], "bytes behind %d", len(b))
}

// TestKernels: the kernels compute what the loops do, at sizes that leave tails, and write no further than they say.
func TestKernels(t *testing.T) {
	if !hasAVX2 {
		t.Skip("this processor has no AVX2")
	}
	r := rand.New(rand.NewPCG(7, 8))
	clone := func(b []byte) []byte { return append([]byte(nil), b[:cap(b)]...) }
	for _, n := range []int{1, 2, 3, 9, 10, 11, 17, 18, 19, 33, 34, 48, 49, 50, 101, 640} {
		want, got := noise(r, 3*n), noise(r, 3*n)
		luma, cb, cr, was := noise(r, n), noise(r, n), noise(r, n), clone(got)
		fromYCCLoop(want, luma, cb, cr)
		fromYCC(got, luma, cb, cr)
		require.Equal(t, want, got, "colours of %d pixels", n)
		onlyIn(t, was, got)

		got = noise(r, 2*n)
		was = clone(got)
		stretchSums(got, luma, cb)
		hasAVX2 = false
		want = noise(r, 2*n)
		stretchSums(want, luma, cb)
		hasAVX2 = true
		require.Equal(t, want, got, "%d samples", n)
		onlyIn(t, was, got)

		for _, taps := range []int{1, 2, 4, 7, 33} {
			rows, weight := make([][]byte, taps), make([]int32, taps)
			for k := range rows {
				rows[k], weight[k] = noise(r, 3*n+slack), int32(r.IntN(1<<24)-1<<23)/int32(taps)
			}
			want, got = noise(r, 3*n), noise(r, 3*n)
			was = clone(got)
			mixDownLoop(want, rows, weight)
			mixDown(got, rows, weight)
			require.Equal(t, want, got, "%d rows of %d pixels", taps, n)
			onlyIn(t, was, got)
		}
		for f := Lanczos; f <= Hamming; f++ {
			for _, in := range []int{1, 3, 17, 33, 200} {
				x := f.weights(in, n, n/5, n)
				x.prepare()
				a, b, scratch := noise(r, 3*in), noise(r, 3*in), make([]pixels, in)
				wantA, wantB := noise(r, 3*len(x.first)), noise(r, 3*len(x.first))
				gotA, gotB := noise(r, 3*len(x.first)), noise(r, 3*len(x.first))
				was = clone(gotA)
				x.mixAcrossLoop(wantA, wantB, a, b, scratch)
				x.mixAcross(gotA[:cap(gotA)], gotB[:cap(gotB)], a, b, scratch)
				require.Equal(t, wantA, gotA, "%v: a row of %d to %d", f, in, n)
				require.Equal(t, wantB, gotB, "%v: a row of %d to %d", f, in, n)
				onlyIn(t, was, gotA)
			}
		}
	}
}

// TestInverseDCT: also of numbers that overflow, as files that are none hold them.
func TestInverseDCT(t *testing.T) {
	if !hasAVX2 {
		t.Skip("this processor has no AVX2")
	}
	r := rand.New(rand.NewPCG(9, 10))
	const stride = 24
	for i := range 2000 {
		var b [64]int32
		used := uint64(1)
		b[0] = int32(r.IntN(4096) - 2048)
		for range r.IntN(64) {
			k := 1 + r.IntN(63)
			b[k] = int32(r.IntN(2048) - 1024)
			if i%10 == 0 {
				b[k] = int32(r.Uint32())
			}
			used |= 1 << k
		}
		if used == 1 {
			continue
		}
		got := noise(r, 7*stride+8)
		want := append([]byte(nil), got...)
		inverseDCTAVX2(&b, &got[0], stride)
		inverseDCTLoop(&b, used, want, stride)
		require.Equal(t, want, got, "block %d", i)
	}
}

// TestResizeLoops: pictures resized with the kernels and without are the same, grounds beside them too.
func TestResizeLoops(t *testing.T) {
	if !hasAVX2 {
		t.Skip("this processor has no AVX2")
	}
	r := rand.New(rand.NewPCG(11, 12))
	for range 60 {
		m := New(1+r.IntN(70), 1+r.IntN(70))
		copy(m.Pix, noise(r, len(m.Pix)))
		c := canvas{m: m, w: m.W + r.IntN(40), h: m.H + r.IntN(40), ground: [3]byte{1, 200, 255}}
		c.x, c.y = r.IntN(c.w-m.W+1), r.IntN(c.h-m.H+1)
		w, h, f := 1+r.IntN(90), 1+r.IntN(90), Filter(1+r.IntN(5))
		x, y := r.IntN(w), r.IntN(h)
		window := image.Rect(x, y, x+1+r.IntN(w-x), y+1+r.IntN(h-y))
		got := resample(c, w, h, window, f)
		hasAVX2 = false
		want := resample(c, w, h, window, f)
		hasAVX2 = true
		require.Equal(t, want, got, "%d×%d on %d×%d to %v of %d×%d, %v", m.W, m.H, c.w, c.h, window, w, h, f)
	}
}
