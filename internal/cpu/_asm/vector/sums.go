package main

import (
	"math"

	. "github.com/mmcloughlin/avo/build"
	. "github.com/mmcloughlin/avo/operand"
	"github.com/mmcloughlin/avo/reg"

	"github.com/gollava/gollava/internal/cpu/_asm/simd"
)

// sumDoc is a loop that adds up; the sum is made of 32, of every 32nd element, at any width.
func sumDoc(over, term, zero string) []string {
	return []string{"var s [32]" + zero, "for i := range " + over + " {", "\ts[i%32] += " + term, "}", "return the sum of s"}
}

func addPS(b, a, o Op) { VADDPS(b, a, o) }

// sums writes reductions.
func sums(w *simd.Width) {
	// reduction declares one and adds up term, which is 0 beyond the end.
	reduction := func(name, signature, doc string, names []string, scalars []string, add func(c *code, acc vec, s map[string]vec)) {
		c := kernel(w, name, signature, sumDoc(names[0], doc, "float32")...)
		c.slices(names...)
		s := map[string]vec{}
		for _, n := range scalars {
			s[n] = c.scalar(n)
		}
		acc := c.sums(block)
		c.loop(block, func() { add(c, acc[c.j], s) })
		result(0, c.fold(acc, addPS))
		end()
	}
	reduction("sum", "(x []float32) float32", "x[i]", []string{"x"}, nil, func(c *code, acc vec, _ map[string]vec) { VADDPS(c.load("x"), acc, acc) })
	reduction("dot", "(x, y []float32) float32", "x[i] * y[i]", []string{"x", "y"}, nil, func(c *code, acc vec, _ map[string]vec) {
		c.fma(c.load("x"), c.load("y"), acc)
	})
	reduction("deviation", "(x []float32, m float32) float32", "(x[i] - m) * (x[i] - m)", []string{"x"}, []string{"m"}, func(c *code, acc vec, s map[string]vec) {
		d := c.keep(c.sub(c.load("x"), s["m"]))
		c.fma(d, d, acc)
	})
	reduction("zeros", "(x []float32) float32", "x[i] * 0 // NaN for NaN and Inf", []string{"x"}, nil, func(c *code, acc vec, _ map[string]vec) {
		z := c.reg()
		VXORPS(z, z, z)
		c.fma(c.load("x"), z, acc)
	})
	maximum(w)
	sumSquares(w)

	c := kernel(w, "normSums", "(x, w, dy []float32, m float32) (sum, along float32)", loopDoc("x", "sum += dy[i] * w[i]", "along += dy[i] * w[i] * (x[i] - m)")...)
	c.slices("x", "w", "dy")
	m := c.scalar("m")
	sum, along := c.sums(block), c.sums(block)
	c.loop(block, func() {
		g := c.mul(c.load("dy"), c.load("w"))
		VADDPS(g, sum[c.j], sum[c.j])
		c.fma(g, c.sub(c.load("x"), m), along[c.j])
	})
	result(0, c.fold(sum, addPS))
	result(1, c.fold(along, addPS))
	end()
}

// maximum writes the largest element; NaN wins.
func maximum(w *simd.Width) {
	c := kernel(w, "max", "(x []float32) float32", "m := float32(math.Inf(-1))", "for _, v := range x {", "\tif v > m || v != v {", "\t\tm = v", "\t}", "}", "return m // or NaN, if one was seen")
	c.slices("x")
	low := c.set(math.Inf(-1))
	var top []vec
	for range block / c.Floats {
		top = append(top, c.copyOf(low))
	}
	seen := GP32() // whether there was a NaN
	XORL(seen, seen)
	nan := c.reg()
	VXORPS(nan, nan, nan)
	kept := reg.K7
	if c.Width == simd.AVX512 {
		KXORW(kept, kept, kept)
	}
	c.loop(block, func() {
		x := c.keepElse(c.load("x"), low)
		VMAXPS(x, top[c.j], top[c.j])
		if c.Width == simd.AVX2 {
			o := c.reg()
			VCMPPS(U8(unordered), x, x, o)
			VORPS(o, nan, nan)
			return
		}
		k := K()
		VCMPPS(U8(unordered), x, x, k)
		KORW(k, kept, kept)
	})
	if c.Width == simd.AVX2 {
		VMOVMSKPS(nan, seen)
	} else {
		KMOVW(kept, seen)
	}
	m := c.fold(top, func(b, a, o Op) { VMAXPS(b, a, o) })
	TESTL(seen, seen)
	JZ(LabelRef("number"))
	VMOVSS(num(math.NaN()), m.AsX())
	Label("number")
	result(0, m)
	end()
}

