package main

import (
	"bytes"
	"context"
	"math/rand/v2"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/gollava/gollava/llm"
	"github.com/gollava/gollava/nn"
	"github.com/gollava/gollava/nn/nntest"
	"github.com/gollava/gollava/tensor"
	"github.com/gollava/gollava/tensor/tensortest"
	"github.com/gollava/gollava/train"
)

func rng() *rand.Rand { return rand.New(rand.NewPCG(3, 4)) }

// stirred is a bottleneck whose zeros are gone, so that every part of it matters.
func stirred(c, r int) *Bottleneck {
	b := NewBottleneck(rng(), c, r)
	for _, p := range nn.Params(b.Up) {
		p.CopyFrom(tensor.Randn(rng(), 0.5, p.Shape()...))
	}
	return b
}

// 1. The layer is well formed: names of its own, a finite gradient for every parameter, and a checkpoint that reads back the same.
func TestWellFormed(t *testing.T) {
	b := stirred(6, 3)
	x := tensor.Randn(rng(), 1, 2, 4, 6)
	nntest.Check(t, b, func() *tensor.Tensor { y := b.Forward(x); return y.Mul(y).Mean() })
}

// 2. Its gradients are those of finite differences, for the input and for every parameter.
func TestGradients(t *testing.T) {
	b := stirred(5, 3)
	in := []*tensor.Tensor{tensor.Randn(rng(), 1, 2, 3, 5).Param()}
	for _, p := range nn.Params(b) {
		in = append(in, p)
	}
	tensortest.GradCheck(t, func(in []*tensor.Tensor) *tensor.Tensor { return b.Forward(in[0]) }, in...)
}

// 3. It computes its equation: one position by hand. Another position must not see it.
func TestEquation(t *testing.T) {
	b := &Bottleneck{Norm: nn.NewRMSNorm(rng(), 2, 0), Down: &nn.Linear{Weight: tensor.From([]float32{1, -1}, 1, 2)}, Up: &nn.Linear{Weight: tensor.From([]float32{2, 3}, 2, 1)}}
	y := b.Forward(tensor.From([]float32{1, 7, 5, 5}, 1, 2, 2))
	// (1, 7)/5 = (0.2, 1.4); down −1.2; gelu(−1.2) = −0.138084; (5, 5) normalises to (1, 1), whose difference is 0
	tensortest.Close(t, y, tensor.From([]float32{1 - 2*0.138084, 7 - 3*0.138084, 5, 5}, 1, 2, 2), 1e-5, 0)
}

// 4. Fresh, it changes nothing, to the bit: the model that it is put into computes what it did before.
func TestFreshIsIdentity(t *testing.T) {
	m, err := newCounter(rng())
	require.NoError(t, err)
	ids := tensor.Ints([]int{1, 2, 3, 4, 5, 6}, 2, 3)
	before := m.Hidden(llm.Input{Embeds: m.Embed(ids)}).Clone()
	Adapt(rng(), m.Llama, 4)
	tensortest.Close(t, m.Hidden(llm.Input{Embeds: m.Embed(ids)}), before, 0, 0)
}

// 5. Only it trains, the rest does not move by a bit, and it works behind a cache as well as without.
func TestTrainsAlone(t *testing.T) {
	m, err := newCounter(rng())
	require.NoError(t, err)
	Adapt(rng(), m.Llama, 4)
	was := map[string]string{}
	for name, p := range nn.Params(m) {
		was[name] = string(p.Bytes())
	}
	_, err = train.Run(context.Background(), m, train.Options{}, train.Stage[*tensor.Tensor]{Name: "few", Batches: counting(5), Steps: 3,
		Groups: []train.Group{{Params: "**.bottleneck.**", LR: 1e-2}}})
	require.NoError(t, err)
	moved := 0
	for name, p := range nn.Params(m) {
		if was[name] != string(p.Bytes()) {
			require.Contains(t, name, ".bottleneck.")
			moved++
		}
	}
	require.Equal(t, 2*5, moved, "two bottlenecks of five parameters")

	prompt := llm.Prompts{IDs: [][]int32{{1, 6, 11}, {4}}}
	cached, err := llm.Generate(context.Background(), m, prompt, llm.Options{MaxNewTokens: 6})
	require.NoError(t, err)
	full, err := llm.Generate(context.Background(), m, prompt, llm.Options{MaxNewTokens: 6, NoCache: true})
	require.NoError(t, err)
	require.Equal(t, full.IDs, cached.IDs)
}

func TestRun(t *testing.T) {
	var out bytes.Buffer
	require.NoError(t, run(context.Background(), &out))
	require.True(t, strings.HasSuffix(out.String(), "3, 8, … goes on [13 18 23 4]\n"), out.String())
	require.Contains(t, out.String(), "trained 1168 of 23344 parameters")
}
