package main

import "math"

// sumDoc is a loop that adds up; the sum is made of 16 partial ones.
func sumDoc(over, term, zero string) []string {
	return []string{"var s [16]" + zero, "for i := range " + over + " {", "\ts[i%16] += " + term, "}", "return the sum of s"}
}

// sums writes reductions.
func sums(f *file) {
	// reduction declares one and adds up term, which is to be 0 beyond the end.
	reduction := func(name, signature, doc string, slices, scalars []string, exp bool,
		add func(c *code, acc *vec, s map[string]*vec)) {
		c := f.kernel(name, signature, sumDoc(slices[0], doc, "float32")...)
		c.slices(slices...)
		s := map[string]*vec{}
		for _, n := range scalars {
			s[n] = c.scalar(n)
		}
		if exp {
			c.holdExp()
		}
		acc := c.sums(block)
		c.loop(block, func() { add(c, acc[c.j], s) })
		c.result("ret", c.fold(acc))
		c.ret()
	}
	plus := func(c *code, acc, x *vec) { c.into(acc, 0x4e20d400, "fadd", "4s", acc, x) }
	reduction("sum", "(x []float32) float32", "x[i]", []string{"x"}, nil, false,
		func(c *code, acc *vec, _ map[string]*vec) { plus(c, acc, c.load("x")) })
	reduction("dot", "(x, y []float32) float32", "x[i] * y[i]", []string{"x", "y"}, nil, false,
		func(c *code, acc *vec, _ map[string]*vec) { c.fma(c.load("x"), c.load("y"), acc) })
	reduction("deviation", "(x []float32, m float32) float32", "(x[i] - m) * (x[i] - m)", []string{"x"}, []string{"m"}, false,
		func(c *code, acc *vec, s map[string]*vec) {
			d := c.keep(c.sub(c.load("x"), s["m"]))
			c.fma(d, d, acc)
		})
	reduction("zeros", "(x []float32) float32", "x[i] * 0 // NaN for NaN and Inf", []string{"x"}, nil, false,
		func(c *code, acc *vec, _ map[string]*vec) { c.fma(c.load("x"), c.zero(), acc) })
	reduction("expSub", "(dst, x []float32, m float32) float32", "exp(x[i] - m) // which dst[i] becomes", []string{"dst", "x"},
		[]string{"m"}, true, func(c *code, acc *vec, s map[string]*vec) {
			e := c.exp(c.sub(c.load("x"), s["m"]))
			c.store(e, "dst")
			plus(c, acc, c.keep(e))
		})
	reduction("expSum", "(x []float32, m float32) float32", "exp(x[i] - m)", []string{"x"}, []string{"m"}, true,
		func(c *code, acc *vec, s map[string]*vec) { plus(c, acc, c.keep(c.exp(c.sub(c.load("x"), s["m"])))) })
	reduction("expScores", "(x []float32, scale, shift float32) float32",
		"exp(scale*x[i] - shift) // the product rounded; which x[i] becomes", []string{"x"}, []string{"scale", "shift"}, true,
		func(c *code, acc *vec, s map[string]*vec) {
			e := c.exp(c.sub(c.mul(c.load("x"), s["scale"]), s["shift"]))
			c.store(e, "x")
			plus(c, acc, c.keep(e))
		})

	c := f.kernel("max", "(x []float32) float32", "m := float32(math.Inf(-1))", "for _, v := range x {",
		"\tm = max(m, v) // NaN wins", "}", "return m")
	c.slices("x")
	var top []*vec
	for range block {
		r := c.pin()
		c.constant(r.number, math.Float32bits(float32(math.Inf(-1))))
		top = append(top, r)
	}
	c.loop(block, func() { c.into(top[c.j], 0x4e20f400, "fmax", "4s", top[c.j], c.spread(c.load("x"))) })
	for n := block / 2; n > 0; n /= 2 {
		for i := range n {
			c.lanes(0x4e20f400, "fmax", "4s", top[i].number, top[i].number, top[n+i].number)
		}
	}
	c.word(0x6e30f800|uint32(top[0].number)<<5|uint32(top[0].number), "fmaxv s%d, v%d.4s", top[0].number, top[0].number)
	c.result("ret", top[0].number)
	c.ret()

	c = f.kernel("sumSquares", "(x []float32) float64", sumDoc("x", "float64(x[i]) * float64(x[i])", "float64")...)
	c.slices("x")
	acc := c.sums(2 * block)
	c.loop(block, func() {
		x := c.load("x")
		low := c.one(0x0e617800, "fcvtl v%d.2d, v%d.2s", x)
		high := c.one(0x4e617800, "fcvtl2 v%d.2d, v%d.4s", x)
		c.into(acc[2*c.j], 0x4e60cc00, "fmla", "2d", low, low)
		c.into(acc[2*c.j+1], 0x4e60cc00, "fmla", "2d", high, high)
	})
	for n := block; n > 0; n /= 2 {
		for i := range n {
			c.lanes(0x4e60d400, "fadd", "2d", acc[i].number, acc[i].number, acc[n+i].number)
		}
	}
	r := acc[0].number
	c.word(0x7e70d800|uint32(r)<<5|uint32(r), "faddp d%d, v%d.2d", r, r)
	c.do("FMOVD F%d, %s+%d(FP)", r, c.params["ret"].name, c.params["ret"].offset)
	c.ret()

	c = f.kernel("normSums", "(x, w, dy []float32, m float32) (sum, along float32)",
		loopDoc("x", "sum += dy[i] * w[i]", "along += dy[i] * w[i] * (x[i] - m)")...)
	c.slices("x", "w", "dy")
	m := c.scalar("m")
	sum, along := c.sums(block), c.sums(block)
	c.loop(block, func() {
		g := c.mul(c.load("dy"), c.load("w"))
		plus(c, sum[c.j], g)
		c.fma(g, c.sub(c.load("x"), m), along[c.j])
	})
	c.result("sum", c.fold(sum))
	c.result("along", c.fold(along))
	c.ret()
}
