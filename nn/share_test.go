package nn_test

import (
	"math/rand/v2"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/gollava/gollava/llm"
	"github.com/gollava/gollava/nn"
	"github.com/gollava/gollava/tensor"
)

// A model that shares another's weights has the same parameters at the same memory, and layers of its own.
func TestShare(t *testing.T) {
	for _, family := range []string{"llama", "mpt", "qwen3"} {
		c := llm.Config{ModelType: family, VocabSize: 40, HiddenSize: 24, IntermediateSize: 32, NumHiddenLayers: 2,
			NumAttentionHeads: 4, NumKeyValueHeads: 4, HeadDim: 6, MaxPositionEmbeddings: 64, NormEps: 1e-5,
			HiddenAct: "silu", RoPE: nn.RoPEConfig{Theta: 1e4}, BOS: 1, EOS: []int{2}, InitStd: 0.2,
			TieWordEmbeddings: true}
		if family == "mpt" {
			c.AlibiBiasMax = 8
		}
		m, err := llm.New(rand.New(rand.NewPCG(1, 2)), c)
		require.NoError(t, err)
		logits := func(m llm.Model) []float32 {
			ids := tensor.Ints([]int{3, 7, 5}, 1, 3)
			return llm.Logits(m, m.Hidden(llm.Input{Embeds: m.Embed(ids).NoGrad()})).Data()
		}
		want := logits(m)
		o := nn.Share(m)
		require.IsType(t, m, o)
		mine, others := names(m), names(o)
		require.Equal(t, len(mine), len(others), "tied weights stay tied")
		for name, p := range mine {
			require.NotSame(t, p, others[name], name)
			require.Same(t, &p.Data()[0], &others[name].Data()[0], name)
			require.Equal(t, p.Trainable(), others[name].Trainable(), name)
			others[name].SetTrainable(false)
			require.True(t, p.Trainable(), name)
		}
		require.Equal(t, want, logits(o))
		replaced := 0
		nn.Map(o, func(_ string, l nn.Layer) nn.Layer {
			if x, ok := l.(*nn.Linear); ok {
				replaced++
				x.Weight.SetStorage(tensor.NewOf(x.Weight.DType(), x.Weight.Shape()...))
				return nn.Layer(&nn.Linear{Weight: x.Weight, Bias: x.Bias})
			}
			return l
		})
		require.Positive(t, replaced)
		require.NotEqual(t, want, logits(o))
		require.Equal(t, want, logits(m), family)
	}
}

func names(m any) map[string]*tensor.Tensor {
	all := map[string]*tensor.Tensor{}
	for name, p := range nn.Params(m) {
		all[name] = p
	}
	return all
}
