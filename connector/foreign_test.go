package connector_test

import (
	"context"
	"math/rand/v2"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/gollava/gollava/connector"
	"github.com/gollava/gollava/connector/llava"
	"github.com/gollava/gollava/data"
	"github.com/gollava/gollava/data/chat"
	"github.com/gollava/gollava/data/imaging"
	"github.com/gollava/gollava/llm"
	"github.com/gollava/gollava/nn"
	"github.com/gollava/gollava/tensor"
	"github.com/gollava/gollava/train"
	"github.com/gollava/gollava/vit"
)

// resampler is a connector of another system, written without a change of package connector: learned queries attend to
// the features of an image, as in Flamingo's perceiver and BLIP-2's Q-Former, so that every image becomes len(queries)
// tokens, whatever the encoder's grid.
type resampler struct {
	Queries *tensor.Tensor `param:"query_tokens"` // [Q, C]
	Key     nn.Layer       `param:"qformer.key"`
	Value   nn.Layer       `param:"qformer.value"`
	Output  nn.Layer       `param:"language_projection"`
}

func newResampler(r *rand.Rand, queries, features, hidden int) *resampler {
	return &resampler{tensor.Randn(r, 1, queries, hidden).Param(), nn.NewLinear(r, features, hidden, true), nn.NewLinear(r, features, hidden, true),
		nn.NewLinear(r, hidden, hidden, true)}
}

func (x *resampler) Layout(imaging.Size) connector.Layout {
	return connector.Layout{Views: 1, Tokens: x.Queries.Dim(0)}
}

func (x *resampler) Forward(features *tensor.Tensor, sizes []imaging.Size) *tensor.Tensor {
	V, P, _ := features.Dims3()
	Q, C := x.Queries.Dims2()
	rows := make([]int32, V*Q)
	for i := range rows {
		rows[i] = int32(i % Q)
	}
	q := tensor.Gather(x.Queries, tensor.WrapInts(rows, V*Q)).Reshape(V, Q, 1, C)
	k := x.Key.Forward(features).Reshape(V, P, 1, C)
	v := x.Value.Forward(features).Reshape(V, P, 1, C)
	y := tensor.Attention(q, k, v, tensor.AttentionConfig{}) // [V, Q, 1, C]
	return x.Output.Forward(y.Reshape(V*Q, C))
}

// TestForeignConnector trains, saves, loads and talks with a model whose connector is not LLaVA's.
func TestForeignConnector(t *testing.T) {
	a := assistant(t, plain)
	c := llava.ConfigOf(a.Model)
	build := func(r *rand.Rand) *connector.VLM {
		v, err := vit.New(r, c.Vision)
		require.NoError(t, err)
		l, err := llm.New(r, c.Text)
		require.NoError(t, err)
		m, err := connector.New(v, newResampler(r, 3, c.Vision.HiddenSize, c.Text.HiddenSize), l,
			connector.Config{Select: vit.Select{Layers: []int{-1}, Class: "cls_patch"}, Image: -1, PAD: -1})
		require.NoError(t, err)
		return m
	}
	m := build(rand.New(rand.NewPCG(5, 5)))
	a.Model = m
	set := data.Memory{about("a", "30x20", "What is this?", "A cat."), about("b", "", "Who?", "Me.")}
	b, err := a.Batches(set, squares{}, connector.BatchOptions{Batch: 2})
	require.NoError(t, err)
	x, err := b.Batch(context.Background(), 0)
	require.NoError(t, err)
	require.Equal(t, 3, count(x.IDs.IntData(), chat.ImageIndex))

	report, err := train.Run(context.Background(), m, train.Options{}, train.Stage[connector.Batch]{Name: "align", Batches: b.Batch, Steps: 20,
		Groups: []train.Group{{Params: "query_tokens", LR: 1e-2}, {Params: "qformer.**", LR: 1e-2}, {Params: "language_projection.**", LR: 1e-2}}})
	require.NoError(t, err)
	loss := report.Stages[0].Loss
	require.Less(t, loss[len(loss)-1], loss[0], "all of the connector's parameters train")

	a.Options.EOS = []int{}
	answer := func() string {
		a.Options.MaxNewTokens = 5
		text, err := a.Reply(context.Background(), []chat.Turn{{From: chat.Human, Value: "<image>\nWhat?"}}, []*imaging.RGB{imaging.New(9, 9)}, nil)
		require.NoError(t, err)
		return text
	}
	want := answer()
	dir := t.TempDir()
	require.NoError(t, nn.Save(m, dir, nn.SaveOptions{}))
	w, err := nn.OpenWeights(dir)
	require.NoError(t, err)
	defer w.Close()
	a.Model = build(nil)
	require.NoError(t, nn.Load(a.Model, w, nn.LoadOptions{}))
	require.Equal(t, want, answer())
	require.ErrorContains(t, tensor.Catch(func() { llava.ConfigOf(m) }), "not LLaVA's")
	_, err = connector.New(m.Vision, m.Connector, m.Language, connector.Config{Select: vit.Select{Layers: []int{9}}})
	require.ErrorContains(t, err, "vision feature layer 9 of a tower of 3 layers")

	// a padding token that the vocabulary does not have fills up no row
	m, err = connector.New(m.Vision, m.Connector, m.Language, connector.Config{
		Select: vit.Select{Layers: []int{-1}, Class: "cls_patch"}, Image: -1, PAD: c.Text.VocabSize})
	require.NoError(t, err)
	x, err = m.Splice([]connector.Sample{{Name: "a", IDs: []int32{1}, Labels: []int32{1}},
		{Name: "b", IDs: []int32{1, 2, 3}, Labels: []int32{1, 2, 3}}}, false)
	require.NoError(t, err)
	require.NoError(t, m.Check(x))
	require.NoError(t, tensor.Catch(func() { m.Loss(x) }))
}
