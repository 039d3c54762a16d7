package main

import (
	. "github.com/mmcloughlin/avo/build"
	"github.com/mmcloughlin/avo/reg"

	. "github.com/mmcloughlin/avo/operand"

	"github.com/gollava/gollava/internal/cpu/_asm/simd"
)

// norms writes what RMSNorm and LayerNorm are made of.
func norms(w *simd.Width) {
	for _, bias := range []bool{false, true} {
		name, signature, doc := "scaled", "(dst, x, w []float32, m, r float32)", "dst[i] = (x[i] - m) * r * w[i]"
		if bias {
			name, signature, doc = "biased", "(dst, x, w, b []float32, m, r float32)", "dst[i] = (x[i]-m)*r*w[i] + b[i]"
		}
		c := kernel(w, name, signature, loopDoc("dst", doc)...)
		c.slices("dst", "x", "w")
		if bias {
			c.args["b"] = Load(Param("b").Base(), GP64()).(reg.GPVirtual)
		}
		m, r := c.scalar("m"), c.scalar("r")
		c.loop(block, func() {
			v := c.mul(c.sub(c.load("x"), m), r)
			if bias {
				v = c.fma(v, c.load("w"), c.load("b"))
			} else {
				v = c.mul(v, c.load("w"))
			}
			c.store(v, "dst")
		})
		end()
	}

	c := kernel(w, "normGrad", "(dx, x, w, dy []float32, m, r, along, shift float32)", loopDoc("dx", "dx[i] = dy[i]*w[i]*r + (x[i]-m)*along + shift")...)
	c.slices("dx", "x", "w", "dy")
	m, r, along, shift := c.scalar("m"), c.scalar("r"), c.scalar("along"), c.scalar("shift")
	c.loop(block, func() {
		v := c.fma(c.sub(c.load("x"), m), along, c.copyOf(shift))
		c.store(c.fma(c.mul(c.load("dy"), c.load("w")), r, v), "dx")
	})
	end()

	c = kernel(w, "colsScale", "(dw, x, dy []float32, m, r float32)", loopDoc("dw", "dw[i] += dy[i] * ((x[i] - m) * r)")...)
	c.slices("dw", "x", "dy")
	m, r = c.scalar("m"), c.scalar("r")
	c.loop(block, func() { c.store(c.fma(c.mul(c.sub(c.load("x"), m), r), c.load("dy"), c.load("dw")), "dw") })
	end()

	c = kernel(w, "colsBoth", "(dw, db, x, dy []float32, m, r float32)", loopDoc("dw", "dw[i] += dy[i] * ((x[i] - m) * r)", "db[i] += dy[i]")...)
	c.slices("dw", "db", "x", "dy")
	m, r = c.scalar("m"), c.scalar("r")
	c.loop(block, func() {
		dy := c.load("dy")
		c.store(c.fma(c.mul(c.sub(c.load("x"), m), r), dy, c.load("dw")), "dw")
		c.store(c.add(dy, c.load("db")), "db")
	})
	end()
}

// others writes the rotation of position embeddings and the optimizer's step.
func others(w *simd.Width) {
	for _, back := range []bool{false, true} {
		name, doc := "rope", []string{"dst[i] = x[i]*cos[i] - x[n+i]*sin[i]", "dst[n+i] = x[n+i]*cos[i] + x[i]*sin[i]"}
		if back {
			name, doc = "ropeBack", []string{"dst[i] = x[i]*cos[i] + x[n+i]*sin[i]", "dst[n+i] = x[n+i]*cos[i] - x[i]*sin[i]"}
		}
		c := kernel(w, name, "(dst, x, cos, sin []float32)", loopDoc("cos", doc...)...)
		c.slices("cos", "sin", "dst", "x")
		for _, n := range []string{"dst", "x"} {
			half := GP64()
			LEAQ(Mem{Base: c.args[n], Index: c.count, Scale: 4}, half)
			c.args[n+"Half"] = half
		}
		c.loop(w.Floats, func() {
			a, b, cos, sin := c.load("x"), c.load("xHalf"), c.load("cos"), c.load("sin")
			as, bs := c.mul(a, sin), c.mul(b, sin)
			if back {
				VFMADD231PS(a, cos, bs)
				VFMSUB231PS(b, cos, as)
			} else {
				VFMSUB231PS(a, cos, bs)
				VFMADD231PS(b, cos, as)
			}
			c.store(bs, "dst")
			c.store(as, "dstHalf")
		})
		end()
	}

	c := kernel(w, "adamw", "(p, g, m, v []float32, c *float32)", append([]string{"c := (*adamwStep)(unsafe.Pointer(c))"}, loopDoc("p", "d := g[i] * c.gradScale",
		"m[i] = c.beta1*m[i] + c.rest1*d", "v[i] = c.beta2*v[i] + c.rest2*(d*d)", "p[i] = c.decay*p[i] - c.rate*m[i]/(√v[i]*c.unbias+c.eps)")...)...)
	c.slices("p", "g", "m", "v")
	step := Load(Param("c"), GP64())
	var k []vec
	for i := range 9 {
		r := c.reg()
		VBROADCASTSS(Mem{Base: step.(reg.GPVirtual), Disp: 4 * i}, r)
		k = append(k, r)
	}
	gradScale, beta1, rest1, beta2, rest2, decay, rate, unbias, eps := k[0], k[1], k[2], k[3], k[4], k[5], k[6], k[7], k[8]
	c.loop(w.Floats, func() {
		d := c.mul(c.load("g"), gradScale)
		m := c.fma(d, rest1, c.mul(c.load("m"), beta1))
		c.store(m, "m")
		v := c.fma(c.mul(d, d), rest2, c.mul(c.load("v"), beta2))
		c.store(v, "v")
		root := c.fma(c.sqrt(v), unbias, c.copyOf(eps))
		c.store(c.sub(c.mul(c.load("p"), decay), c.div(c.mul(m, rate), root)), "p")
	})
	end()
}
