package nn

import "github.com/gollava/gollava/tensor"

// Sequential applies layers one after another, as torch.nn.Sequential. Parameters of layer i are named i.…, an
// activation without parameters counts too: "0.weight", "2.weight". It is safe for concurrent use while nobody changes
// its layers.
type Sequential struct {
	Layers []Layer `param:",inline"`
}

// NewSequential is the chain of layers.
func NewSequential(layers ...Layer) *Sequential { return &Sequential{layers} }

// Forward maps what the first layer takes to what the last one gives; without layers it returns x.
func (s *Sequential) Forward(x *tensor.Tensor) *tensor.Tensor {
	for _, l := range s.Layers {
		x = l.Forward(x)
	}
	return x
}

// Act is an activation as a layer.
type Act struct{ Function tensor.Activation }

// Forward keeps the shape.
func (a *Act) Forward(x *tensor.Tensor) *tensor.Tensor { return x.Activate(a.Function) }
