package main

// block is the number of registers of a turn of the loops that are short or sum up; those with a long body take one.
const block = 4

// loopDoc is a loop over the elements with the given statements.
func loopDoc(over string, statements ...string) []string {
	out := []string{"for i := range " + over + " {"}
	for _, s := range statements {
		out = append(out, "\t"+s)
	}
	return append(out, "}")
}

// each writes a kernel that works element by element on the named slices: body for a register, registers at a time.
func (f *file) each(name, signature string, doc, slices []string, exp bool, registers int, scalars []string,
	body func(c *code, s map[string]*vec)) {
	c := f.kernel(name, signature, doc...)
	c.slices(slices...)
	s := map[string]*vec{}
	for _, n := range scalars {
		s[n] = c.scalar(n)
	}
	if exp {
		c.holdExp()
	}
	c.loop(registers, func() { body(c, s) })
	c.ret()
}

// vectors writes the kernels of slices.
func vectors(f *file) {
	for _, fn := range functions {
		f.each("unary"+fn.name, "(dst, x []float32)", loopDoc("dst", "dst[i] = "+fn.formula), []string{"dst", "x"}, fn.exp, 1,
			nil, func(c *code, _ map[string]*vec) { c.store(fn.f(c, c.load("x")), "dst") })
	}
	for _, fn := range functions {
		f.each("grad"+fn.name, "(dx, x, y, dy []float32)",
			loopDoc("dx", "dx[i] = dy[i] * slope(backend."+fn.name+", x[i], y[i])"), []string{"dx", "x", "y", "dy"},
			fn.exp && fn.name != "Exp" && fn.name != "Tanh" && fn.name != "Sigmoid", 1, nil,
			func(c *code, _ map[string]*vec) { c.store(fn.gradient(c), "dx") })
	}
	arithmetic(f)
	sums(f)
	exponentials(f)
	norms(f)
	others(f)
}

// arithmetic writes functions of two variables and linear ones.
func arithmetic(f *file) {
	type scalars = map[string]*vec
	for _, op := range []struct {
		name, sign string
		f          func(c *code, a, b *vec) *vec
	}{{"Add", "+", (*code).add}, {"Sub", "-", (*code).sub}, {"Mul", "*", (*code).mul}, {"Div", "/", (*code).div}} {
		f.each("binary"+op.name, "(dst, a, b []float32)", loopDoc("dst", "dst[i] = a[i] "+op.sign+" b[i]"),
			[]string{"dst", "a", "b"}, false, block, nil,
			func(c *code, _ scalars) { c.store(op.f(c, c.load("a"), c.load("b")), "dst") })
		f.each("right"+op.name, "(dst, a []float32, b float32)", loopDoc("dst", "dst[i] = a[i] "+op.sign+" b"),
			[]string{"dst", "a"}, false, block, []string{"b"},
			func(c *code, s scalars) { c.store(op.f(c, c.load("a"), s["b"]), "dst") })
		f.each("left"+op.name, "(dst []float32, a float32, b []float32)", loopDoc("dst", "dst[i] = a "+op.sign+" b[i]"),
			[]string{"dst", "b"}, false, block, []string{"a"},
			func(c *code, s scalars) { c.store(op.f(c, s["a"], c.load("b")), "dst") })
	}
	f.each("affine", "(dst, x []float32, a, b float32)", loopDoc("dst", "dst[i] = a*x[i] + b"), []string{"dst", "x"},
		false, block, []string{"a", "b"},
		func(c *code, s scalars) { c.store(c.fma(c.load("x"), s["a"], c.copyOf(s["b"])), "dst") })
	f.each("axpy", "(dst, x []float32, a float32)", loopDoc("dst", "dst[i] += a * x[i]"), []string{"dst", "x"},
		false, block, []string{"a"},
		func(c *code, s scalars) { c.store(c.fma(c.load("x"), s["a"], c.load("dst")), "dst") })
	f.each("axpby", "(dst, x, y []float32, a, b float32)", loopDoc("dst", "dst[i] = a*x[i] + b*y[i]"),
		[]string{"dst", "x", "y"}, false, block, []string{"a", "b"},
		func(c *code, s scalars) { c.store(c.fma(c.load("x"), s["a"], c.mul(c.load("y"), s["b"])), "dst") })
	f.each("shift", "(dst, x []float32, m, l float32)", loopDoc("dst", "dst[i] = (x[i] - m) - l"), []string{"dst", "x"},
		false, block, []string{"m", "l"},
		func(c *code, s scalars) { c.store(c.sub(c.sub(c.load("x"), s["m"]), s["l"]), "dst") })
	f.each("swiglu", "(dst, gate, up []float32)", loopDoc("dst", "dst[i] = gate[i] / (1 + exp(-gate[i])) * up[i]"),
		[]string{"dst", "gate", "up"}, true, 1, nil, func(c *code, _ scalars) {
			g := c.load("gate")
			c.store(c.mul(c.div(g, c.logistic(g, 1)), c.load("up")), "dst")
		})
	f.each("swigluGrad", "(dGate, dUp, gate, up, dy []float32)", loopDoc("dGate",
		"g, y, s := gate[i], dy[i], sigmoid(gate[i])", "dGate[i] = y * up[i] * (s + g*s*(1-s))", "dUp[i] = y * (g * s)"),
		[]string{"dGate", "dUp", "gate", "up", "dy"}, true, 1, nil, func(c *code, _ scalars) {
			g, y, u := c.load("gate"), c.load("dy"), c.load("up")
			slope, s := c.swish(g, 1)
			c.store(c.mul(c.mul(y, u), slope), "dGate")
			c.store(c.mul(y, c.mul(g, s)), "dUp")
		})
	f.each("castInt", "(dst []float32, x []int32)", loopDoc("dst", "dst[i] = float32(x[i])"), []string{"dst", "x"},
		false, block, nil, func(c *code, _ scalars) { c.store(c.fromInt(c.load("x")), "dst") })
}

