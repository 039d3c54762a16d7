package conformance

import (
	"math"

	"github.com/gollava/gollava/internal/backend"
)

func memory(s *suite) {
	if s.dev.Name() == "" {
		s.Error("the device has no name")
	}
	for _, dt := range []backend.DType{backend.Float32, backend.BFloat16, backend.Int32} {
		for _, n := range sizes {
			a, b := s.dev.Alloc(dt, n), s.dev.Alloc(dt, n)
			if a.Len != n || a.DType != dt || a.Device != s.dev {
				s.Errorf("Alloc(%v, %d): %d elements of %v", dt, n, a.Len, a.DType)
			}
			if n > 0 && a.Pointer() == b.Pointer() {
				s.Errorf("Alloc(%v, %d): two live buffers share memory", dt, n)
			}
			s.dev.Free(a)
			s.dev.Free(b)
		}
	}
}

func copies(s *suite) {
	for _, n := range sizes {
		s.start("n=%d", n)
		x := s.normal(n, 1)
		if n > 3 {
			x[1], x[2], x[3] = float32(math.NaN()), float32(math.Inf(1)), float32(math.Copysign(0, -1))
		}
		src, dst := s.in(x), s.out(n)
		s.dev.Copy(dst, src)
		s.exact("Copy float32", dst, x)

		hs, hd := s.half(s.normal(n, 1)), s.buffer(backend.BFloat16, n)
		s.dev.Copy(hd, hs)
		ids := make([]int32, n)
		for i := range ids {
			ids[i] = int32(s.r.Uint32())
		}
		is, id := s.ints(ids), s.buffer(backend.Int32, n)
		s.dev.Copy(id, is)
		for i := range n {
			if hd.BFloat16()[i] != hs.BFloat16()[i] {
				s.wrong("Copy bfloat16: element %d", i)
			}
			if id.Int32()[i] != ids[i] {
				s.wrong("Copy int32: element %d", i)
			}
		}

		for _, v := range []float32{0, -1.7, 1.00390625, float32(math.Inf(-1))} {
			s.dev.Fill(dst, v)
			s.dev.Fill(hd, v)
			for i := range n {
				if dst.Float32()[i] != v {
					s.wrong("Fill float32 with %v: element %d is %v", v, i, dst.Float32()[i])
				}
				if hd.BFloat16()[i] != narrow(v) {
					s.wrong("Fill bfloat16 with %v: element %d is %#04x, want %#04x", v, i, hd.BFloat16()[i], narrow(v))
				}
			}
		}
		s.done()
	}
}

func casts(s *suite) {
	special := []uint32{0, 1 << 31, 1, 0x8000, 0x18000, 0x3f800000, 0x3f808000, 0x3f818000, 0x3f807fff, 0x3f808001,
		0x7f7fffff, 0xff7fffff, 0x7f7f7fff,
		0x7f800000, 0xff800000, 0x7f800001, 0xff800001, 0x7fffffff, 0x7fc00000, 0x007fffff}
	for _, n := range sizes {
		s.start("n=%d", n)
		x := s.normal(n, 1)
		for i := range x {
			switch s.r.IntN(3) {
			case 0:
				x[i] = math.Float32frombits(special[s.r.IntN(len(special))])
			case 1:
				x[i] = math.Float32frombits(s.r.Uint32())
			}
		}
		src, dst := s.in(x), s.buffer(backend.BFloat16, n)
		s.dev.Cast(dst, src)
		for i, v := range x {
			g := dst.BFloat16()[i]
			if v != v && widen(g) == widen(g) || v == v && g != narrow(v) {
				s.wrong("float32 %#08x to bfloat16: element %d is %#04x, want %#04x", math.Float32bits(v), i, g, narrow(v))
			}
		}
		h := s.half(x)
		back := s.out(n)
		s.dev.Cast(back, h)
		for i, v := range h.BFloat16() {
			if g := math.Float32bits(back.Float32()[i]); g&^0x400000 != uint32(v)<<16&^0x400000 {
				s.wrong("bfloat16 %#04x to float32: element %d is %#08x", v, i, g)
			}
		}
		ids := make([]int32, n)
		want := make([]float32, n)
		for i := range ids {
			ids[i] = int32(s.r.Uint32()) >> s.r.IntN(31)
			want[i] = float32(ids[i])
		}
		s.dev.Cast(back, s.ints(ids))
		s.exact("int32 to float32", back, want)
		s.done()
	}
}

func copyBlocks(s *suite) {
	for _, m := range shapes {
		rows, cols := m[0], m[1]
		for _, add := range []bool{false, true} {
			dOff, sOff, dStride, sStride := s.r.IntN(4), s.r.IntN(4), cols+s.r.IntN(5), cols+s.r.IntN(5)
			s.start("%d×%d, dst at %d by %d, src at %d by %d, add=%v", rows, cols, dOff, dStride, sOff, sStride, add)
			d, x := s.normal(dOff+rows*dStride+2, 1), s.normal(sOff+rows*sStride+2, 1)
			dst, src := s.inout(d), s.in(x)
			s.dev.CopyBlocks(dst, dOff, dStride, src, sOff, sStride, rows, cols, add)
			for i := range rows {
				for j := range cols {
					v := x[sOff+i*sStride+j]
					if add {
						v += d[dOff+i*dStride+j]
					}
					d[dOff+i*dStride+j] = v
				}
			}
			s.exact("dst", dst, d)
			s.done()
		}
	}
}

