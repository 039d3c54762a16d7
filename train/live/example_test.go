package live_test

import (
	"bufio"
	"context"
	"fmt"
	"math/rand/v2"
	"net/http"
	"net/http/httptest"
	"strings"

	"github.com/gollava/gollava/nn"
	"github.com/gollava/gollava/tensor"
	"github.com/gollava/gollava/train"
	"github.com/gollava/gollava/train/live"
)

// mean is a model that learns one number.
type mean struct {
	Layer *nn.Linear `param:"layer"`
}

func (m *mean) Loss(x *tensor.Tensor) *tensor.Tensor {
	d := m.Layer.Forward(x)
	return d.Mul(d).Mean()
}

// The page of a run shows each of its events to whoever looks.
func Example() {
	page := live.New(live.Config{})
	server := httptest.NewServer(page) // a program listens at an address of its own
	defer server.Close()

	m := &mean{nn.NewLinear(rand.New(rand.NewPCG(1, 2)), 1, 1, true)}
	batches, length := train.Slices([]float32{1, 2, 3}, 1, nil, func(s []float32) (*tensor.Tensor, error) {
		return tensor.From(s, len(s), 1), nil
	})
	_, err := train.Run(context.Background(), m, train.Options{Observe: page.Observe},
		train.Stage[*tensor.Tensor]{
			Name: "fit", Batches: batches, Length: length, Steps: 2,
			Groups: []train.Group{{Params: "**", LR: 0.1}},
		})
	if err != nil {
		panic(err)
	}

	r, err := http.Get(server.URL + "/events")
	if err != nil {
		panic(err)
	}
	defer r.Body.Close()
	for lines := bufio.NewScanner(r.Body); lines.Scan(); {
		if strings.Contains(lines.Text(), `"kind":"step"`) && strings.Contains(lines.Text(), `"step":2`) {
			fmt.Println("step 2 is on the page")
			break
		}
	}
	// Output: step 2 is on the page
}