// exponentials writes what softmax and cross-entropy are made of, save for the sums.
func exponentials(f *file) {
	type scalars = map[string]*vec
	f.each("expScale", "(dst, x []float32, m, scale float32)", loopDoc("dst", "dst[i] = exp(x[i]-m) * scale"),
		[]string{"dst", "x"}, true, 1, []string{"m", "scale"},
		func(c *code, s scalars) { c.store(c.mul(c.exp(c.sub(c.load("x"), s["m"])), s["scale"]), "dst") })
	f.each("softmaxGrad", "(dx, y, dy []float32, s float32)", loopDoc("dx", "dx[i] = y[i] * (dy[i] - s)"),
		[]string{"dx", "y", "dy"}, false, block, []string{"s"},
		func(c *code, s scalars) { c.store(c.mul(c.sub(c.load("dy"), s["s"]), c.load("y")), "dx") })
	f.each("logSoftmaxGrad", "(dx, y, dy []float32, s float32)", loopDoc("dx", "dx[i] = dy[i] - s*exp(y[i])"),
		[]string{"dx", "y", "dy"}, true, 1, []string{"s"},
		func(c *code, s scalars) { c.store(c.fnma(c.exp(c.load("y")), s["s"], c.load("dy")), "dx") })
	f.each("score", "(p, ds []float32, scale, l, delta, out float32)", loopDoc("p",
		"p[i] = exp(min(scale*p[i]-l, 0)) // the product rounded", "ds[i] = p[i] * out * (ds[i] - delta)"),
		[]string{"p", "ds"}, true, 1, []string{"scale", "l", "delta", "out"}, func(c *code, s scalars) {
			p := c.exp(c.min(c.sub(c.mul(c.load("p"), s["scale"]), s["l"]), c.zero()))
			c.store(p, "p")
			c.store(c.mul(c.mul(p, s["out"]), c.sub(c.load("ds"), s["delta"])), "ds")
		})
}

// norms writes what RMSNorm and LayerNorm are made of, save for the sums.
func norms(f *file) {
	type scalars = map[string]*vec
	f.each("scaled", "(dst, x, w []float32, m, r float32)", loopDoc("dst", "dst[i] = (x[i] - m) * r * w[i]"),
		[]string{"dst", "x", "w"}, false, block, []string{"m", "r"}, func(c *code, s scalars) {
			c.store(c.mul(c.mul(c.sub(c.load("x"), s["m"]), s["r"]), c.load("w")), "dst")
		})
	f.each("biased", "(dst, x, w, b []float32, m, r float32)", loopDoc("dst", "dst[i] = (x[i]-m)*r*w[i] + b[i]"),
		[]string{"dst", "x", "w", "b"}, false, block, []string{"m", "r"}, func(c *code, s scalars) {
			c.store(c.fma(c.mul(c.sub(c.load("x"), s["m"]), s["r"]), c.load("w"), c.load("b")), "dst")
		})
	f.each("normGrad", "(dx, x, w, dy []float32, m, r, along, shift float32)",
		loopDoc("dx", "dx[i] = dy[i]*w[i]*r + (x[i]-m)*along + shift"), []string{"dx", "x", "w", "dy"}, false, block,
		[]string{"m", "r", "along", "shift"}, func(c *code, s scalars) {
			y := c.fma(c.sub(c.load("x"), s["m"]), s["along"], c.copyOf(s["shift"]))
			c.store(c.fma(c.mul(c.load("dy"), c.load("w")), s["r"], y), "dx")
		})
	f.each("colsScale", "(dw, x, dy []float32, m, r float32)", loopDoc("dw", "dw[i] += dy[i] * ((x[i] - m) * r)"),
		[]string{"dw", "x", "dy"}, false, block, []string{"m", "r"}, func(c *code, s scalars) {
			c.store(c.fma(c.mul(c.sub(c.load("x"), s["m"]), s["r"]), c.load("dy"), c.load("dw")), "dw")
		})
}

