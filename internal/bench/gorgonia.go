package main

import (
	"fmt"

	"gorgonia.org/gorgonia"
	dense "gorgonia.org/tensor"

	"github.com/gollava/gollava/tensor/interop"
)

// goRival returns the operations of a rival written in Go. A process serves one of them only: interop.Use cannot be
// undone.
func goRival(name string) (map[string]operation, error) {
	switch name {
	case "gorgonia":
	case "gorgonia+interop":
		interop.Use()
	default:
		return nil, fmt.Errorf("no rival is called %q", name)
	}
	return map[string]operation{"mlp": gorgoniaMLP}, nil
}

// gorgoniaMLP is mlpStep as a graph on Gorgonia's TapeMachine.
func gorgoniaMLP(args map[string]any) func() {
	n := func(key string) int { return int(args[key].(float64)) }
	m, in, hidden, out := n("m"), n("in_"), n("hidden"), n("out")
	g := gorgonia.NewGraph()
	matrix := func(name string, rows, cols int) *gorgonia.Node {
		v := dense.New(dense.WithShape(rows, cols), dense.WithBacking(uniform(rows, cols).Data()))
		return gorgonia.NewMatrix(g, dense.Float32, gorgonia.WithShape(rows, cols), gorgonia.WithName(name),
			gorgonia.WithValue(v))
	}
	x := matrix("x", m, in)
	w1, b1, w2, b2 := matrix("w1", in, hidden), matrix("b1", 1, hidden), matrix("w2", hidden, out), matrix("b2", 1, out)
	layer := func(x, w, b *gorgonia.Node) *gorgonia.Node {
		return must(gorgonia.BroadcastAdd(must(gorgonia.Mul(x, w)), b, nil, []byte{0}))
	}
	h := must(gorgonia.Rectify(layer(x, w1, b1)))
	loss := must(gorgonia.Mean(must(gorgonia.Square(layer(h, w2, b2)))))
	must(gorgonia.Grad(loss, w1, b1, w2, b2))
	machine := gorgonia.NewTapeMachine(g, gorgonia.BindDualValues(w1, b1, w2, b2))
	return func() {
		if err := machine.RunAll(); err != nil {
			panic(err)
		}
		machine.Reset()
	}
}
