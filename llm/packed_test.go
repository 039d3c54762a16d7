package llm_test

import (
	"math/rand/v2"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/gollava/gollava/llm"
	"github.com/gollava/gollava/nn"
	"github.com/gollava/gollava/tensor"
)

// BenchmarkPadding is forward and backward of two blocks of SmolLM2-135M, frozen as under adapters, for 16 sequences of
// 15 to 45 positions, as captions have: without their padding, and with it, since one padded position is asked for.
func BenchmarkPadding(b *testing.B) {
	m, err := llm.New(rand.New(rand.NewPCG(1, 2)), llm.Config{ModelType: "llama", VocabSize: 64, HiddenSize: 576,
		IntermediateSize: 1536, NumHiddenLayers: 2, NumAttentionHeads: 9, NumKeyValueHeads: 3, HeadDim: 64,
		MaxPositionEmbeddings: 512, NormEps: 1e-5, HiddenAct: "silu", RoPE: nn.RoPEConfig{Theta: 1e4}, InitStd: 0.02})
	require.NoError(b, err)
	for _, p := range nn.Params(m) {
		p.SetTrainable(false)
	}
	const B, T = 16, 45
	in := llm.Input{Start: make([]int32, B), End: make([]int32, B), Rows: []int32{2, T + 3}}
	for i := range in.End {
		in.End[i] = int32(T - 2*i)
	}
	x := tensor.Randn(rand.New(rand.NewPCG(3, 4)), 1, B, T, 576).Param()
	run := func(b *testing.B, in llm.Input) {
		for b.Loop() {
			tensor.Scope(func(s *tensor.Arena) {
				in.Embeds = x.In(s)
				m.Hidden(in).Sum().Backward()
			})
			x.ZeroGrad()
		}
	}
	b.Run("without", func(b *testing.B) { run(b, in) })
	in.Rows = []int32{2, B*T - 1}
	b.Run("with", func(b *testing.B) { run(b, in) })
}
