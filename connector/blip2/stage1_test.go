package blip2_test

import (
	"maps"
	"math/rand/v2"
	"slices"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/gollava/gollava/connector/blip2"
	"github.com/gollava/gollava/nn"
	"github.com/gollava/gollava/nn/nntest"
	"github.com/gollava/gollava/tensor"
	"github.com/gollava/gollava/tensor/tensortest"
	"github.com/gollava/gollava/vit"
)

func rng() *rand.Rand { return rand.New(rand.NewPCG(7, 8)) }

// small is a config whose sizes are all different.
func small() blip2.Config {
	c := blip2.Config{NumQueryTokens: 3, ProjectionDim: 7, Image: -1, QFormer: blip2.BertBase()}
	c.Vision = vit.VisionConfig{ModelType: "blip_2_vision_model", HiddenSize: 10, IntermediateSize: 11,
		NumHiddenLayers: 2, NumAttentionHeads: 2, NumChannels: 3, ImageSize: 8, PatchSize: 4, HiddenAct: "gelu",
		LayerNormEps: 1e-3}
	q := &c.QFormer
	q.VocabSize, q.HiddenSize, q.NumHiddenLayers, q.NumAttentionHeads, q.IntermediateSize = 19, 12, 2, 3, 14
	q.MaxPositionEmbeddings, q.InitializerRange = 9, 0.3
	return c
}

func newStage1(t *testing.T) *blip2.Stage1 {
	v, err := vit.New(rng(), small().Vision)
	require.NoError(t, err)
	m, err := blip2.NewStage1(rng(), v, small())
	require.NoError(t, err)
	return m
}

func pairs() blip2.Pairs {
	r := rng()
	return blip2.Pairs{Pixels: tensor.Randn(r, 1, 3, 3, 8, 8), Seed: 1, Lengths: []int32{5, 3, 4},
		IDs: tensor.Ints([]int{1, 9, 4, 7, 2, 1, 8, 2, 0, 0, 1, 5, 6, 2, 0}, 3, 5)}
}

func TestStage1IsWellFormed(t *testing.T) {
	m, b := newStage1(t), pairs()
	// biases of keys cancel in the softmax, and no position stands behind the longest text
	nntest.Check(t, m, func() *tensor.Tensor { return m.Loss(b) }, "**.key.bias")
}

// What a caption says later changes neither what its earlier tokens know nor, here, what the queries see.
func TestCaptionsAreCausal(t *testing.T) {
	m, b := newStage1(t), pairs()
	was := m.Terms(b)
	b.IDs.IntData()[3] = 11 // token 3 of the first text
	now := m.Terms(b)
	H := was.States.Dim(2)
	require.Equal(t, was.States.Data()[:3*H], now.States.Data()[:3*H])
	require.NotEqual(t, was.States.Data()[3*H:4*H], now.States.Data()[3*H:4*H])
	// the similarity of image and text changes for this text alone
	require.NotEqual(t, was.Similarity.Data()[0], now.Similarity.Data()[0])
	require.Equal(t, was.Similarity.Data()[1:3], now.Similarity.Data()[1:3])
	seen, _ := m.QFormer.Forward(blip2.Input{Queries: m.Queries, Image: m.Image(b).Slice(0, 0, 1)})
	both, _ := m.QFormer.Forward(blip2.Input{Queries: m.Queries, Image: m.Image(b).Slice(0, 0, 1), Causal: true,
		Text: m.Embeddings.Lookup(tensor.WrapInts(b.IDs.IntData()[:5], 1, 5))})
	tensortest.Close(t, both, seen, 1e-6, 1e-6)
}

// Matching asks all queries alike: their order does not count.
func TestMatchingPermutes(t *testing.T) {
	m, b := newStage1(t), pairs()
	was := m.MatchLogits(m.Image(b), b.IDs, b.Lengths)
	H := m.Queries.Dim(2)
	q := append([]float32(nil), m.Queries.Data()...)
	copy(m.Queries.Data(), q[H:])
	copy(m.Queries.Data()[2*H:], q[:H])
	tensortest.Close(t, m.MatchLogits(m.Image(b), b.IDs, b.Lengths), was, 1e-5, 1e-5)
}

// Negatives are a function of the seed and never a pair's own.
func TestNegatives(t *testing.T) {
	m, b := newStage1(t), pairs()
	a, again := m.Terms(b), m.Terms(b)
	require.Equal(t, a.Match.Data(), again.Match.Data())
	differ := false
	for seed := range uint64(20) {
		b.Seed = seed
		differ = differ || !slices.Equal(m.Terms(b).Match.Data(), a.Match.Data())
	}
	require.True(t, differ)
	for i, row := range a.ImageOdds {
		require.Zero(t, row[i])
		sum := 0.0
		for _, p := range row {
			sum += p
		}
		require.InDelta(t, 1, sum, 1e-6)
	}
	require.ErrorContains(t, tensor.Catch(func() {
		m.Loss(blip2.Pairs{Pixels: b.Pixels.Slice(0, 0, 1), IDs: tensor.WrapInts(b.IDs.IntData()[:5], 1, 5)})
	}), "two pairs at least")
}

// What is saved is loaded again, by transformers' names, and stage 2 starts from it.
func TestStage1Files(t *testing.T) {
	m, dir := newStage1(t), t.TempDir()
	m.CopyQueries()
	require.NoError(t, blip2.SaveStage1(dir, m, blip2.SaveOptions{}))
	c, err := blip2.ReadRetrievalConfig(dir)
	require.NoError(t, err)
	require.Equal(t, m.Config().QFormer, c.QFormer)
	again, err := blip2.LoadStage1(c, dir, blip2.LoadOptions{})
	require.NoError(t, err)
	have := maps.Collect(nn.Params(again))
	n := 0
	for name, p := range nn.Params(m) {
		require.Equal(t, p.Data(), have[name].Data(), name)
		n++
	}
	require.Len(t, have, n)
	l := have["qformer.encoder.layer.1.intermediate_query.dense.weight"]
	require.Equal(t, have["qformer.encoder.layer.1.intermediate.dense.weight"].Data(), l.Data())
	require.Equal(t, pairLoss(m), pairLoss(again))

	_, err = blip2.LoadRetrieval(dir, blip2.LoadOptions{})
	require.NoError(t, err)
	_, err = blip2.Load(dir, blip2.LoadOptions{})
	require.Error(t, err) // it has no language model
}

func pairLoss(m *blip2.Stage1) float32 { return m.Loss(pairs()).Item() }
