package llm

import (
	"encoding/json"
	"math"
	"math/rand/v2"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/gollava/gollava/nn"
	"github.com/gollava/gollava/tensor"
)

// The departures scale the weights at the start, survive config.json, and leave tied logits as large as they were.
func TestStartScales(t *testing.T) {
	c := Config{ModelType: "qwen3", VocabSize: 200, HiddenSize: 64, IntermediateSize: 80, NumHiddenLayers: 8, NumAttentionHeads: 4, MaxPositionEmbeddings: 32,
		NormEps: 1e-5, HiddenAct: "silu", TieWordEmbeddings: true, RoPE: nn.RoPEConfig{Theta: 1e6}, BOS: 1, EOS: []int{2}, PAD: 0,
		InitStd: 0.05, DampResidual: true, EmbeddingStd: 0.3}
	raw, err := json.Marshal(c)
	require.NoError(t, err)
	var back Config
	require.NoError(t, json.Unmarshal(raw, &back))
	require.Equal(t, []any{0.05, true, 0.3}, []any{back.InitStd, back.DampResidual, back.EmbeddingStd})

	m, err := New(rand.New(rand.NewPCG(1, 1)), back)
	require.NoError(t, err)
	deviation := map[string]float64{}
	for name, p := range nn.Params(m) {
		s := 0.0
		for _, v := range p.Data() {
			s += float64(v) * float64(v)
		}
		deviation[name] = math.Sqrt(s / float64(p.Len()))
	}
	require.InEpsilon(t, 0.3, deviation["model.embed_tokens.weight"], 0.03)
	require.InEpsilon(t, 0.05/0.3, deviation["model.norm.weight"], 1e-4)
	require.InEpsilon(t, 0.05, deviation["model.layers.3.self_attn.q_proj.weight"], 0.05)
	require.InEpsilon(t, 0.05/4, deviation["model.layers.3.self_attn.o_proj.weight"], 0.05)
	require.InEpsilon(t, 0.05/4, deviation["model.layers.3.mlp.down_proj.weight"], 0.05)
	require.EqualValues(t, 1, deviation["model.layers.3.self_attn.q_norm.weight"])

	z := Logits(m, m.Hidden(Input{Embeds: m.Embed(tensor.Ints([]int{3, 4, 5}, 1, 3))})).Data()
	s := 0.0
	for _, v := range z {
		s += float64(v) * float64(v)
	}
	require.Less(t, math.Sqrt(s/float64(len(z))), 1.0) // without the norm's gain 6 times as much
	c.EmbeddingStd = -1
	require.ErrorContains(t, c.Validate(), "must not be negative")
}
