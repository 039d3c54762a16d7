// Command attention generates the kernels between the matrix products of an attention.
package main

import (
	"math"

	. "github.com/mmcloughlin/avo/build"
	. "github.com/mmcloughlin/avo/operand"
	"github.com/mmcloughlin/avo/reg"

	"github.com/gollava/gollava/internal/cpu/_asm/simd"
)

func main() {
	simd.Header()
	for _, w := range simd.Widths {
		softmaxTile(w)
		scoreTile(w)
		scaleRows(w)
		dotRows(w)
		sumRows(w)
	}
	Generate()
}

// constants of e^x: 64 bytes for each.
var table = map[string]Mem{}

func constant(name string, bits uint32) Mem {
	m, ok := table[name]
	if !ok {
		m = GLOBL("attention_"+name, RODATA|NOPTR)
		for i := range 16 {
			DATA(4*i, U32(bits))
		}
		table[name] = m
	}
	return m
}

func float(name string, v float32) Mem { return constant(name, math.Float32bits(v)) }

// exp replaces t by e^t, with 0 below the smallest normal number and NaN for NaN. It spoils a, b and c.
func exp(w *simd.Width, t, a, b, c reg.VecPhysical) {
	high := float("high", 88.37)
	VMOVUPS(high, a)
	VMINPS(t, a, a) // NaN stays
	VMOVUPS(float("log2e", math.Log2E), b)
	VFMADD213PS(float("magic", 3<<22), a, b) // magic + n
	VSUBPS(float("magic", 3<<22), b, c)      // n = round(t·log₂e)
	VFNMADD231PS(float("ln2high", 0x1.62ep-1), c, a)
	VFNMADD231PS(float("ln2low", math.Ln2-0x1.62ep-1), c, a) // r = t − n·ln 2
	VMOVUPS(float("c6", 1.9875691500e-4), c)
	VFMADD213PS(float("c5", 1.3981999507e-3), a, c)
	VFMADD213PS(float("c4", 8.3334519073e-3), a, c)
	VFMADD213PS(float("c3", 4.1665795894e-2), a, c)
	VFMADD213PS(float("c2", 1.6666665459e-1), a, c)
	VFMADD213PS(float("c1", 5.0000001201e-1), a, c)
	VFMADD213PS(float("one", 1), a, c)
	VFMADD213PS(float("one", 1), a, c) // e^r: Cephes' polynomial in Horner's form
	VPSLLD(U8(23), b, b)
	VPADDD(b, c, c) // ·2ⁿ
	if w == simd.AVX2 {
		VCMPPS(U8(5), float("low", -87.33), t, a) // not less than: true for NaN
		VANDPS(a, c, t)
		return
	}
	VCMPPS(U8(5), float("low", -87.33), t, reg.K1)
	VMOVAPS_Z(c, reg.K1, t)
}

// finite replaces the lowest element of x by 0 if it is −Inf; it spoils t.
func finite(x, t reg.VecPhysical) {
	VCMPSS(U8(0), float("minusInf", float32(math.Inf(-1))), x.AsX(), t.AsX())
	VANDNPS(x.AsX(), t.AsX(), x.AsX())
}

// spread copies the lowest element of x to all of y.
func spread(w *simd.Width, x, y reg.VecPhysical) { VBROADCASTSS(x.AsX(), y) }

// across combines all elements of x into its lowest one; it spoils t.
func across(w *simd.Width, x, t reg.VecPhysical, op func(...Op)) {
	if w == simd.AVX512 {
		VEXTRACTF64X4(U8(1), x.AsZ(), t.AsY())
		op(t.AsY(), x.AsY(), x.AsY())
	}
	VEXTRACTF128(U8(1), x.AsY(), t.AsX())
	op(t.AsX(), x.AsX(), x.AsX())
	VPERMILPS(U8(0x4e), x.AsX(), t.AsX())
	op(t.AsX(), x.AsX(), x.AsX())
	VPERMILPS(U8(0xb1), x.AsX(), t.AsX())
	op(t.AsX(), x.AsX(), x.AsX())
}

