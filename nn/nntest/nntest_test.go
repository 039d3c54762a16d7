package nntest

import (
	"math/rand/v2"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/gollava/gollava/nn"
	"github.com/gollava/gollava/tensor"
)

type model struct {
	First  *nn.Linear     `param:"first"`
	Second *nn.Linear     `param:"second"`
	Spare  *tensor.Tensor `param:"spare,optional"`
}

func newModel() *model {
	r := rand.New(rand.NewPCG(1, 2))
	return &model{First: nn.NewLinear(r, 3, 4, true), Second: nn.NewLinear(r, 4, 2, false)}
}

func (m *model) loss() *tensor.Tensor {
	x := tensor.From([]float32{1, 2, 3, -1, 0, 2}, 2, 3)
	return m.Second.Forward(m.First.Forward(x).Tanh()).Mean()
}

func TestCheck(t *testing.T) {
	m := newModel()
	Check(t, m, m.loss)
	m.Second.Weight.SetTrainable(false)
	Check(t, m, m.loss)
	m.Spare = tensor.New(2).Param()
	Check(t, m, m.loss, "spare")
}

func TestCheckFinds(t *testing.T) {
	type twice struct {
		A *nn.Linear `param:"x"`
		B *nn.Linear `param:"x"`
	}
	m := newModel()
	for says, c := range map[string]struct {
		m    any
		loss func() *tensor.Tensor
	}{
		"two parameters are called x.weight": {&twice{newModel().Second, newModel().Second}, m.loss},
		"has no parameters":                  {&struct{ N int }{}, m.loss},
		"spare gets no gradient":             {func() any { m := newModel(); m.Spare = tensor.New(1).Param(); return m }(), m.loss},
		"first.weight: its gradient is zero": {m, func() *tensor.Tensor { return m.loss().Scale(0) }},
		"NaN":                                {m, func() *tensor.Tensor { return m.loss().Scale(-1).Log().Sqrt().Log() }},
		"loss: tensor: MatMulT":              {m, func() *tensor.Tensor { return m.First.Weight.MatMulT(m.Second.Weight.Transpose(1, 0)) }},
	} {
		require.Contains(t, strings.Join(faults(t.TempDir(), c.m, c.loss, nil), "\n"), says)
	}
}
