package tensor_test

import (
	"fmt"

	"github.com/gollava/gollava/tensor"
)

// A parameter's gradient: the loss is the mean square of x·wᵀ.
func Example() {
	x := tensor.From([]float64{1, 2, 3, 4}, 2, 2)
	w := tensor.From([]float64{1, -1}, 1, 2).Param()

	y := x.MatMulT(w) // [2, 1]
	loss := y.Mul(y).Mean()
	loss.Backward()

	fmt.Println("loss", loss.Item())
	fmt.Println("gradient", w.Grad())
	// Output:
	// loss 1
	// gradient float32[1 2][-4 -6]
}

func ExampleTensor_Add() {
	row := tensor.From([]float64{10, 20, 30}, 3)
	column := tensor.From([]float64{1, 2}, 2, 1)
	fmt.Println(column.Add(row))
	// Output: float32[2 3][11 21 31 12 22 32]
}

func ExampleTensor_NoGrad() {
	w := tensor.From([]float64{2}, 1).Param()
	fmt.Println(w.Tanh().Recorded(), w.NoGrad().Tanh().Recorded())
	// Output: true false
}

func ExampleAttention() {
	q := tensor.From([]float64{1, 0, 0, 1}, 1, 2, 1, 2) // one row, two positions, one head of size 2
	v := tensor.From([]float64{1, 2, 3, 4}, 1, 2, 1, 2)
	y := tensor.Attention(q, q, v, tensor.AttentionConfig{Causal: true})
	fmt.Println(y.Slice(1, 0, 1)) // the first position sees only itself
	// Output: float32[1 1 1 2][1 2]
}

func ExampleGather() {
	table := tensor.From([]float64{0, 1, 10, 11, 20, 21}, 3, 2)
	fmt.Println(tensor.Gather(table, tensor.Ints([]int{2, 0}, 2)))
	// Output: float32[2 2][20 21 0 1]
}

func ExampleCrossEntropy() {
	logits := tensor.New(2, 4) // four classes, all alike
	labels := tensor.Ints([]int{3, tensor.IgnoreIndex}, 2)
	fmt.Printf("%.4f\n", tensor.CrossEntropy(logits, labels).Item()) // ln 4
	// Output: 1.3863
}

// What is computed from a tensor in a scope is recycled at its end, except what is kept.
func ExampleScope() {
	x := tensor.From([]float64{1, 2}, 2)
	var sum, double *tensor.Tensor
	tensor.Scope(func(s *tensor.Arena) {
		double = x.In(s).Scale(2)
		sum = double.Sum().Keep()
	})
	fmt.Println(sum.Item(), double)
	// Output: 6 float32[2] released
}

func ExampleCatch() {
	err := tensor.Catch(func() { tensor.New(2, 3).MatMulT(tensor.New(4, 5)) })
	fmt.Println(err)
	// Output: tensor: MatMulT: [2 3] · [4 5]ᵀ: inner dimensions 3 and 5 differ
}