// softmaxTile writes the online softmax of a tile.
func softmaxTile(w *simd.Width) {
	name := "softmaxTile" + w.Name
	TEXT(name, NOSPLIT, "func(rows, n int, x *float32, xRow int, scale float32, top, sum, fade *float32)")
	Doc(name+" turns products into probabilities relative to the largest score so far; n is a multiple of 16, and −Inf hides an element:",
		"",
		"\tfor i := range rows {",
		"\t\thigh := max(top[i], scale·max(x[i, :n]))",
		"\t\tshift := high, or 0 if that is −Inf",
		"\t\tfade[i], top[i] = exp(top[i]−shift), high",
		"\t\tx[i, :n] = exp(scale·x[i, :n]−shift), the product rounded",
		"\t\tsum[i] = sum[i]·fade[i] + Σ x[i, :n]",
		"\t}")
	Pragma("noescape")
	rows, n, x, xRow := simd.Arg("rows"), simd.Arg("n"), simd.Arg("x"), simd.Arg("xRow")
	top, sum, fade := simd.Arg("top"), simd.Arg("sum"), simd.Arg("fade")
	SHLQ(U8(2), xRow)
	SHLQ(U8(2), n)
	r := w.R
	scale, shift, total, t, a, b, c := r[0], r[1], r[2], r[3], r[4], r[5], r[6]
	arg, err := Param("scale").Resolve()
	if err != nil {
		panic(err)
	}
	VBROADCASTSS(arg.Addr, scale)
	at, i := GP64(), GP64()

	Label("row")
	VBROADCASTSS(float("minusInf", float32(math.Inf(-1))), t)
	VMOVAPS(t, a)
	MOVQ(x, at)
	MOVQ(n, i)
	Label("max")
	VMAXPS(simd.At(at, 0), t, t)
	if w == simd.AVX2 {
		VMAXPS(simd.At(at, 32), a, a)
	}
	ADDQ(Imm(64), at)
	SUBQ(Imm(64), i)
	JG(LabelRef("max"))
	VMAXPS(a, t, t)
	across(w, t, a, VMAXPSop)
	VMULSS(scale.AsX(), t.AsX(), t.AsX())
	VMOVSS(simd.At(top, 0), b.AsX())
	VMAXSS(t.AsX(), b.AsX(), t.AsX())
	VMOVSS(t.AsX(), simd.At(top, 0))
	finite(t, a)
	spread(w, t, shift)
	VSUBSS(t.AsX(), b.AsX(), t.AsX())
	exp(w, t, a, b, c)
	VMOVSS(t.AsX(), simd.At(fade, 0))
	VMULSS(simd.At(sum, 0), t.AsX(), total.AsX())
	VXORPS(b.AsX(), b.AsX(), b.AsX())
	VMOVSS(total.AsX(), b.AsX(), total.AsX())
	MOVQ(x, at)
	MOVQ(n, i)
	Label("exp")
	VMULPS(simd.At(at, 0), scale, t) // rounded as the maximum is: a fused product would leave its rounding error, above 1 for large scores
	VSUBPS(shift, t, t)
	exp(w, t, a, b, c)
	VMOVUPS(t, simd.At(at, 0))
	VADDPS(t, total, total)
	ADDQ(Imm(uint64(w.Bytes())), at)
	SUBQ(Imm(uint64(w.Bytes())), i)
	JG(LabelRef("exp"))
	across(w, total, a, VADDPSop)
	VMOVSS(total.AsX(), simd.At(sum, 0))
	ADDQ(xRow, x)
	for _, p := range []reg.GPVirtual{top, sum, fade} {
		ADDQ(Imm(4), p)
	}
	DECQ(rows)
	JNZ(LabelRef("row"))
	VZEROUPPER()
	RET()
}

func VMAXPSop(o ...Op) { VMAXPS(o...) }

func VADDPSop(o ...Op) { VADDPS(o...) }

