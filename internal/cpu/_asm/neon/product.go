package main

import "fmt"

// products writes the kernels of matrix products.
func products(f *file) {
	for m := 6; m > 0; m-- {
		tile(f, m, 4)
	}
	for m := 12; m > 0; m-- {
		tile(f, m, 2)
	}
	for m := 1; m <= 3; m++ {
		dots(f, m, 4)
		dotsHalf(f, m, 4)
	}
	dots(f, 1, 8)
	dotsHalf(f, 1, 8)
	update(f, 1, 8)
	update(f, 2, 4)
	update(f, 3, 4)
	strip(f, 2)
	strip(f, 4)
	widen(f)
	transpose(f, false)
	transpose(f, true)
	multiplyAdds(f)
	read(f)
}

// tile writes the kernel of m rows by n registers of columns. Every element is one chain of fused multiply-adds in order
// of k, whatever the tile that it falls into. An element of A is loaded alone, and a multiplication takes it as a lane:
// of A stored in any order, without an instruction to spread it.
func tile(f *file, m, n int) {
	cols := 4 * n
	fn := f.begin(fmt.Sprintf("tile%dx%dNEON", m, cols),
		"(tiles, k int, a *float32, aTile, aRow, aCol int, b *float32, bRow int, d *float32, dRow int, c *float32, cRow, cols int)",
		16*n,
		fmt.Sprintf("computes tiles blocks of %d rows and cols ≤ %d columns, one below the other; strides count elements.", m, cols),
		"d may be nil, for 0, or c. b must be readable for all columns of the tile:",
		"",
		fmt.Sprintf("\tfor i := range tiles*%d {", m),
		"\t\tfor j := range cols {",
		"\t\t\ts := float32(0)",
		"\t\t\tfor p := range k {",
		fmt.Sprintf("\t\t\t\ts = fma(a[i/%[1]d*aTile+i%%%[1]d*aRow+p*aCol], b[p*bRow+j], s)", m),
		"\t\t\t}",
		"\t\t\tc[i*cRow+j] = s + d[i*dRow+j]",
		"\t\t}",
		"\t}")
	acc := func(i, j int) v { return v(i*n + j) }
	B := v(m * n)
	A := func(i int) v { return B + v(n+i%(32-m*n-n)) }
	spare := min(m, 32-m*n-n)

	tiles, d, c, aRow, aCol, bRow := fn.arg("tiles"), fn.arg("d"), fn.arg("c"), fn.arg("aRow"), fn.arg("aCol"), fn.arg("bRow")
	rows := make([]x, m)
	rows[0] = fn.arg("a")
	for i := 1; i < m; i++ {
		rows[i] = fn.new()
	}
	b, k, at := fn.new(), fn.new(), fn.new()
	fn.do("LSL $2, %v", aRow)
	fn.do("LSL $2, %v", bRow)

	fn.label("tile")
	for i := range v(m * n) {
		fn.clear(i)
	}
	for i := 1; i < m; i++ {
		fn.do("ADD %v, %v, %v", aRow, rows[i-1], rows[i])
	}
	fn.into("b", b)
	fn.into("k", k)
	fn.do("MOVD ZR, %v", at)
	step := func() {
		for i := range spare {
			fn.ldrElement(A(i), rows[i], at)
		}
		fn.ld1(n, B, b, bRow)
		for i := range m {
			for j := range n {
				fn.fmlaFirst(acc(i, j), B+v(j), A(i))
			}
			if i+spare < m {
				fn.ldrElement(A(i+spare), rows[i+spare], at)
			}
		}
		fn.do("ADD %v, %v", aCol, at)
	}
	fn.do("SUBS $2, %v", k)
	fn.do("BLT rest")
	fn.label("two")
	step()
	step()
	fn.do("SUBS $2, %v", k)
	fn.do("BGE two")
	fn.label("rest")
	fn.do("ADDS $2, %v", k)
	fn.do("BEQ add")
	step()

	fn.label("add")
	cRow, dRow, width := fn.into("cRow", b), fn.into("dRow", k), fn.into("cols", at)
	fn.do("LSL $2, %v", cRow)
	fn.do("LSL $2, %v", dRow)
	fn.do("CMP $%d, %v", cols, width)
	fn.do("BLT narrow")
	fn.do("CBZ %v, store", d)
	for i := range m {
		for j := range n {
			fn.ldrQ(B+v(j), d, 16*j)
		}
		for j := range n {
			fn.fadd(acc(i, j), acc(i, j), B+v(j))
		}
		fn.do("ADD %v, %v", dRow, d)
	}
	fn.label("store")
	for i := range m {
		for j := range n {
			fn.strQ(acc(i, j), c, 16*j)
		}
		fn.do("ADD %v, %v", cRow, c)
	}
	fn.label("next")
	aTile := fn.into("aTile", b)
	fn.do("ADD %v<<2, %v", aTile, rows[0])
	fn.do("SUBS $1, %v", tiles)
	fn.do("BNE tile")
	fn.ret()

	// Fewer columns go element by element, by way of memory.
	fn.label("narrow")
	buffer, e := aRow, bRow // loaded again below
	fn.do("MOVD $buffer-%d(SP), %v", 16*n, buffer)
	fn.do("CBNZ %v, edge", d)
	fn.do("MOVD ZR, %v", dRow)
	fn.label("edge")
	for i := range m {
		for j := range n {
			fn.strQ(acc(i, j), buffer, 16*j)
		}
		element, plain := fn.unique("element"), fn.unique("plain")
		fn.do("MOVD ZR, %v", e)
		fn.label(element)
		fn.ldrElement(B, buffer, e)
		fn.do("CBZ %v, %s", d, plain)
		fn.ldrElement(B+1, d, e)
		fn.faddS(B, B, B+1)
		fn.label(plain)
		fn.strElement(B, c, e)
		fn.do("ADD $1, %v", e)
		fn.do("CMP %v, %v", width, e)
		fn.do("BLT %s", element)
		fn.do("ADD %v, %v", dRow, d)
		fn.do("ADD %v, %v", cRow, c)
	}
	fn.into("aRow", aRow)
	fn.into("bRow", bRow)
	fn.do("LSL $2, %v", aRow)
	fn.do("LSL $2, %v", bRow)
	fn.do("B next")
}

