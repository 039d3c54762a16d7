package interop_test

import (
	"fmt"

	"gonum.org/v1/gonum/blas"
	"gonum.org/v1/gonum/blas/blas32"
	"gonum.org/v1/gonum/blas/gonum"
	"gorgonia.org/gorgonia"
	dense "gorgonia.org/tensor"

	"github.com/gollava/gollava/tensor"
	"github.com/gollava/gollava/tensor/interop"
)

// After Use, blas32 multiplies on this library's kernels.
func ExampleUse() {
	interop.Use()
	defer blas32.Use(gonum.Implementation{})

	a := blas32.General{Rows: 2, Cols: 2, Stride: 2, Data: []float32{1, 2, 3, 4}}
	c := blas32.General{Rows: 2, Cols: 2, Stride: 2, Data: make([]float32, 4)}
	blas32.Gemm(blas.NoTrans, blas.Trans, 1, a, a, 0, c)
	fmt.Println(c.Data)
	// Output: [5 11 11 25]
}

func ExampleFromDense() {
	d := dense.New(dense.WithShape(2, 2), dense.WithBacking([]float32{1, 2, 3, 4}))
	x := interop.FromDense(d) // shares d's memory
	fmt.Println(interop.ToDense(x.MatMulT(x)).Data())
	// Output: [5 11 11 25]
}

func ExampleRMSNorm() {
	g := gorgonia.NewGraph()
	x := gorgonia.NewMatrix(g, dense.Float32, gorgonia.WithShape(1, 2), gorgonia.WithName("x"))
	w := gorgonia.NewVector(g, dense.Float32, gorgonia.WithShape(2), gorgonia.WithName("w"))
	y := gorgonia.Must(interop.RMSNorm(x, w, 0))

	m := gorgonia.NewTapeMachine(g)
	defer m.Close()
	must(gorgonia.Let(x, interop.ToDense(tensor.From([]int{1, 7}, 1, 2))))
	must(gorgonia.Let(w, interop.ToDense(tensor.From([]int{5, 10}, 2))))
	must(m.RunAll())
	fmt.Println(y.Value().Data())
	// Output: [1 14]
}

func must(err error) {
	if err != nil {
		panic(err)
	}
}