// scoreTile writes the gradient of a softmax whose log-sum-exp is known.
func scoreTile(w *simd.Width) {
	name := "scoreTile" + w.Name
	TEXT(name, NOSPLIT, "func(rows, n int, p, ds *float32, row int, scale, out float32, lse, delta *float32)")
	Doc(name+" turns products p into probabilities and the gradients ds of these into those of the products; n is a multiple of 16, and −Inf",
		"hides an element:",
		"",
		"\tfor i := range rows {",
		"\t\tshift := lse[i], or 0 if that is −Inf",
		"\t\tp[i, :n] = exp(min(scale·p[i, :n]−shift, 0)), the product rounded",
		"\t\tds[i, :n] = p[i, :n]·(ds[i, :n]−delta[i])·out",
		"\t}")
	Pragma("noescape")
	rows, n, p, ds, row := simd.Arg("rows"), simd.Arg("n"), simd.Arg("p"), simd.Arg("ds"), simd.Arg("row")
	lse, delta := simd.Arg("lse"), simd.Arg("delta")
	SHLQ(U8(2), row)
	SHLQ(U8(2), n)
	r := w.R
	scale, shift, less, out, t, a, b, c, zero := r[0], r[1], r[2], r[3], r[4], r[5], r[6], r[7], r[8]
	VXORPS(zero.AsX(), zero.AsX(), zero.AsX())
	for _, s := range []struct {
		name string
		to   reg.VecPhysical
	}{{"scale", scale}, {"out", out}} {
		arg, err := Param(s.name).Resolve()
		if err != nil {
			panic(err)
		}
		VBROADCASTSS(arg.Addr, s.to)
	}
	i := GP64()
	Label("row")
	VMOVSS(simd.At(lse, 0), t.AsX())
	finite(t, a)
	spread(w, t, shift)
	VBROADCASTSS(simd.At(delta, 0), less)
	XORQ(i, i)
	Label("loop")
	at := func(base reg.Register) Mem { return Mem{Base: base, Index: i, Scale: 1} }
	VMULPS(at(p), scale, t)
	VSUBPS(shift, t, t)
	VMINPS(t, zero, t) // NaN stays
	exp(w, t, a, b, c)
	VMOVUPS(t, at(p))
	VMOVUPS(at(ds), a)
	VSUBPS(less, a, a)
	VMULPS(out, t, t)
	VMULPS(t, a, a)
	VMOVUPS(a, at(ds))
	ADDQ(Imm(uint64(w.Bytes())), i)
	CMPQ(i, n)
	JL(LabelRef("loop"))
	ADDQ(row, p)
	ADDQ(row, ds)
	ADDQ(Imm(4), lse)
	ADDQ(Imm(4), delta)
	DECQ(rows)
	JNZ(LabelRef("row"))
	VZEROUPPER()
	RET()
}

// scaleRows writes the multiplication of rows by numbers of their own.
func scaleRows(w *simd.Width) {
	name := "scaleRows" + w.Name
	TEXT(name, NOSPLIT, "func(rows, n int, dst *float32, dRow int, src *float32, sRow int, by *float32)")
	Doc(name + " sets dst[i, :n] = src[i, :n]·by[i]; dst may be src, and a row of that case is skipped if by[i] is 1.")
	Pragma("noescape")
	rows, n, dst, dRow := simd.Arg("rows"), simd.Arg("n"), simd.Arg("dst"), simd.Arg("dRow")
	src, sRow, by := simd.Arg("src"), simd.Arg("sRow"), simd.Arg("by")
	SHLQ(U8(2), dRow)
	SHLQ(U8(2), sRow)
	r := w.R
	rest, bytes, i := GP64(), GP64(), GP64()
	MOVQ(n, rest)
	ANDQ(Imm(uint64(w.Floats-1)), rest)
	MOVQ(n, bytes)
	SUBQ(rest, bytes)
	SHLQ(U8(2), bytes)
	load, store := w.Mask(rest, w.Floats, []reg.VecPhysical{r[3]})
	one := GP32()
	Label("row")
	MOVL(simd.At(by, 0), one)
	CMPL(one, U32(0x3f800000))
	JNE(LabelRef("scale"))
	CMPQ(dst, src)
	JEQ(LabelRef("next"))
	Label("scale")
	VBROADCASTSS(simd.At(by, 0), r[0])
	XORQ(i, i)
	TESTQ(bytes, bytes)
	JZ(LabelRef("tail"))
	Label("loop")
	VMULPS(Mem{Base: src, Index: i, Scale: 1}, r[0], r[1])
	VMOVUPS(r[1], Mem{Base: dst, Index: i, Scale: 1})
	ADDQ(Imm(uint64(w.Bytes())), i)
	CMPQ(i, bytes)
	JL(LabelRef("loop"))
	Label("tail")
	TESTQ(rest, rest)
	JZ(LabelRef("next"))
	load(0, Mem{Base: src, Index: i, Scale: 1}, r[1])
	VMULPS(r[0], r[1], r[1])
	store(0, r[1], Mem{Base: dst, Index: i, Scale: 1})
	Label("next")
	ADDQ(dRow, dst)
	ADDQ(sRow, src)
	ADDQ(Imm(4), by)
	DECQ(rows)
	JNZ(LabelRef("row"))
	VZEROUPPER()
	RET()
}

