package main

import "fmt"

// strip writes the kernel that packs n registers of columns of a matrix stored by rows.
func strip(f *file, n int) {
	fn := f.begin(fmt.Sprintf("strip%dNEON", 4*n), "(k int, dst *float32, dRow int, src *float32, sRow int)", 0,
		fmt.Sprintf("copies %d columns of k > 0 rows; strides count elements:", 4*n),
		"",
		"\tfor p := range k {",
		fmt.Sprintf("\t\tcopy(dst[p*dRow:][:%d], src[p*sRow:])", 4*n),
		"\t}")
	k, dst, dRow, src, sRow := fn.arg("k"), fn.arg("dst"), fn.arg("dRow"), fn.arg("src"), fn.arg("sRow")
	fn.do("LSL $2, %v", dRow)
	fn.do("LSL $2, %v", sRow)
	fn.label("row")
	fn.ld1(n, 0, src, sRow)
	fn.st1(n, 0, dst, dRow)
	fn.do("SUBS $1, %v", k)
	fn.do("BNE row")
	fn.ret()
}

// widen writes the kernel that turns bfloat16 into float32.
func widen(f *file) {
	fn := f.begin("widenNEON", "(k int, dst *float32, dRow int, src *uint16, sRow int)", 0,
		"widens 16 columns of k > 0 rows of bfloat16; strides count elements:",
		"",
		"\tfor p := range k {",
		"\t\tfor j := range 16 {",
		"\t\t\tdst[p*dRow+j] = math.Float32frombits(uint32(src[p*sRow+j]) << 16)",
		"\t\t}",
		"\t}")
	k, dst, dRow, src, sRow := fn.arg("k"), fn.arg("dst"), fn.arg("dRow"), fn.arg("src"), fn.arg("sRow")
	fn.do("LSL $2, %v", dRow)
	fn.do("LSL $1, %v", sRow)
	const zero = 6
	fn.clear(zero)
	fn.label("row")
	fn.ld1(2, 4, src, sRow)
	for h := range v(2) {
		fn.widenLow(2*h, zero, 4+h)
		fn.widenHigh(2*h+1, zero, 4+h)
	}
	fn.st1(4, 0, dst, dRow)
	fn.do("SUBS $1, %v", k)
	fn.do("BNE row")
	fn.ret()
}

// transpose writes the kernel that packs eight rows of a matrix as eight columns.
func transpose(f *file, bfloat16 bool) {
	name, of, read, shift := "transpose8", "float32", "src[j*sRow+p]", 2
	if bfloat16 {
		name, of, read, shift = "transpose8BF16", "uint16", "widen(src[j*sRow+p])", 1
	}
	fn := f.begin(name+"NEON", "(k int, dst *float32, dRow int, src *"+of+", sRow int)", 0,
		"turns 8 rows of k elements into columns; k is a multiple of 8, above 0; strides count elements:",
		"",
		"\tfor p := range k {",
		"\t\tfor j := range 8 {",
		"\t\t\tdst[p*dRow+j] = "+read,
		"\t\t}",
		"\t}")
	k, dst, dRow, sRow := fn.arg("k"), fn.arg("dst"), fn.arg("dRow"), fn.arg("sRow")
	fn.do("LSL $2, %v", dRow)
	fn.do("LSL $%d, %v", shift, sRow)
	src := []x{fn.arg("src")}
	for i := 1; i < 8; i++ {
		src = append(src, fn.new())
		fn.do("ADD %v, %v, %v", sRow, src[i-1], src[i])
	}
	at := func(p, h int) v { return v(8*h + p%4*2 + p/4) }
	const zero, spare = 31, 16
	if bfloat16 {
		fn.clear(zero)
	}
	fn.label("block")
	for i := range v(8) {
		if !bfloat16 {
			fn.ldpNext(2*i, 2*i+1, src[i])
			continue
		}
		fn.ldrNext(spare, src[i], 16)
		fn.widenLow(2*i, zero, spare)
		fn.widenHigh(2*i+1, zero, spare)
	}
	fn.words(spare)
	for p := range 8 {
		fn.stp(at(p, 0), at(p, 1), dst)
		fn.do("ADD %v, %v", dRow, dst)
	}
	fn.do("SUBS $8, %v", k)
	fn.do("BGT block")
	fn.ret()
}

// words transposes eight rows of eight words, row i in registers 2i and 2i+1: rows 4h to 4h+3 of column p are then in
// register 8h + p%4·2 + p/4. It spoils four registers from spare on.
func (fn *function) words(spare v) {
	for h := range v(2) { // rows 4h to 4h+3
		for e := range v(2) { // columns 4e to 4e+3
			r := func(i v) v { return 8*h + 2*i + e }
			fn.zip1(spare, r(0), r(2))
			fn.zip1(spare+1, r(1), r(3))
			fn.zip2(spare+2, r(0), r(2))
			fn.zip2(spare+3, r(1), r(3))
			fn.zip1(r(0), spare, spare+1)
			fn.zip2(r(1), spare, spare+1)
			fn.zip1(r(2), spare+2, spare+3)
			fn.zip2(r(3), spare+2, spare+3)
		}
	}
}

// multiplyAdds writes what measures the rate of multiply-adds.
func multiplyAdds(f *file) {
	fn := f.begin("multiplyAddsNEON", "(n int)", 0, "runs n > 0 rounds of 24 vector multiply-adds that do not wait for one another.")
	n := fn.arg("n")
	for i := range v(26) {
		fn.clear(i)
	}
	fn.label("round")
	for i := range v(24) {
		fn.fmla(i, 24, 25)
	}
	fn.do("SUBS $1, %v", n)
	fn.do("BGT round")
	fn.ret()
}

// read writes what measures the rate of loads.
func read(f *file) {
	fn := f.begin("readNEON", "(n int, x *float32)", 0, "loads n elements, a multiple of 32 above 0, from x on.")
	n, from := fn.arg("n"), fn.arg("x")
	fn.label("block")
	fn.ld1Next(4, 0, from)
	fn.ld1Next(4, 4, from)
	fn.do("SUBS $32, %v", n)
	fn.do("BGT block")
	fn.ret()
}