func permute(s *suite) {
	for range 60 {
		rank := s.r.IntN(6)
		shape, perm := make([]int, rank), s.r.Perm(rank)
		for i := range shape {
			shape[i] = []int{1, 2, 3, 5, 17}[s.r.IntN(5)]
			if s.r.IntN(40) == 0 {
				shape[i] = 0
			}
		}
		s.permuted(shape, perm)
	}
	for _, c := range []struct{ shape, perm []int }{
		{[]int{67, 131}, []int{1, 0}}, {[]int{2, 33, 3, 17}, []int{0, 2, 1, 3}}, {[]int{3, 65, 64}, []int{0, 2, 1}},
		{[]int{1, 257}, []int{1, 0}},
		{[]int{4, 5, 6, 7, 8}, []int{4, 3, 2, 1, 0}}, {[]int{7, 9}, []int{0, 1}},
	} {
		s.permuted(c.shape, c.perm)
	}
}

func (s *suite) permuted(shape, perm []int) {
	s.start("shape %v, order %v", shape, perm)
	n := product(shape)
	x := s.normal(n, 1)
	want := make([]float32, n)
	index := make([]int, len(shape)) // of the source
	for _, v := range x {
		at := 0
		for _, p := range perm {
			at = at*shape[p] + index[p]
		}
		want[at] = v
		for k := len(shape) - 1; k >= 0; k-- {
			if index[k]++; index[k] < shape[k] {
				break
			}
			index[k] = 0
		}
	}
	dst := s.out(n)
	s.dev.Permute(dst, s.in(x), shape, perm)
	s.exact("dst", dst, want)
	s.done()
}

func gatherScatter(s *suite) {
	for _, m := range shapes {
		rows, cols := m[0], m[1]
		table := s.normal(11*cols, 1)
		ids := make([]int32, rows)
		for i := range ids {
			ids[i] = int32(s.r.IntN(11))
		}
		for _, half := range []bool{false, true} {
			s.start("%d rows of %d, bfloat16=%v", rows, cols, half)
			var tb *backend.Buffer
			if half {
				tb = s.half(table)
			} else {
				tb = s.in(table)
			}
			dst := s.out(rows * cols)
			s.dev.GatherRows(dst, tb, s.ints(ids), cols)
			want := make([]float32, 0, rows*cols)
			for _, id := range ids {
				want = append(want, table[int(id)*cols:][:cols]...)
			}
			s.exact("GatherRows", dst, want)
			s.done()
		}
		s.start("%d rows of %d", rows, cols)
		sum, src := s.normal(11*cols, 1), s.normal(rows*cols, 1)
		dst := s.inout(sum)
		s.dev.ScatterAddRows(dst, s.in(src), s.ints(ids), cols)
		for i, id := range ids {
			for j := range cols {
				sum[int(id)*cols+j] += src[i*cols+j]
			}
		}
		s.exact("ScatterAddRows", dst, sum)
		s.done()
	}
}

func patches(s *suite) {
	for _, c := range [][5]int{{1, 1, 1, 1, 1}, {1, 3, 4, 6, 2}, {2, 3, 14, 28, 14}, {3, 2, 9, 3, 3}, {2, 1, 5, 7, 1},
		{0, 3, 4, 4, 2}, {1, 3, 32, 48, 16}} {
		b, ch, h, w, p := c[0], c[1], c[2], c[3], c[4]
		s.start("images [%d %d %d %d], patch %d", b, ch, h, w, p)
		n := b * ch * h * w
		x := s.normal(n, 1)
		want := make([]float32, n)
		for i := range x { // the pixel (row y, column z) of channel c of image m
			z, y, c, m := i%w, i/w%h, i/(w*h)%ch, i/(w*h*ch)
			row := (m*(h/p)+y/p)*(w/p) + z/p
			want[row*ch*p*p+(c*p+y%p)*p+z%p] = x[i]
		}
		rows, images := s.out(n), s.out(n)
		s.dev.Patches(rows, s.in(x), b, ch, h, w, p, false)
		s.exact("rows", rows, want)
		s.dev.Patches(images, s.in(want), b, ch, h, w, p, true)
		s.exact("images", images, x)
		s.done()
	}
}

func expand(s *suite) {
	for _, c := range [][3]int{{1, 1, 1}, {1, 17, 1}, {3, 5, 1}, {7, 1, 33}, {2, 3, 67}, {1, 4, 257}, {0, 3, 2}, {2, 0, 3},
		{33, 31, 1}} {
		s.start("outer, n, inner = %v", c)
		x := s.normal(c[0]*c[2], 1)
		want := make([]float64, 0, c[0]*c[1]*c[2])
		for o := range c[0] {
			for range c[1] {
				for j := range c[2] {
					want = append(want, 0.37*float64(x[o*c[2]+j]))
				}
			}
		}
		dst := s.out(len(want))
		s.dev.Expand(dst, s.in(x), c[0], c[1], c[2], 0.37)
		s.near("dst", dst, want, 2e-7, 0)
		s.done()
	}
}