// dotRows writes the inner products of rows with rows.
func dotRows(w *simd.Width) {
	name := "dotRows" + w.Name
	TEXT(name, NOSPLIT, "func(rows, n int, x *float32, xRow int, y *float32, yRow int, dst *float32)")
	Doc(name + " sets dst[i] = Σ x[i, :n]·y[i, :n].")
	Pragma("noescape")
	rows, n, x, xRow := simd.Arg("rows"), simd.Arg("n"), simd.Arg("x"), simd.Arg("xRow")
	y, yRow, dst := simd.Arg("y"), simd.Arg("yRow"), simd.Arg("dst")
	SHLQ(U8(2), xRow)
	SHLQ(U8(2), yRow)
	ahead := GP64() // a few rows: those of a cache lie apart, so that the processor does not foresee them
	LEAQ(Mem{Base: y, Index: yRow, Scale: 8}, ahead)
	r := w.R
	rest, bytes, i := GP64(), GP64(), GP64()
	MOVQ(n, rest)
	ANDQ(Imm(uint64(w.Floats-1)), rest)
	MOVQ(n, bytes)
	SUBQ(rest, bytes)
	SHLQ(U8(2), bytes)
	load, _ := w.Mask(rest, w.Floats, []reg.VecPhysical{r[3]})
	Label("row")
	w.Zero(0)
	XORQ(i, i)
	TESTQ(bytes, bytes)
	JZ(LabelRef("tail"))
	Label("loop")
	PREFETCHT0(Mem{Base: ahead, Index: i, Scale: 1})
	VMOVUPS(Mem{Base: x, Index: i, Scale: 1}, r[1])
	VFMADD231PS(Mem{Base: y, Index: i, Scale: 1}, r[1], r[0])
	ADDQ(Imm(uint64(w.Bytes())), i)
	CMPQ(i, bytes)
	JL(LabelRef("loop"))
	Label("tail")
	TESTQ(rest, rest)
	JZ(LabelRef("sum"))
	load(0, Mem{Base: x, Index: i, Scale: 1}, r[1])
	load(0, Mem{Base: y, Index: i, Scale: 1}, r[2])
	VFMADD231PS(r[2], r[1], r[0])
	Label("sum")
	across(w, r[0], r[1], VADDPSop)
	VMOVSS(r[0].AsX(), simd.At(dst, 0))
	ADDQ(xRow, x)
	ADDQ(yRow, y)
	ADDQ(yRow, ahead)
	ADDQ(Imm(4), dst)
	DECQ(rows)
	JNZ(LabelRef("row"))
	VZEROUPPER()
	RET()
}

// sumRows writes the weighted sum of rows, which are read whole: they may come from memory.
func sumRows(w *simd.Width) {
	const most = 8 // registers of sums
	name := "sumRows" + w.Name
	TEXT(name, NOSPLIT, "func(rows, n int, x *float32, xRow int, by, dst *float32)")
	Doc(name + " sets dst[:n] = Σ by[i]·x[i, :n].")
	Pragma("noescape")
	n, x, xRow, dst := simd.Arg("n"), simd.Arg("x"), simd.Arg("xRow"), simd.Arg("dst")
	SHLQ(U8(2), xRow)
	r := w.R
	by, at, i := GP64(), GP64(), GP64()
	start := func() {
		Load(Param("rows"), i)
		Load(Param("by"), by)
		MOVQ(x, at)
	}
	pass := func(label string, regs int, load func(from Mem, to reg.VecPhysical), store func(from reg.VecPhysical, to Mem)) {
		start()
		for j := range regs {
			w.Zero(j)
		}
		Label(label)
		VBROADCASTSS(simd.At(by, 0), r[most])
		for j := 0; j < regs*w.Bytes(); j += 64 {
			PREFETCHT0(Mem{Base: at, Index: xRow, Scale: 8, Disp: j})
		}
		for j := range regs {
			if load == nil {
				VFMADD231PS(simd.At(at, j*w.Bytes()), r[most], r[j])
				continue
			}
			load(simd.At(at, 0), r[most+1])
			VFMADD231PS(r[most+1], r[most], r[j])
		}
		ADDQ(Imm(4), by)
		ADDQ(xRow, at)
		DECQ(i)
		JNZ(LabelRef(label))
		for j := range regs {
			if store == nil {
				VMOVUPS(r[j], simd.At(dst, j*w.Bytes()))
			} else {
				store(r[j], simd.At(dst, 0))
			}
		}
	}
	for _, regs := range []int{most, 4, 1} {
		label := []string{1: "one", 4: "four", 8: "eight"}[regs]
		Label(label)
		CMPQ(n, U32(regs*w.Floats))
		JL(LabelRef(label + "End"))
		pass(label+"Loop", regs, nil, nil)
		ADDQ(U32(regs*w.Bytes()), x)
		ADDQ(U32(regs*w.Bytes()), dst)
		SUBQ(U32(regs*w.Floats), n)
		JMP(LabelRef(label))
		Label(label + "End")
	}
	TESTQ(n, n)
	JZ(LabelRef("end"))
	load, store := w.Mask(n, w.Floats, []reg.VecPhysical{r[most+2]})
	pass("tailLoop", 1, func(from Mem, to reg.VecPhysical) { load(0, from, to) }, func(from reg.VecPhysical, to Mem) { store(0, from, to) })
	Label("end")
	VZEROUPPER()
	RET()
}