// others writes the rotation of position embeddings and the optimizer's step.
func others(f *file) {
	for _, back := range []bool{false, true} {
		name, doc := "rope", []string{"dst[i] = x[i]*cos[i] - x[n+i]*sin[i]", "dst[n+i] = x[n+i]*cos[i] + x[i]*sin[i]"}
		if back {
			name, doc = "ropeBack", []string{"dst[i] = x[i]*cos[i] + x[n+i]*sin[i]", "dst[n+i] = x[n+i]*cos[i] - x[i]*sin[i]"}
		}
		c := f.kernel(name, "(dst, x, cos, sin []float32)", loopDoc("cos", doc...)...)
		c.slices("cos", "sin", "dst", "x")
		for _, n := range []string{"dst", "x"} {
			half := c.new()
			c.do("ADD %v<<2, %v, %v", c.count, c.args[n], half)
			c.pointer(n+"Half", half, 4)
		}
		c.loop(1, func() {
			a, b, cos, sin := c.load("x"), c.load("xHalf"), c.load("cos"), c.load("sin")
			low, high := c.mul(a, cos), c.mul(b, cos)
			if back {
				low, high = c.fma(b, sin, low), c.fnma(a, sin, high)
			} else {
				low, high = c.fnma(b, sin, low), c.fma(a, sin, high)
			}
			c.store(low, "dst")
			c.store(high, "dstHalf")
		})
		c.ret()
	}

	c := f.kernel("adamw", "(p, g, m, v []float32, step *float32)", append([]string{"c := (*adamwStep)(unsafe.Pointer(step))"},
		loopDoc("p", "d := g[i] * c.gradScale", "m[i] = c.beta1*m[i] + c.rest1*d", "v[i] = c.beta2*v[i] + c.rest2*(d*d)",
			"p[i] = c.decay*p[i] - c.rate*m[i]/(√v[i]*c.unbias+c.eps)")...)...)
	c.slices("p", "g", "m", "v")
	step := c.arg("step")
	var k []*vec
	for i := range 9 {
		r := c.pin()
		c.ldrS(r.number, step, 4*i)
		c.dupLane(r.number, r.number)
		k = append(k, r)
	}
	gradScale, beta1, rest1, beta2, rest2, decay, rate, unbias, eps := k[0], k[1], k[2], k[3], k[4], k[5], k[6], k[7], k[8]
	c.loop(1, func() {
		d := c.mul(c.load("g"), gradScale)
		m := c.fma(d, rest1, c.mul(c.load("m"), beta1))
		c.store(m, "m")
		v := c.fma(c.mul(d, d), rest2, c.mul(c.load("v"), beta2))
		c.store(v, "v")
		root := c.fma(c.sqrt(v), unbias, c.copyOf(eps))
		c.store(c.sub(c.mul(c.load("p"), decay), c.div(c.mul(m, rate), root)), "p")
	})
	c.ret()

	c = f.kernel("castNarrow", "(dst []uint16, x []float32)", loopDoc("dst[:len(dst)/8*8]",
		"dst[i] = bfloat16 of x[i], rounded to nearest even; NaN becomes quiet")...)
	c.pointer("dst", c.arg("dst"), 2)
	c.pointer("x", c.arg("x"), 4)
	c.count = c.arg("dst.len")
	c.do("SUBS $8, %v", c.count)
	c.do("BLT done")
	c.label("block")
	var half [2]*vec
	for c.j = range 2 {
		x := c.load("x")
		odd := c.andBits(c.shiftDown(x, 16), c.bits(1))
		r := c.addInt(c.addInt(x, c.bits(0x7fff)), odd)
		half[c.j] = c.choose(c.same(x, x), r, c.orBits(x, c.bits(0x400000)))
	}
	c.j = 0
	c.store(c.two(0x4e405800, "uzp2", "8h", half[0], half[1]), "dst")
	c.flush()
	c.do("ADD $16, %v", c.args["dst"])
	c.do("ADD $32, %v", c.args["x"])
	c.do("SUBS $8, %v", c.count)
	c.do("BGE block")
	c.label("done")
	c.ret()
}
