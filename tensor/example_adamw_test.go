package tensor_test

import (
	"fmt"

	"github.com/gollava/gollava/tensor"
)

// AdamW without train.Run: gradients by Backward, then one step of all parameters.
func ExampleAdamW() {
	w := tensor.From([]float32{0, 0}, 2).Param()
	items := []tensor.AdamWItem{{Param: w, M: tensor.New(2), V: tensor.New(2)}}
	target := tensor.From([]float32{1, -2}, 2)
	for step := 1; step <= 400; step++ {
		d := w.Sub(target)
		d.Mul(d).Sum().Backward()
		tensor.AdamW(tensor.AdamWConfig{LR: 0.02, Beta1: 0.9, Beta2: 0.999, Eps: 1e-8, GradScale: 1, Step: step}, items)
		w.ZeroGrad()
	}
	fmt.Printf("%.2f\n", w.Data())
	// Output: [1.00 -2.00]
}
