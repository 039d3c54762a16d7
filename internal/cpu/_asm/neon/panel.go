package main

import "fmt"

// A panel is eight rows of weights, unpacked for products with rows of rounded activations. For every 32 values of a
// row it holds
//
//	codes  [8][8][4] bytes: the group of four values g, of row r, value 4·g+i
//	scales [2][8] float32: those of the rows, and then what is added to a row's values
//
// so that the lanes of a register are rows, and a dot product of four bytes stays in its lane.

func panels(f *file) {
	for _, m := range []int{1, 2, 4} {
		panel(f, m)
	}
	packBytes(f)
	packNibbles(f, false)
	packNibbles(f, true)
	halves(f)
}

// sdot adds to each lane of d the products of four bytes of a with the four of lane i of b.
func (fn *function) sdot(d, a, b v, i int) {
	fn.word(0x4f80e000|uint32(i&1)<<21|uint32(i>>1)<<11|uint32(b)<<16|uint32(a)<<5|uint32(d),
		"sdot v%d.4s, v%d.16b, v%d.4b[%d]", d, a, b, i)
}

// fmulFirst sets d to a times lane 0 of b.
func (fn *function) fmulFirst(d, a, b v) {
	fn.word(0x4f809000|uint32(b)<<16|uint32(a)<<5|uint32(d), "fmul v%d.4s, v%d.4s, v%d.s[0]", d, a, b)
}

func (fn *function) scvtf(d, a v) {
	fn.word(0x4e21d800|uint32(a)<<5|uint32(d), "scvtf v%d.4s, v%d.4s", d, a)
}

// panel writes the product of a panel with m rows of rounded activations.
func panel(f *file, m int) {
	fn := f.begin(fmt.Sprintf("panel8x%dNEON", m),
		"(n int, codes *int8, scales *float32, q *int8, d, s *float32, k int, c *float32, step, more int, next uintptr)", 0,
		fmt.Sprintf("multiplies a panel of n > 0 times 32 values with %d rows of k rounded activations, of which q, d and", m),
		"s are the first; it adds to c if more is not 0. It needs the instruction SDOT:",
		"",
		fmt.Sprintf("\tfor i := range %d {", m),
		"\t\tfor r := range 8 {",
		"\t\t\tx := float32(0) // or c[i*step+r]",
		"\t\t\tfor b := range n {",
		"\t\t\t\tsum := int32(0)",
		"\t\t\t\tfor e := range 32 {",
		"\t\t\t\t\tsum += codes[b*256+e/4*32+r*4+e%4] * q[i*k+b*32+e]",
		"\t\t\t\t}",
		"\t\t\t\tx = fma(scales[b*16+8+r], s[i*k/32+b], x)",
		"\t\t\t\tx = fma(float32(sum), scales[b*16+r]*d[i*k/32+b], x)",
		"\t\t\t}",
		"\t\t\tc[i*step+r] = x",
		"\t\t}",
		"\t}")
	acc := func(i, h int) v { return v(2*i + h) }
	sum := func(i, h int) v { return v(2*m + 2*i + h) }
	Q := func(i, h int) v { return v(4*m + 2*i + h) }
	code, number := v(6*m), v(6*m+2)
	n, codes, scales, c, step, k := fn.arg("n"), fn.arg("codes"), fn.arg("scales"), fn.arg("c"), fn.arg("step"), fn.arg("k")
	var q, d, s []x
	for i := range m {
		for _, p := range []struct {
			name  string
			list  *[]x
			shift int // of k, to the right
		}{{"q", &q, 0}, {"d", &d, 3}, {"s", &s, 3}} {
			r := fn.new()
			if *p.list = append(*p.list, r); i == 0 {
				fn.into(p.name, r)
			} else {
				fn.do("ADD %v>>%d, %v, %v", k, p.shift, (*p.list)[i-1], r)
			}
		}
	}
	fn.do("LSL $2, %v", step)
	more, to := fn.arg("more"), fn.new()
	for i := range m {
		fn.clear(acc(i, 0))
		fn.clear(acc(i, 1))
	}
	fn.do("CBZ %v, block", more)
	fn.do("MOVD %v, %v", c, to)
	for i := range m {
		fn.ldp(acc(i, 0), acc(i, 1), to)
		fn.do("ADD %v, %v", step, to)
	}
	fn.label("block")
	for i := range m {
		fn.ldpNext(Q(i, 0), Q(i, 1), q[i])
		fn.clear(sum(i, 0))
		fn.clear(sum(i, 1))
	}
	for g := range 8 {
		fn.ldpNext(code, code+1, codes)
		for i := range m {
			fn.sdot(sum(i, 0), code, Q(i, g/4), g%4)
			fn.sdot(sum(i, 1), code+1, Q(i, g/4), g%4)
		}
	}
	scale, least := Q(0, 0), code // what they held is used up; scale and scale+1 are both halves
	fn.ldpNext(scale, scale+1, scales)
	fn.ldpNext(least, least+1, scales)
	for i := range m {
		fn.ldrS(number, d[i], 0)
		fn.ldrS(number+1, s[i], 0)
		fn.do("ADD $4, %v", d[i])
		fn.do("ADD $4, %v", s[i])
		for h := range 2 {
			fn.fmlaFirst(acc(i, h), least+v(h), number+1)
			fn.scvtf(sum(i, h), sum(i, h))
			fn.fmulFirst(number+2, scale+v(h), number)
			fn.fmla(acc(i, h), sum(i, h), number+2)
		}
	}
	fn.do("SUBS $1, %v", n)
	fn.do("BNE block")
	for i := range m {
		fn.stp(acc(i, 0), acc(i, 1), c)
		fn.do("ADD %v, %v", step, c)
	}
	fn.ret()
}

