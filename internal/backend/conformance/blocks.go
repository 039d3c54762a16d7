package conformance

import (
	"github.com/gollava/gollava/internal/backend"
)

// blockTypes are those that can be encoded.
func blockTypes() (all []backend.DType) {
	for dt := backend.DType(0); dt < 64; dt++ {
		if f := dt.Blocks(); f != nil && f.CanEncode() {
			all = append(all, dt)
		}
	}
	return all
}

// blocks is a source of x in blocks of rows; x is changed to the values that these have.
func (s *suite) blocks(dt backend.DType, x []float32) *backend.Buffer {
	b := s.dev.Alloc(dt, len(x))
	if len(x) > 0 {
		dt.Blocks().Encode(b.Raw(), x)
		dt.Blocks().Decode(x, b.Raw(), 0, len(x))
	}
	s.made = append(s.made, made{whole: b, part: b})
	s.freeze()
	return b
}

// blockCasts compares Cast, Copy and GatherRows with package blocks.
func blockCasts(s *suite) {
	for _, dt := range blockTypes() {
		f := dt.Blocks()
		for _, n := range []int{0, f.Length, 3 * f.Length, 67 * f.Length, 1 << 17} {
			if f.Flat && n > 0 {
				n -= n/3 + 1
			}
			s.start("%v n=%d", dt, n)
			x := s.normal(n, 1)
			src, dst := s.in(x), s.dev.Alloc(dt, n)
			s.dev.Cast(dst, src)
			want := s.blocks(dt, x)
			for i, b := range want.Raw() {
				if dst.Raw()[i] != b {
					s.wrong("Cast to blocks: byte %d is %#02x, want %#02x", i, dst.Raw()[i], b)
				}
			}
			back, moved := s.out(n), s.dev.Alloc(dt, n)
			s.dev.Cast(back, want)
			s.exact("Cast from blocks", back, x)
			s.dev.Copy(moved, want)
			s.dev.Cast(back, moved)
			s.exact("Copy", back, x)
			s.dev.Free(dst)
			s.dev.Free(moved)
			s.done()
		}
		cols := 2 * f.Length
		if f.Flat {
			cols = 65
		}
		s.start("%v rows", dt)
		x := s.normal(5*cols, 1)
		table, ids, got := s.blocks(dt, x), s.ints([]int32{4, 0, 0, 3}), s.out(4*cols)
		s.dev.GatherRows(got, table, ids, cols)
		var want []float32
		for _, id := range ids.Int32() {
			want = append(want, x[int(id)*cols:][:cols]...)
		}
		s.exact("GatherRows", got, want)
		s.done()
	}
}

// blockProducts compares products with a B in blocks, stored either way.
func blockProducts(s *suite) {
	var smooth []function // whose slope is below 1.2
	for _, f := range functions {
		if f.op == backend.Identity || f.op >= backend.Tanh {
			smooth = append(smooth, f)
		}
	}
	for _, dt := range blockTypes() {
		L := dt.Blocks().Length
		for _, m := range []int{1, 2, 3, 5, 8, 9, 33} {
			for form := range 4 { // AT, BT
				long := L * (1 + s.r.IntN(3))
				if dt.Blocks().Flat {
					long = 1 + s.r.IntN(300)
				}
				c := &matmulCase{p: backend.MatMul{M: m, N: long, K: 1 + s.r.IntN(50), AT: form&1 != 0, BT: form&2 != 0, Batch: 1},
					f: smooth[s.r.IntN(len(smooth))], blocks: dt}
				if c.p.BT {
					c.p.N, c.p.K = c.p.K, c.p.N
				}
				s.fill(c, 1)
				if s.r.IntN(2) == 0 {
					c.bias = s.normal(c.p.N, 1)
				}
				c.p.Pre = s.maybe()
				s.check(c)
				c.bias, c.f, c.p.Accumulate = nil, functions[0], true
				s.check(c)
			}
		}
	}
	// More rows than are decoded at once, shared by a batch.
	for _, bt := range []bool{false, true} {
		c := &matmulCase{p: backend.MatMul{M: 3, N: 256, K: 4500, BT: bt, Batch: 2, AStride: 3 * 4501, CStride: 3*256 + 1},
			f: functions[0], blocks: backend.Q8_0}
		if bt {
			c.p.N, c.p.K = 4500, 256
			c.p.AStride, c.p.CStride = 3*256, 3*4500
		}
		s.fill(c, 0.05)
		s.check(c)
	}
}

// maybe is a marker for [suite.check] to have Pre computed, or nil.
func (s *suite) maybe() *backend.Buffer {
	if s.r.IntN(2) == 0 {
		return nil
	}
	return &backend.Buffer{}
}