// sumSquares writes the sum of squares in float64.
func sumSquares(w *simd.Width) {
	c := kernel(w, "sumSquares", "(x []float32) float64", sumDoc("x", "float64(x[i]) * float64(x[i])", "float64")...)
	c.slices("x")
	acc := c.sums(2 * block)
	c.loop(block, func() {
		x, low, high := c.load("x"), c.reg(), c.reg()
		if c.Width == simd.AVX2 {
			h := XMM()
			VEXTRACTF128(U8(1), x, h)
			VCVTPS2PD(x.AsX(), low)
			VCVTPS2PD(h, high)
		} else {
			h := YMM()
			VEXTRACTF32X8(U8(1), x, h)
			VCVTPS2PD(x.AsY(), low)
			VCVTPS2PD(h, high)
		}
		VFMADD231PD(low, low, acc[2*c.j])
		VFMADD231PD(high, high, acc[2*c.j+1])
	})
	for n := len(acc) / 2; n > 0; n /= 2 {
		for i := range n {
			VADDPD(acc[n+i], acc[i], acc[i])
		}
	}
	y := acc[0].AsY()
	if c.Width == simd.AVX512 {
		h := YMM()
		VEXTRACTF64X4(U8(1), acc[0], h)
		VADDPD(h, y, y)
	}
	x, h := acc[0].AsX(), XMM()
	VEXTRACTF128(U8(1), y, h)
	VADDPD(h, x, x)
	VPERMILPD(U8(1), x, h)
	VADDPD(h, x, x)
	r, err := ReturnIndex(0).Resolve()
	if err != nil {
		panic(err)
	}
	VMOVSD(x, r.Addr)
	end()
}

// exponentials writes what softmax and cross-entropy are made of.
func exponentials(w *simd.Width) {
	c := kernel(w, "expSub", "(dst, x []float32, m float32) float32", sumDoc("dst", "exp(x[i] - m) // which dst[i] becomes", "float32")...)
	c.slices("dst", "x")
	m := c.scalar("m")
	c.holdExp()
	acc := c.sums(block)
	c.loop(block, func() {
		e := c.exp(c.sub(c.load("x"), m))
		c.store(e, "dst")
		VADDPS(c.keep(e), acc[c.j], acc[c.j])
	})
	result(0, c.fold(acc, addPS))
	end()

	c = kernel(w, "expSum", "(x []float32, m float32) float32", sumDoc("x", "exp(x[i] - m)", "float32")...)
	c.slices("x")
	m = c.scalar("m")
	c.holdExp()
	acc = c.sums(block)
	c.loop(block, func() { VADDPS(c.keep(c.exp(c.sub(c.load("x"), m))), acc[c.j], acc[c.j]) })
	result(0, c.fold(acc, addPS))
	end()

	c = kernel(w, "expScale", "(dst, x []float32, m, scale float32)", loopDoc("dst", "dst[i] = exp(x[i]-m) * scale")...)
	c.slices("dst", "x")
	m, scale := c.scalar("m"), c.scalar("scale")
	c.holdExp()
	c.loop(w.Floats, func() { c.store(c.mul(c.exp(c.sub(c.load("x"), m)), scale), "dst") })
	end()

	c = kernel(w, "softmaxGrad", "(dx, y, dy []float32, s float32)", loopDoc("dx", "dx[i] = y[i] * (dy[i] - s)")...)
	c.slices("dx", "y", "dy")
	s := c.scalar("s")
	c.loop(block, func() { c.store(c.mul(c.sub(c.load("dy"), s), c.load("y")), "dx") })
	end()

	c = kernel(w, "logSoftmaxGrad", "(dx, y, dy []float32, s float32)", loopDoc("dx", "dx[i] = dy[i] - s*exp(y[i])")...)
	c.slices("dx", "y", "dy")
	s = c.scalar("s")
	c.holdExp()
	c.loop(w.Floats, func() { c.store(c.fnma(c.exp(c.load("y")), s, c.load("dy")), "dx") })
	end()
}