// rows begins a kernel that reads eight rows, stride bytes apart from w on.
func (f *file) rows(name, signature string, doc ...string) (*function, []x) {
	fn := f.begin(name, signature, 0, doc...)
	stride, w := fn.arg("stride"), []x{fn.arg("w")}
	for i := 1; i < 8; i++ {
		w = append(w, fn.new())
		fn.do("ADD %v, %v, %v", stride, w[i-1], w[i])
	}
	return fn, w
}

// groups writes 32 codes of each of eight rows, row i's in registers 2i and 2i+1, as a panel.
func (fn *function) groups(codes x) {
	fn.words(24)
	for p := range 8 {
		fn.stpNext(v(p%4*2+p/4), v(8+p%4*2+p/4), codes)
	}
}

func packDoc(of string) []string {
	return []string{"unpacks 32 codes of each of eight rows, which lie stride bytes apart from w on:", "",
		"\tcodes[e/4*32+r*4+e%4] = " + of}
}

func packBytes(f *file) {
	fn, w := f.rows("packBytesNEON", "(stride int, w *byte, codes *int8)", packDoc("int8(w[r*stride+e])")...)
	for i := range v(8) {
		fn.ldp(2*i, 2*i+1, w[i])
	}
	fn.groups(fn.arg("codes"))
	fn.ret()
}

// packNibbles unpacks the low and high halves of 16 bytes, less a number, or of 32, as two panels.
func packNibbles(f *file, two bool) {
	name, signature := "packNibblesNEON", "(stride int, w *byte, codes *int8, less int)"
	doc := packDoc("int8(w[r*stride+e%16]>>(e/16*4)&15) - less")
	if two {
		name, signature = "packNibblePairNEON", "(stride int, w *byte, codes *int8)"
		doc = append(packDoc("int8(w[r*stride+e]) & 15"), "\tcodes[256+e/4*32+r*4+e%4] = int8(w[r*stride+e]) >> 4")
	}
	fn, w := f.rows(name, signature, doc...)
	codes, r := fn.arg("codes"), fn.new()
	const mask, less, all = 30, 31, 16
	fn.do("MOVD $0x0f0f0f0f, %v", r)
	fn.dup(mask, r)
	high := func(d, a v) {
		fn.word(0x6f0c0400|uint32(a)<<5|uint32(d), "ushr v%d.16b, v%d.16b, #4", d, a)
	}
	if two {
		for part := range 2 {
			for i := range v(8) {
				fn.ldp(2*i, 2*i+1, w[i])
				for h := range v(2) {
					if part == 0 {
						fn.and(2*i+h, 2*i+h, mask)
					} else {
						high(2*i+h, 2*i+h)
					}
				}
			}
			fn.groups(codes)
		}
		fn.ret()
		return
	}
	fn.into("less", r)
	fn.word(0x4e010c00|uint32(r)<<5|less, "dup v%d.16b, w%d", less, r)
	sub := func(d v) {
		fn.word(0x6e208400|uint32(less)<<16|uint32(d)<<5|uint32(d), "sub v%d.16b, v%d.16b, v%d.16b", d, d, less)
	}
	for i := range v(8) {
		fn.ldrQ(all, w[i], 0)
		fn.and(2*i, all, mask)
		high(2*i+1, all)
		sub(2 * i)
		sub(2*i + 1)
	}
	fn.groups(codes)
	fn.ret()
}

// halves writes what reads a binary16 number of each of eight rows.
func halves(f *file) {
	fn, w := f.rows("halvesNEON", "(stride int, w *byte, dst *float32)",
		"sets dst[r], for eight rows, to the binary16 number at w[r*stride].")
	dst := fn.arg("dst")
	for i := range v(8) {
		fn.word(0x7d400000|uint32(w[i])<<5|uint32(i), "ldr h%d, [x%d]", i, w[i])
		fn.word(0x1ee24000|uint32(i)<<5|uint32(i), "fcvt s%d, h%d", i, i)
		fn.strS(i, dst, int(4*i))
	}
	fn.ret()
}