// order is the part of a doc comment about sums of several lanes.
const order = "added in another order, which depends on k only and is the same for any number of vectors and rows:"

func dotsDoc(m, rows, step int, read string) []string {
	return []string{
		fmt.Sprintf("multiplies %d vectors with %d times n > 0 rows; k is a multiple of %d, above 0; strides count elements. The terms are", m, rows, step),
		order,
		"",
		fmt.Sprintf("\tfor i := range %d {", m),
		fmt.Sprintf("\t\tfor q := range %d {", rows),
		"\t\t\tfor j := range n {",
		"\t\t\t\ts := float32(0)",
		"\t\t\t\tfor p := range k {",
		"\t\t\t\t\ts = fma(" + read + ", s)",
		"\t\t\t\t}",
		"\t\t\t\tc[i*cRow+q*cFar+j] = s",
		"\t\t\t}",
		"\t\t}",
		"\t}",
	}
}

// streams loads the parameters of a dots kernel and runs body for each step of elements, given pointers to the vectors
// and to rows rows of B, which it moves; size is that of an element of B in bytes. sums are then the registers of the
// sums, of row j for vector i.
func (fn *function) streams(m, rows, step, size int, clear v, body func(a, b []x), sum func(i, j int) v) {
	shift := map[int]int{2: 1, 4: 2}[size]
	n, aRow, bFar, b0, c := fn.arg("n"), fn.arg("aRow"), fn.arg("bFar"), fn.arg("b"), fn.arg("c")
	cRow, cFar := fn.arg("cRow"), fn.arg("cFar")
	k, to := fn.new(), fn.new()
	var a, b []x
	for range m {
		a = append(a, fn.new())
	}
	for range rows {
		b = append(b, fn.new())
	}
	for _, r := range []x{aRow, cRow, cFar} {
		fn.do("LSL $2, %v", r)
	}
	fn.do("LSL $%d, %v", shift, bFar)
	fn.label("rows")
	for i := range clear {
		fn.clear(i)
	}
	fn.into("a", a[0])
	for i := 1; i < m; i++ {
		fn.do("ADD %v, %v, %v", aRow, a[i-1], a[i])
	}
	fn.do("MOVD %v, %v", b0, b[0])
	for j := 1; j < rows; j++ {
		fn.do("ADD %v, %v, %v", bFar, b[j-1], b[j])
	}
	fn.into("k", k)
	fn.label("step")
	body(a, b)
	fn.do("SUBS $%d, %v", step, k)
	fn.do("BGT step")
	row := a[0]
	fn.do("MOVD %v, %v", c, row)
	for i := range m {
		fn.do("MOVD %v, %v", row, to)
		for j := 0; j < rows; j += 4 {
			s := [4]v{sum(i, j), sum(i, j+1), sum(i, j+2), sum(i, j+3)}
			fn.faddp(s[0], s[0], s[1])
			fn.faddp(s[2], s[2], s[3])
			fn.faddp(s[0], s[0], s[2])
			for lane := range 4 {
				fn.st1Lane(s[0], lane, to, cFar)
			}
		}
		fn.do("ADD %v, %v", cRow, row)
	}
	fn.do("ADD $4, %v", c)
	bRow := fn.into("bRow", k)
	fn.do("ADD %v<<%d, %v", bRow, shift, b0)
	fn.do("SUBS $1, %v", n)
	fn.do("BNE rows")
	fn.ret()
}

