package main

import (
	. "github.com/mmcloughlin/avo/build"
	. "github.com/mmcloughlin/avo/operand"

	"github.com/gollava/gollava/internal/cpu/_asm/simd"
)

// casts writes conversions of a multiple of 16 elements.
func casts(w *simd.Width) {
	half := func(c *code, name string) Mem {
		return Mem{Base: c.args[name], Index: c.at, Scale: 2, Disp: 2 * c.j * c.Floats}
	}

	c := kernel(w, "castWiden", "(dst []float32, x []uint16)", loopDoc("dst[:len(dst)/16*16]", "dst[i] = math.Float32frombits(uint32(x[i]) << 16)")...)
	c.slices("dst", "x")
	c.whole(16, func() {
		v := c.reg()
		VPMOVZXWD(half(c, "x"), v)
		VPSLLD(U8(16), v, v)
		c.store(v, "dst")
	})
	end()

	c = kernel(w, "castNarrow", "(dst []uint16, x []float32)", loopDoc("dst[:len(dst)/16*16]", "dst[i] = bfloat16 of x[i], rounded to nearest even; NaN becomes quiet")...)
	c.slices("dst", "x")
	bias, one := c.reg(), c.reg()
	VMOVUPS(word(0x7fff), bias)
	VMOVUPS(word(1), one)
	quiet := c.reg()
	VMOVUPS(word(0x400000), quiet)
	c.whole(16, func() {
		x := c.load("x")
		odd, r := c.reg(), c.reg()
		VPSRLD(U8(16), x, odd)
		odd = c.and(odd, one)
		VPADDD(bias, x, r)
		VPADDD(odd, r, r)
		q := c.reg()
		VORPS(quiet, x, q)
		r = c.choose(x, unordered, x, q, r)
		VPSRLD(U8(16), r, r)
		if c.Width == simd.AVX512 {
			y := YMM()
			VPMOVDW(r, y)
			VMOVUPS(y, half(c, "dst"))
			return
		}
		h := XMM()
		VEXTRACTI128(U8(1), r, h)
		VPACKUSDW(h, r.AsX(), h)
		VMOVUPS(h, half(c, "dst"))
	})
	end()

	c = kernel(w, "castInt", "(dst []float32, x []int32)", loopDoc("dst", "dst[i] = float32(x[i])")...)
	c.slices("dst", "x")
	c.loop(block, func() {
		x := c.load("x")
		VCVTDQ2PS(x, x)
		c.store(x, "dst")
	})
	end()
}

// whole runs body for each register of whole blocks of floats elements.
func (c *code) whole(floats int, body func()) {
	c.at = GP64()
	XORQ(c.at, c.at)
	SUBQ(Imm(uint64(floats)), c.count)
	JL(LabelRef("done"))
	Label("block")
	for c.j = range floats / c.Floats {
		body()
	}
	ADDQ(Imm(uint64(floats)), c.at)
	SUBQ(Imm(uint64(floats)), c.count)
	JGE(LabelRef("block"))
	Label("done")
}

// dropout writes the mask of counter-based random numbers: SplitMix64 of consecutive states.
func dropout(w *simd.Width) {
	const golden, mix1, mix2 = 0x9e3779b97f4a7c15, 0xbf58476d1ce4e5b9, 0x94d049bb133111eb
	words := w.Floats / 2
	c := kernel(w, "dropout", "(dst, x []float32, limit, scale float32, state uint64)", loopDoc("dst",
		"u := mix(state + i*0x9e3779b97f4a7c15) >> 40 // see backend.Uniform", "dst[i] = x[i] * scale // or 0 if float32(u) < limit")...)
	c.slices("dst", "x")
	limit, scale := c.scalar("limit"), c.scalar("scale")
	quads := func(name string, f func(i int) uint64) Mem {
		m := GLOBL(name+c.Name, RODATA|NOPTR)
		for i := range words {
			DATA(8*i, U64(f(i)))
		}
		return m
	}
	same := func(name string, v uint64) vec {
		r := c.reg()
		VMOVUPS(quads(name, func(int) uint64 { return v }), r)
		return r
	}
	state := []vec{c.reg(), c.reg()}
	a, err := Param("state").Resolve()
	if err != nil {
		panic(err)
	}
	VPBROADCASTQ(a.Addr, state[0])
	steps := quads("steps", func(i int) uint64 { return uint64(i) * golden })
	VPADDQ(steps, state[0], state[0])
	jump := quads("jump", func(int) uint64 { return uint64(words) * golden })
	VPADDQ(jump, state[0], state[1])
	twice := same("twice", uint64(2*words)*golden)
	k1, k2 := same("mixOne", mix1), same("mixTwo", mix2)
	high1, high2 := same("mixOneHigh", mix1>>32), same("mixTwoHigh", mix2>>32)

	// times is x·k modulo 2⁶⁴, where high is k's upper half.
	times := func(x, k, high vec) vec {
		h, l := c.reg(), c.reg()
		VPSRLQ(U8(32), x, h)
		VPMULUDQ(k, h, h)
		VPMULUDQ(high, x, l)
		VPADDQ(l, h, h)
		VPSLLQ(U8(32), h, h)
		VPMULUDQ(k, x, l)
		VPADDQ(h, l, l)
		return l
	}
	fold := func(x vec, n uint8) vec { // x ^ x>>n
		o := c.reg()
		VPSRLQ(U8(n), x, o)
		VXORPS(x, o, o)
		return o
	}
	c.loop(w.Floats, func() {
		var u [2]vec
		for i := range u {
			z := times(fold(state[i], 30), k1, high1)
			z = fold(times(fold(z, 27), k2, high2), 31)
			VPSRLQ(U8(40), z, z)
			u[i] = z
			VPADDQ(twice, state[i], state[i])
		}
		r := c.reg()
		if c.Width == simd.AVX2 {
			VSHUFPS(U8(0x88), u[1], u[0], r)
			VPERMQ(U8(0xd8), r, r)
		} else {
			low, high := YMM(), YMM()
			VPMOVQD(u[0], low)
			VPMOVQD(u[1], high)

			VINSERTF32X8(U8(1), high, low.AsZ(), r)
		}
		VCVTDQ2PS(r, r)
		zero := c.reg()
		VXORPS(zero, zero, zero)
		c.store(c.choose(r, less, limit, zero, c.mul(c.load("x"), scale)), "dst")
	})
	end()
}
