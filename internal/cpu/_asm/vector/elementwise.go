package main

import (
	"fmt"

	. "github.com/mmcloughlin/avo/operand"

	"github.com/gollava/gollava/internal/cpu/_asm/simd"
)

// formulas of the doc comments, by name.
var formulas = map[string]string{
	"Exp": "exp(x[i])", "Log": "log(x[i])", "Sqrt": "√x[i]", "Rsqrt": "1 / √x[i]", "Tanh": "tanh(x[i])", "Sigmoid": "1 / (1 + exp(-x[i]))", "ReLU": "max(x[i], 0)",
	"SiLU": "x[i] / (1 + exp(-x[i]))", "GELU": "x[i] * Φ(x[i])", "GELUTanh": "x[i] / (1 + exp(-2*tanhA*(x[i]+tanhB*x[i]*x[i]*x[i])))",
	"QuickGELU": "x[i] / (1 + exp(-1.702*x[i]))",
}

// loopDoc is a loop over the elements with the given statements.
func loopDoc(over string, statements ...string) []string {
	out := []string{"for i := range " + over + " {"}
	for _, s := range statements {
		out = append(out, "\t"+s)
	}
	return append(out, "}")
}

// elementwise writes functions of one variable and their gradients.
func elementwise(w *simd.Width) {
	for _, f := range functions {
		c := kernel(w, "unary"+f.name, "(dst, x []float32)", loopDoc("dst", "dst[i] = "+formulas[f.name])...)
		c.slices("dst", "x")
		c.holdExp()
		c.hold(1)
		c.loop(w.Floats, func() { c.store(f.f(c, c.load("x")), "dst") })
		end()
	}
	for _, f := range functions {
		c := kernel(w, "grad"+f.name, "(dx, x, y, dy []float32)", loopDoc("dx", fmt.Sprintf("dx[i] = dy[i] * slope(backend.%s, x[i], y[i])", f.name))...)
		c.slices("dx", "x", "y", "dy")
		c.holdExp()
		c.hold(1)
		c.loop(w.Floats, func() { c.store(gradients[f.name](c), "dx") })
		end()
	}
	c := kernel(w, "swiglu", "(dst, gate, up []float32)", loopDoc("dst", "dst[i] = gate[i] / (1 + exp(-gate[i])) * up[i]")...)
	c.slices("dst", "gate", "up")
	c.holdExp()
	c.loop(w.Floats, func() {
		g := c.load("gate")
		c.store(c.mul(c.div(g, c.logistic(g, 1)), c.load("up")), "dst")
	})
	end()
	c = kernel(w, "swigluGrad", "(dGate, dUp, gate, up, dy []float32)", loopDoc("dGate",
		"g, y, s := gate[i], dy[i], sigmoid(gate[i])", "dGate[i] = y * up[i] * (s + g*s*(1-s))", "dUp[i] = y * (g * s)")...)
	c.slices("dGate", "dUp", "gate", "up", "dy")
	c.holdExp()
	c.hold(1)
	c.loop(w.Floats, func() {
		g, y := c.load("gate"), c.load("dy")
		slope, s := c.swish(g, 1)
		u := c.load("up")
		c.store(c.mul(c.mul(y, u), slope), "dGate")
		c.store(c.mul(y, c.mul(g, s)), "dUp")
	})
	end()
}

// arithmetic writes functions of two variables and linear ones.
func arithmetic(w *simd.Width) {
	for _, op := range []struct {
		name, sign string
		f          func(c *code, a vec, b Op) vec
	}{{"Add", "+", (*code).add}, {"Sub", "-", (*code).sub}, {"Mul", "*", (*code).mul}, {"Div", "/", (*code).div}} {
		c := kernel(w, "binary"+op.name, "(dst, a, b []float32)", loopDoc("dst", "dst[i] = a[i] "+op.sign+" b[i]")...)
		c.slices("dst", "a", "b")
		c.loop(block, func() { c.store(op.f(c, c.load("a"), c.load("b")), "dst") })
		end()
		c = kernel(w, "right"+op.name, "(dst, a []float32, b float32)", loopDoc("dst", "dst[i] = a[i] "+op.sign+" b")...)
		c.slices("dst", "a")
		b := c.scalar("b")
		c.loop(block, func() { c.store(op.f(c, c.load("a"), b), "dst") })
		end()
		c = kernel(w, "left"+op.name, "(dst []float32, a float32, b []float32)", loopDoc("dst", "dst[i] = a "+op.sign+" b[i]")...)
		c.slices("dst", "b")
		a := c.scalar("a")
		c.loop(block, func() { c.store(op.f(c, a, c.load("b")), "dst") })
		end()
	}
	c := kernel(w, "affine", "(dst, x []float32, a, b float32)", loopDoc("dst", "dst[i] = a*x[i] + b")...)
	c.slices("dst", "x")
	a, b := c.scalar("a"), c.scalar("b")
	c.loop(block, func() { c.store(c.fma(c.load("x"), a, c.copyOf(b)), "dst") })
	end()
	c = kernel(w, "axpy", "(dst, x []float32, a float32)", loopDoc("dst", "dst[i] += a * x[i]")...)
	c.slices("dst", "x")
	a = c.scalar("a")
	c.loop(block, func() { c.store(c.fma(c.load("x"), a, c.load("dst")), "dst") })
	end()
	c = kernel(w, "axpby", "(dst, x, y []float32, a, b float32)", loopDoc("dst", "dst[i] = a*x[i] + b*y[i]")...)
	c.slices("dst", "x", "y")
	a, b = c.scalar("a"), c.scalar("b")
	c.loop(block, func() { c.store(c.fma(c.load("x"), a, c.mul(c.load("y"), b)), "dst") })
	end()
	c = kernel(w, "shift", "(dst, x []float32, m, l float32)", loopDoc("dst", "dst[i] = (x[i] - m) - l")...)
	c.slices("dst", "x")
	m, l := c.scalar("m"), c.scalar("l")
	c.loop(block, func() { c.store(c.sub(c.sub(c.load("x"), m), l), "dst") })
	end()
}