const dotsSignature = "(n, k int, a *float32, aRow int, b *%s, bRow, bFar int, c *float32, cRow, cFar int)"

// dots writes the kernel of m vectors times the rows of a matrix, which it reads once, rows (4 or 8) at a time, as the
// kernels of amd64 do; eight terms of each, in two registers of sums.
func dots(f *file, m, rows int) {
	fn := f.begin(fmt.Sprintf("dots%dx%dNEON", m, rows), fmt.Sprintf(dotsSignature, "float32"), 0,
		dotsDoc(m, rows, 8, "a[i*aRow+p], b[q*bFar+j*bRow+p]")...)
	acc := func(i, j, h int) v { return v((i*rows+j)*2 + h) }
	A := v(m * rows * 2)
	B := A + v(2*m)
	fn.streams(m, rows, 8, 4, A, func(a, b []x) {
		for i := range m {
			fn.ldpNext(A+v(2*i), A+v(2*i+1), a[i])
		}
		for j := range rows {
			fn.ldpNext(B, B+1, b[j])
			for i := range m {
				fn.fmla(acc(i, j, 0), B, A+v(2*i))
				fn.fmla(acc(i, j, 1), B+1, A+v(2*i+1))
			}
		}
	}, func(i, j int) v {
		fn.fadd(acc(i, j, 0), acc(i, j, 0), acc(i, j, 1))
		return acc(i, j, 0)
	})
}

