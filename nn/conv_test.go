package nn_test

import (
	"math/rand/v2"
	"testing"

	"github.com/gollava/gollava/nn"
	"github.com/gollava/gollava/nn/nntest"
	"github.com/gollava/gollava/tensor"
	"github.com/gollava/gollava/tensor/tensortest"
	"github.com/stretchr/testify/require"
)

// stem is one of each layer for pictures, with torch's names.
type stem struct {
	Down *nn.Conv          `param:"down"`
	Norm *nn.GroupNorm     `param:"norm"`
	Up   *nn.ConvTranspose `param:"up"`
	Last *nn.BatchNorm     `param:"last"`
}

func newStem(r *rand.Rand) *stem {
	return &stem{
		Down: nn.NewConv(r, 3, 8, []int{3, 3}, tensor.ConvConfig{Stride: []int{2}, Padding: []int{1}}, true),
		Norm: nn.NewGroupNorm(r, 2, 8, 1e-6),
		Up:   nn.NewConvTranspose(r, 8, 6, []int{2, 2}, tensor.ConvConfig{Stride: []int{2}, Groups: 2}, false),
		Last: nn.NewBatchNorm(r, 6, 1e-5),
	}
}

func (m *stem) Forward(x *tensor.Tensor) *tensor.Tensor {
	return m.Last.Forward(m.Up.Forward(m.Norm.Forward(m.Down.Forward(x)).SiLU()))
}

func TestPictureLayers(t *testing.T) {
	m := newStem(rand.New(rand.NewPCG(1, 2)))
	x := tensor.Randn(rand.New(rand.NewPCG(3, 4)), 1, 2, 3, 6, 10)
	require.Equal(t, []int{2, 6, 6, 10}, m.Forward(x).Shape())
	weights := tensor.Randn(rand.New(rand.NewPCG(5, 6)), 1, 2, 6, 6, 10)
	nntest.Check(t, m, func() *tensor.Tensor { return m.Forward(x).Mul(weights).Mean() })
	shapes := map[string][]int{}
	for name, p := range nn.Params(newStem(nil)) {
		shapes[name] = p.Shape()
		require.True(t, p.IsMeta(), name)
	}
	require.Equal(t, map[string][]int{"down.weight": {8, 3, 3, 3}, "down.bias": {8}, "norm.weight": {8},
		"norm.bias": {8},
		"up.weight": {8, 3, 2, 2}, "last.weight": {6}, "last.bias": {6}, "last.running_mean": {6},
		"last.running_var": {6}}, shapes)

	// A wrong input is reported with the layer that it reached.
	err := nn.Locate(m, tensor.Catch(func() { m.Forward(tensor.New(2, 4, 6, 10)) }))
	require.ErrorContains(t, err, "in down")
}

// TestBatchNorm compares with torch.nn.functional.batch_norm(x, mean, var, w, b, training=False, eps=1e-3).
func TestBatchNorm(t *testing.T) {
	x := tensor.From([]float32{-1, 0.6967294, 0.3934589, 0.0901883, -0.2130823, -0.5163528, -0.8196234, 0.8771061,
		0.5738355,
		0.2705649, -0.03270565, -0.3359762}, 2, 3, 1, 2).Param()
	l := nn.NewBatchNorm(rand.New(rand.NewPCG(1, 2)), 3, 1e-3)
	copy(l.Weight.Data(), []float32{0.5896928, 0.2864222, -0.01684836})
	copy(l.Bias.Data(), []float32{0.1793855, -0.123885, -0.4271556})
	copy(l.RunningMean.Data(), []float32{-0.2309217, -0.5341923, -0.8374628})
	copy(l.RunningVar.Data(), []float32{0.7412289, 1.0445, 0.85223})
	y := l.Forward(x)
	tensortest.Close(t, y.Clone(), tensor.From([]float32{-0.3470285, 0.8143385, 0.135969, 0.0510167, -0.4385443,
		-0.4330127,
		-0.2235654, 0.9378016, 0.1864961, 0.1015439, -0.4418344, -0.4363028}, 2, 3, 1, 2), 1e-6, 1e-6)
	y.Mul(tensor.From([]float32{-0.6927651, -0.9960357, 0.7006937, 0.3974232, 0.09415263, -0.2091179, -0.5123885,
		-0.815659,
		0.8810704, 0.5777998, 0.2745292, -0.02874133}, 2, 3, 1, 2)).Sum().Backward()
	for _, c := range []struct{ got, want *tensor.Tensor }{
		{x.Grad(), tensor.From([]float32{-0.4741797, -0.6817604, 0.1962786, 0.1113263, -0.001717344, 0.00381431,
			-0.3507166,
			-0.5582973, 0.2468058, 0.1618535, -0.005007412, 0.0005242417}, 2, 3, 1, 2)},
		{l.Weight.Grad(), tensor.From([]float32{-1.152966, 2.287911, 0.2145201}, 3)},
		{l.Bias.Grad(), tensor.From([]float32{-3.016848, 2.556987, 0.1308226}, 3)},
	} {
		tensortest.Close(t, c.got, c.want, 2e-6, 2e-6)
	}
	require.Nil(t, l.RunningMean.Grad())
}
