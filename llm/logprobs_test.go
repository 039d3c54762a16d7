package llm_test

import (
	"math/rand/v2"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/gollava/gollava/llm"
	"github.com/gollava/gollava/nn"
	"github.com/gollava/gollava/tensor"
	"github.com/gollava/gollava/tensor/tensortest"
)

// plainLogProbs forms all logits, takes their log-softmax and picks the labels' elements with a mask.
func plainLogProbs(m llm.Model, in llm.Input, labels *tensor.Tensor) *tensor.Tensor {
	B, T := labels.Dims2()
	z := llm.Logits(m, m.Hidden(in)).LogSoftmax() // [B, T, V]
	V := z.Dim(2)
	pick := make([]float32, B*T*V)
	ids := labels.IntData()
	for i, l := range ids {
		if i%T > 0 && l != tensor.IgnoreIndex {
			pick[(i-1)*V+int(l)] = 1
		}
	}
	before := z.Mul(tensor.From(pick, B, T, V)).Sum(2) // [B, T], at the position that predicts
	return tensor.Concat(1, tensor.New(B, 1), before.Slice(1, 0, T-1))
}

// LogProbs and its gradients are those of the plain composition, with padding, ignored labels, a tied head and a head
// that is no Linear.
func TestLogProbs(t *testing.T) {
	ids := tensor.Ints([]int{3, 9, 4, 17, 5, 6, 20, 8, 11, 2, 9, 1, 7, 7, 16, 5, 12, 3, 10, 19, 4}, 3, 7)
	labels := tensor.Ints([]int{3, -100, 4, 17, -100, 6, 20, 8, 11, 2, 9, 1, 7, 7, -100, -100, -100, -100, -100, -100,
		4}, 3, 7)
	dy := tensor.Randn(rand.New(rand.NewPCG(3, 1)), 1, 3, 7)
	for _, family := range families {
		for _, wrapped := range []bool{false, true} {
			m := load(t, family)
			if l, ok := m.(*llm.Llama); ok && wrapped {
				l.LMHead = &nn.Linear{Weight: l.LMHead.(*nn.Linear).Weight,
					Bias: tensor.Randn(rand.New(rand.NewPCG(5, 5)), 1, m.Config().VocabSize).Param()}
			}
			var got [2]*tensor.Tensor
			var grads [2]map[string]*tensor.Tensor
			for i, f := range []func(llm.Model, llm.Input, *tensor.Tensor) *tensor.Tensor{plainLogProbs, llm.LogProbs} {
				in := llm.Input{Embeds: m.Embed(ids), Start: []int32{0, 2, 0}, End: []int32{7, 7, 6}}
				p := f(m, in, labels)
				got[i] = p.Detach().Clone()
				p.BackwardFrom(dy)
				grads[i] = map[string]*tensor.Tensor{}
				for name, p := range nn.Params(m) {
					if p.Grad() != nil {
						grads[i][name] = p.Grad().Clone()
					}
					p.ZeroGrad()
				}
			}
			require.Equal(t, []int{3, 7}, got[1].Shape())
			tensortest.Close(t, got[1], got[0], 1e-5, 1e-5)
			for i, v := range got[1].Data() {
				require.Equal(t, i%7 == 0 || labels.IntData()[i] == tensor.IgnoreIndex, v == 0, "element %d", i)
			}
			require.Equal(t, len(grads[0]), len(grads[1]))
			for name, g := range grads[0] {
				tensortest.Close(t, grads[1][name], g, 1e-4, 1e-4)
			}
			in := llm.Input{Embeds: m.Embed(ids), Start: []int32{0, 2, 0}, End: []int32{7, 7, 6}}
			n := 0
			for i, l := range labels.IntData() {
				if i%7 > 0 && l != tensor.IgnoreIndex {
					n++
				}
			}
			if m.Config().Experts.UseAuxLoss {
				continue // the loss is more than that
			}
			require.InDelta(t, -got[1].Sum().Item()/float32(n), llm.Loss(m, in, labels).Item(), 1e-5, family)
		}
	}
}

// No label at all: zeros, and nothing to differentiate.
func TestLogProbsOfNothing(t *testing.T) {
	m := load(t, "llama")
	ids := tensor.Ints([]int{3, 9, 4, 17}, 2, 2)
	p := llm.LogProbs(m, llm.Input{Embeds: m.Embed(ids)}, tensor.Ints([]int{5, -100, 6, -100}, 2, 2))
	require.Equal(t, make([]float32, 4), p.Data())
	err := tensor.Catch(func() {
		llm.LogProbs(m, llm.Input{Embeds: m.Embed(ids)},
			tensor.Ints([]int{5, 99, 6, 7}, 2, 2))
	})
	require.ErrorContains(t, err, "LogProbs: label 99 of row 0 at position 1")
}

// All logits of 96 positions and 2¹⁸ tokens would take 96 MiB. A chunk of 32 rows takes a third, and its gradient as
// much again.
func TestLogProbsIsChunked(t *testing.T) {
	const V = 1 << 18
	r := rand.New(rand.NewPCG(1, 1))
	m, err := llm.New(r, llm.Config{ModelType: "llama", VocabSize: V, HiddenSize: 2, IntermediateSize: 2,
		NumHiddenLayers: 1, NumAttentionHeads: 1,
		MaxPositionEmbeddings: 128, NormEps: 1e-5, HiddenAct: "silu", RoPE: nn.RoPEConfig{Theta: 1e4},
		TieWordEmbeddings: true})
	require.NoError(t, err)
	ids := make([]int32, 97)
	for i := range ids {
		ids[i] = int32(r.IntN(V))
	}
	labels := tensor.WrapInts(ids, 1, 97)
	for _, trains := range []bool{false, true} {
		for _, p := range nn.Params(m) {
			p.SetTrainable(trains)
		}
		tensor.Scope(func(s *tensor.Arena) {
			p := llm.LogProbs(m, llm.Input{Embeds: m.Embed(labels.In(s))}, labels)
			if require.Equal(t, trains, p.Recorded()); trains {
				p.Sum().Backward()
			}
			require.Less(t, s.Peak(), int64(80<<20), "recorded: %v", trains)
		})
	}
}