// dotsHalf is dots for rows of bfloat16, sixteen terms at a time. Those at even places become float32 by a shift, those
// at odd places by a mask. So that they meet their partners, the vectors hold the even places first.
func dotsHalf(f *file, m, rows int) {
	fn := f.begin(fmt.Sprintf("dots%dx%dBF16NEON", m, rows), fmt.Sprintf(dotsSignature, "uint16"), 0,
		dotsDoc(m, rows, 16, "a[i*aRow+p/16*16+p%2*8+p%16/2], widen(b[q*bFar+j*bRow+p])")...)
	acc := func(i, j int) v { return v(i*rows + j) }
	A := v(m * rows)
	B := A + v(4*m)
	even, mask := B+2, B+3
	ones := fn.new()
	fn.do("MOVD $0xffff0000, %v", ones)
	fn.dup(mask, ones)
	fn.streams(m, rows, 16, 2, A, func(a, b []x) {
		for i := range m {
			fn.ld1Next(4, A+v(4*i), a[i])
		}
		for j := range rows {
			fn.ldpNext(B, B+1, b[j])
			for h := range v(2) {
				fn.shl16(even, B+h)
				fn.and(B+h, B+h, mask)
				for i := range m {
					fn.fmla(acc(i, j), even, A+v(4*i)+h)
					fn.fmla(acc(i, j), B+h, A+v(4*i)+2+h)
				}
			}
		}
	}, acc)
}

// update writes the kernel that adds r rows of a matrix, each multiplied by a number for each of m sums.
func update(f *file, m, r int) {
	fn := f.begin(fmt.Sprintf("update%dx%dNEON", m, r),
		"(n, k int, a *float32, aRow, aCol int, b *float32, bRow int, c *float32, cRow int)", 0,
		fmt.Sprintf("adds k rows of n columns to %d rows; n is a multiple of 8, and k one of %d; strides count elements. The sum is one chain in order of p:", m, r),
		"",
		fmt.Sprintf("\tfor i := range %d {", m),
		"\t\tfor j := range n {",
		"\t\t\tfor p := range k {",
		"\t\t\t\tc[i*cRow+j] = fma(a[i*aRow+p*aCol], b[p*bRow+j], c[i*cRow+j])",
		"\t\t\t}",
		"\t\t}",
		"\t}")
	factor := func(i, p int) v { return v(i*r + p) }
	acc := func(i, h int) v { return v(m*r + 2*i + h) }
	B := func(p, h int) v { return v(m*r + 2*m + p%3*2 + h) }
	k, a, aRow, aCol, b, bRow := fn.arg("k"), fn.arg("a"), fn.arg("aRow"), fn.arg("aCol"), fn.arg("b"), fn.arg("bRow")
	cRow, n, from := fn.arg("cRow"), fn.new(), fn.new()
	for _, s := range []x{aRow, aCol, bRow, cRow} {
		fn.do("LSL $2, %v", s)
	}
	var rows, c []x
	for range r {
		rows = append(rows, fn.new())
	}
	for range m {
		c = append(c, fn.new())
	}
	fn.label("rows")
	for p := range r {
		fn.do("MOVD %v, %v", a, from)
		for i := range m {
			fn.ldrS(factor(i, p), from, 0)
			fn.do("ADD %v, %v", aRow, from)
		}
		fn.do("ADD %v, %v", aCol, a)
		fn.do("MOVD %v, %v", b, rows[p])
		fn.do("ADD %v, %v", bRow, b)
	}
	fn.into("c", c[0])
	for i := 1; i < m; i++ {
		fn.do("ADD %v, %v, %v", cRow, c[i-1], c[i])
	}
	fn.into("n", n)
	fn.label("columns")
	for i := range m {
		fn.ldp(acc(i, 0), acc(i, 1), c[i])
	}
	for p := range r {
		fn.ldpNext(B(p, 0), B(p, 1), rows[p])
		for i := range m {
			fn.fmlaFirst(acc(i, 0), B(p, 0), factor(i, p))
			fn.fmlaFirst(acc(i, 1), B(p, 1), factor(i, p))
		}
	}
	for i := range m {
		fn.stpNext(acc(i, 0), acc(i, 1), c[i])
	}
	fn.do("SUBS $8, %v", n)
	fn.do("BGT columns")
	fn.do("SUBS $%d, %v", r, k)
	fn.do("BGT rows")
	fn.ret()
}
