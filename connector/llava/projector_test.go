package llava

import (
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/gollava/gollava/nn"
	"github.com/gollava/gollava/tensor"
	"github.com/gollava/gollava/tensor/tensortest"
)

func TestMergePatches(t *testing.T) {
	x := tensor.New(2, 16, 3)
	for i := range x.Data() {
		x.Data()[i] = float32(i)
	}
	y := mergePatches(x, 2) // [2, 4, 12]
	require.Equal(t, []int{2, 4, 12}, y.Shape())
	at := func(v, row, col, d int) float32 { return float32(((v*4+row)*4+col)*3 + d) }
	for v := range 2 {
		for block := range 4 {
			for k := range 4 {
				for d := range 3 {
					require.Equal(t, at(v, block/2*2+k/2, block%2*2+k%2, d), y.Data()[(v*4+block)*12+k*3+d])
				}
			}
		}
	}
}

func TestGain(t *testing.T) {
	c := small()
	plain := newModel(t, c).Connector.(*Connector).Projector
	c.Gain = 3
	gained := newModel(t, c).Connector.(*Connector).Projector
	first, last := plain.Linears[0].(*nn.Linear), plain.Linears[1].(*nn.Linear)
	require.Equal(t, first.Weight.Data(), gained.Linears[0].(*nn.Linear).Weight.Data())
	tensortest.Close(t, gained.Linears[1].(*nn.Linear).Weight, last.Weight.Scale(3), 1e-6, 0)
	require.Equal(t, last.Bias.Data(), gained.Linears[1].(*nn.Linear).Bias.Data())
}
