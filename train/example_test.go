package train_test

import (
	"context"
	"fmt"
	"math/rand/v2"

	"github.com/gollava/gollava/nn"
	"github.com/gollava/gollava/tensor"
	"github.com/gollava/gollava/train"
)

// Line is a model: y = w·x + b.
type Line struct {
	Layer *nn.Linear `param:"layer"`
}

// Points is a batch of it.
type Points struct{ X, Y *tensor.Tensor } // [n, 1]

// In lets a step recycle the memory of what it computes.
func (b Points) In(s *tensor.Arena) Points { return Points{b.X.In(s), b.Y.In(s)} }

func (m *Line) Loss(b Points) *tensor.Tensor {
	d := m.Layer.Forward(b.X).Sub(b.Y)
	return d.Mul(d).Mean()
}

func Example() {
	r := rand.New(rand.NewPCG(1, 2))
	model := &Line{nn.NewLinear(r, 1, 1, true)}
	points := func(_ context.Context, n int) (Points, error) {
		x := tensor.Uniform(rand.New(rand.NewPCG(3, uint64(n))), -1, 1, 16, 1) // a function of n alone
		return Points{x, x.Affine(2, -1)}, nil
	}
	report, err := train.Run(context.Background(), model, train.Options{},
		train.Stage[Points]{Name: "both", Batches: points, Steps: 200, Schedule: train.Cosine(0.03), Groups: []train.Group{{Params: "**", LR: 0.1}}},
		train.Stage[Points]{Name: "bias only", Batches: points, Steps: 10, Groups: []train.Group{{Params: "layer.bias", LR: 0.001}}})
	if err != nil {
		fmt.Println(err)
		return
	}
	fmt.Printf("y = %.2f·x %+.2f after %d and %d steps\n", model.Layer.Weight.Item(), model.Layer.Bias.Item(), report.Stages[0].Steps, report.Stages[1].Steps)
	// Output: y = 2.00·x -1.00 after 200 and 10 steps
}
