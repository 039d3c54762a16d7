// Command xor trains the smallest network that a straight line cannot replace: two inputs, eight hidden units, one
// answer.
//
//	go run ./examples/xor
package main

import (
	"fmt"
	"io"
	"math/rand/v2"
	"os"

	"github.com/gollava/gollava/nn"
	"github.com/gollava/gollava/tensor"
)

// Net answers with the logit of "exactly one input is 1".
type Net struct {
	Hidden nn.Layer `param:"hidden"` // 2 → 8
	Out    nn.Layer `param:"out"`    // 8 → 1
}

// Forward maps [N, 2] to [N, 1].
func (n *Net) Forward(x *tensor.Tensor) *tensor.Tensor {
	return n.Out.Forward(nn.Activated(n.Hidden, x, tensor.Tanh))
}

func main() { run(os.Stdout) }

// run trains on the four cases, prints to w, and returns the probabilities.
func run(w io.Writer) []float32 {
	rng := rand.New(rand.NewPCG(1, 2))
	net := &Net{Hidden: nn.NewLinear(rng, 2, 8, true), Out: nn.NewLinear(rng, 8, 1, true)}

	x := tensor.From([]int{0, 0, 0, 1, 1, 0, 1, 1}, 4, 2)
	sign := tensor.From([]int{-1, 1, 1, -1}, 4, 1) // +1 where the answer is 1

	for step := range 501 {
		tensor.Scope(func(s *tensor.Arena) {
			p := net.Forward(x.In(s)).Mul(sign).Sigmoid() // [4, 1], the probability of the right answer
			loss := p.Log().Mean().Neg()
			loss.Backward()
			if step%100 == 0 {
				fmt.Fprintf(w, "step %3d  loss %.4f\n", step, loss.Item())
			}
			for _, t := range nn.Params(net) { // plain gradient descent, rate 1
				t.CopyFrom(t.Detach().In(s).Sub(t.Grad()))
				t.ZeroGrad()
			}
		})
	}

	y := net.Forward(x.NoGrad()).Sigmoid() // [4, 1]
	for i, p := range y.Data() {
		fmt.Fprintf(w, "%v xor %v = %.3f\n", x.Data()[2*i], x.Data()[2*i+1], p)
	}
	return y.Data()
}
