package connector_test

import (
	"context"
	"math/rand/v2"
	"runtime"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/gollava/gollava/connector"
	"github.com/gollava/gollava/llm"
	"github.com/gollava/gollava/nn"
	"github.com/gollava/gollava/tensor/tensortest"
	"github.com/gollava/gollava/train"
)

// After a few steps a training step takes no memory for tensors from Go's heap, the frozen tower's included. (One
// processor: each of several has scratch of its own, which grows when it first takes part.)
func TestTrainingStepIsSteady(t *testing.T) {
	defer runtime.GOMAXPROCS(runtime.GOMAXPROCS(1))
	c := small()
	c.Vision.HiddenSize, c.Vision.IntermediateSize, c.Text.HiddenSize, c.Text.IntermediateSize = 48, 72, 80, 104
	const features = 4 * 4 * 16 * 48 // bytes that the tower makes of the images
	var samples []connector.Sample
	for i := range 4 {
		samples = append(samples, connector.Sample{IDs: []int32{1, -200, 5, 6, 2}, Labels: []int32{-100, -100, 5, 6, 2},
			Images: []connector.Image{{Pixels: picture(i)}}})
	}
	align := []train.Group{{Params: "multi_modal_projector.**", LR: 1e-3}}
	tune := append(align, train.Group{Params: "language_model.**", LR: 1e-3})
	for _, x := range []struct {
		groups    []train.Group
		recompute bool
	}{{align, false}, {tune, false}, {tune, true}} {
		m := newModel(t, c)
		b := splice(t, m, false, samples...)
		made := map[int]uint64{}
		const first, last = 3, 63 // between them more steps than there may be free memory from before
		_, err := train.Run(t.Context(), m, train.Options{}, train.Stage[connector.Batch]{Name: "steady", Steps: last, Recompute: x.recompute, EMA: 0.9, Clip: 1,
			Groups:  x.groups,
			Batches: func(context.Context, int) (connector.Batch, error) { return b, nil },
			After: func(step int) {
				if step == first || step == last {
					made[step] = tensortest.Allocations(features)
				}
			}})
		require.NoError(t, err)
		require.Zero(t, made[last]-made[first], "%v", x)
	}
}

// Nor does a generated token.
func TestGeneratedTokenIsSteady(t *testing.T) {
	defer runtime.GOMAXPROCS(runtime.GOMAXPROCS(1))
	const rows = 8
	for _, family := range []string{"llama", "mpt"} {
		c := small().Text
		c.HiddenSize, c.HeadDim, c.IntermediateSize, c.VocabSize = 256, 128, 384, 300
		if family == "mpt" {
			c.ModelType, c.AlibiBiasMax, c.NumKeyValueHeads, c.TieWordEmbeddings = family, 8, c.NumAttentionHeads, true
		}
		m, err := llm.New(rand.New(rand.NewPCG(1, 2)), c)
		require.NoError(t, err)
		for _, p := range nn.Params(m) {
			p.SetTrainable(false)
		}
		prompts := make([][]int32, rows)
		for i := range prompts {
			prompts[i] = []int32{1, int32(i + 3)}
		}
		var made []uint64 // after each token of the first row
		o := llm.Options{MaxNewTokens: 40, EOS: []int{}, OnToken: func(row int, _ int32) error {
			if row == 0 {
				made = append(made, tensortest.Allocations(4*rows*c.HiddenSize))
			}
			return nil
		}}
		_, err = llm.Generate(t.Context(), m, llm.Prompts{IDs: prompts}, o)
		require.NoError(t, err)
		require.Zero(t, made[39]-made[3], family)
	}
}
