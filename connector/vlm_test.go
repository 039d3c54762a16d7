package connector_test

import (
	"context"
	"math"
	"math/rand/v2"
	"slices"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/gollava/gollava/connector"
	"github.com/gollava/gollava/connector/llava"
	"github.com/gollava/gollava/data/imaging"
	"github.com/gollava/gollava/llm"
	"github.com/gollava/gollava/nn"
	"github.com/gollava/gollava/tensor"
	"github.com/gollava/gollava/tensor/tensortest"
	"github.com/gollava/gollava/vit"
)

// small is a LLaVA whose sizes are all different: 16 patches of width 12, text of width 20.
func small() llava.Config {
	v := vit.CLIPBase32()
	v.HiddenSize, v.IntermediateSize, v.NumHiddenLayers, v.NumAttentionHeads, v.ImageSize, v.PatchSize = 12, 18, 3, 3, 16, 4
	return llava.Config{Vision: v, Projector: "mlp2x_gelu", Select: vit.Select{Layers: []int{-2}, Class: "patch"}, Image: 28, Aspect: "square", PaddingSide: "right",
		Text: llm.Config{ModelType: "llama", VocabSize: 30, HiddenSize: 20, IntermediateSize: 26, NumHiddenLayers: 2, NumAttentionHeads: 2, NumKeyValueHeads: 1,
			MaxPositionEmbeddings: 128, NormEps: 1e-5, HiddenAct: "silu", RoPE: nn.RoPEConfig{Type: "default", Theta: 10000}, BOS: 1, EOS: []int{2}, PAD: 0}}
}

func newModel(t *testing.T, c llava.Config) *connector.VLM {
	t.Helper()
	m, err := llava.New(rand.New(rand.NewPCG(7, 8)), c)
	require.NoError(t, err)
	return m
}

// picture is one view of noise for [small].
func picture(seed int) imaging.Pixels {
	p := imaging.Pixels{N: 1, H: 16, W: 16, Data: make([]float32, 3*16*16)}
	for i := range p.Data {
		p.Data[i] = float32(math.Sin(float64(seed*1000 + i*i)))
	}
	return p
}

func splice(t *testing.T, m *connector.VLM, left bool, s ...connector.Sample) connector.Batch {
	t.Helper()
	b, err := m.Splice(s, left)
	require.NoError(t, err)
	return b
}

func TestSpliceLengthsAndLabels(t *testing.T) {
	m := newModel(t, small()) // 16 features a picture
	two := connector.Sample{IDs: []int32{1, -200, 5, -200, 6, 2}, Labels: []int32{-100, -100, -100, -100, 6, 2}, Images: []connector.Image{{Pixels: picture(1)}, {Pixels: picture(2)}}}
	none := connector.Sample{IDs: []int32{1, 7, 8, 2}, Labels: []int32{-100, 7, 8, 2}}
	for _, left := range []bool{false, true} {
		b := splice(t, m, left, two, none)
		T := 6 - 2 + 2*16
		require.Equal(t, []int{2, T}, b.IDs.Shape())
		require.Equal(t, []int{2, 0}, b.Pictures)
		require.Equal(t, []int{2, 3, 16, 16}, b.Pixels.Shape())
		row := slices.Concat([]int32{1}, slices.Repeat([]int32{-200}, 16), []int32{5}, slices.Repeat([]int32{-200}, 16), []int32{6, 2})
		require.Equal(t, row, b.IDs.IntData()[:T])
		at := T
		if left {
			at = 2*T - 4
		}
		require.Equal(t, []int32{1, 7, 8, 2}, b.IDs.IntData()[at:at+4])
		require.Equal(t, []int32{-100, 7, 8, 2}, b.Labels.IntData()[at:at+4])
		require.Equal(t, []int32{0, 1, 2, 3}, b.Positions[at:at+4])
		require.Equal(t, []int32{6, 2}, b.Labels.IntData()[T-2:T])
		require.Equal(t, T-2, count(b.Labels.IntData()[:T], -100))
		require.Equal(t, T-4, count(b.Mask[T:], 0))
		require.Equal(t, 5, b.Supervised())
	}
}

func count(s []int32, v int32) int {
	n := 0
	for _, x := range s {
		if x == v {
			n++
		}
	}
	return n
}

// A batch is what its samples are alone, whatever the padding; and cached decoding is full decoding.
func TestBatchEqualsSingle(t *testing.T) {
	m := newModel(t, small())
	samples := []connector.Sample{
		{IDs: []int32{1, -200, 5, -200, 6, 3}, Images: []connector.Image{{Pixels: picture(1)}, {Pixels: picture(2)}}},
		{IDs: []int32{1, 7, 8}},
		{IDs: []int32{1, 9, -200, 10, 11, 12, 13}, Images: []connector.Image{{Pixels: picture(3)}}},
	}
	o := llm.Options{MaxNewTokens: 8, EOS: []int{}}
	all, err := m.Generate(context.Background(), splice(t, m, true, samples...), o)
	require.NoError(t, err)
	o.NoCache = true
	full, err := m.Generate(context.Background(), splice(t, m, true, samples...), o)
	require.NoError(t, err)
	require.Equal(t, full.IDs, all.IDs)
	for _, left := range []bool{false, true} {
		b := splice(t, m, left, samples...)
		h := m.Hidden(b)
		_, T, C := h.Dims3()
		for i, s := range samples {
			one := splice(t, m, false, s)
			want := m.Hidden(one)
			n := want.Dim(1)
			at := 0
			if left {
				at = T - n
			}
			tensortest.Close(t, h.Slice(0, i, i+1).Slice(1, at, at+n).Reshape(n, C), want.Reshape(n, C), 1e-5, 0)
			alone, err := m.Generate(context.Background(), one, llm.Options{MaxNewTokens: 8, EOS: []int{}})
			require.NoError(t, err)
			require.Equal(t, alone.IDs[0], all.IDs[i])
		}
	}
	require.NotEqual(t, all.IDs[0], all.IDs[2])
}

// What the pictures show matters, and their order.
func TestPicturesMatter(t *testing.T) {
	m := newModel(t, small())
	s := func(a, b int) connector.Sample {
		return connector.Sample{IDs: []int32{1, -200, 5, -200, 6}, Images: []connector.Image{{Pixels: picture(a)}, {Pixels: picture(b)}}}
	}
	h := func(x connector.Sample) []float32 { return m.Hidden(splice(t, m, false, x)).Data() }
	require.NotEqual(t, h(s(1, 2)), h(s(2, 1)))
	require.NotEqual(t, h(s(1, 2)), h(s(1, 3)))
	cached := s(1, 2)
	for i, x := range cached.Images {
		cached.Images[i] = connector.Image{Features: features(m, x.Pixels)}
	}
	require.InDeltaSlice(t, h(s(1, 2)), h(cached), 1e-5) // few rows and many are added up in another order
}

func features(m *connector.VLM, p imaging.Pixels) *tensor.Tensor {
	return m.Vision.HiddenStates(tensor.Wrap(p.Data, p.N, 3, 16, 16), 2)[2].Slice(1, 1, 17)
}

func TestSpliceRefuses(t *testing.T) {
	c := small()
	c.MaxLength = 24
	m := newModel(t, c)
	good := connector.Sample{Name: "a", IDs: []int32{1, 2}}
	narrow := picture(1)
	narrow.W = 8
	for _, k := range []struct {
		s    connector.Sample
		want string
	}{
		{connector.Sample{Name: "b", IDs: []int32{1, -200}}, "splice: 0 images for 1 places in the text (sample b)"},
		{connector.Sample{Name: "b", IDs: []int32{1}, Images: []connector.Image{{Pixels: picture(1)}}}, "splice: 1 images for 0 places in the text (sample b)"},
		{connector.Sample{Name: "b", IDs: []int32{1, 30}}, "splice: id 30 is outside the vocabulary of 30 (sample b)"},
		{connector.Sample{Name: "b", IDs: []int32{1, -100}}, "splice: id -100 is outside the vocabulary of 30 (sample b)"},
		{connector.Sample{Name: "b", IDs: []int32{1, 2}, Labels: []int32{1}}, "splice: 1 labels for 2 ids (sample b)"},
		{connector.Sample{Name: "b", IDs: []int32{1, -200}, Images: []connector.Image{{Pixels: narrow}}},
			"splice: image 0: 1 views of 8×16 pixels, 768 numbers; the encoder needs 16×16 of 3 channels (sample b)"},
		{connector.Sample{Name: "b", IDs: []int32{1, -200}, Images: []connector.Image{{Features: tensor.New(1, 16, 13)}}}, "splice: image 0: features [1 16 13]; [views, patches, 12] are needed (sample b)"},
		{connector.Sample{Name: "b", IDs: append(make([]int32, 20), -200), Images: []connector.Image{{Pixels: picture(1)}}}, "splice: 36 positions; MaxLength 24 cuts an image off (sample b)"},
	} {
		_, err := m.Splice([]connector.Sample{good, k.s}, false)
		require.EqualError(t, err, k.want)
	}
	b := splice(t, m, false, connector.Sample{IDs: make([]int32, 30)}) // text is cut
	require.Equal(t, []int{1, 24}, b.IDs.Shape())
}

func TestCheckNamesTheSample(t *testing.T) {
	m := newModel(t, small())
	b := splice(t, m, false, connector.Sample{Name: "x", IDs: []int32{1, -200}, Images: []connector.Image{{Pixels: picture(1)}}}, connector.Sample{Name: "y", IDs: []int32{1, -200}, Images: []connector.Image{{Pixels: picture(2)}}})
	require.NoError(t, m.Check(b))
	ids := slices.Clone(b.IDs.IntData())
	b.IDs = tensor.WrapInts(ids, 2, 17)
	ids[18] = 4 // one place less in the second row
	want := "15 places for image features, but 1 pictures with 16 (sample y)"
	require.EqualError(t, m.Check(b), want)
	require.ErrorContains(t, tensor.Catch(func() { m.Loss(b) }), want)
	_, err := m.Generate(context.Background(), b, llm.Options{MaxNewTokens: 1})
	require.EqualError(t, err, want)
	ids[18], ids[0] = -200, 28 // the config's image id counts as a place
	require.ErrorContains(t, m.Check(b), "17 places for image features, but 1 pictures with 16 (sample x)")
	ids[0] = 1
	b.Pictures, b.Sizes = nil, nil
	b.Pixels = b.Pixels.Slice(0, 0, 1)
	require.ErrorContains(t, m.Check(b), "32 places for image features so far, but 1 pictures with 16 in the whole batch (sample y)")
	b.Pixels = tensor.Concat(0, b.Pixels, b.Pixels, b.Pixels)
	require.ErrorContains(t, m.Check(b), "32 places for image features, but 3 pictures with 48 in the batch of [x y]")
	b.Pixels = nil
	require.ErrorContains(t, m.Check(b), "16 places for image features so far, but 0 pictures with 0 in the whole batch (sample x)")
	ids[5] = 30
	require.ErrorContains(t, m.Check(b), "id 30 is outside the vocabulary of 30 (sample x)")
}

// A frozen tower records nothing: the memory of a step is that of cached features, and it gets no gradients.
func TestFrozenTowerIsFree(t *testing.T) {
	c := small()
	c.Vision.NumHiddenLayers, c.Vision.IntermediateSize = 12, 96
	m := newModel(t, c)
	sample := func() connector.Sample {
		return connector.Sample{IDs: []int32{1, -200, 5, 6}, Labels: []int32{-100, -100, 5, 6}, Images: []connector.Image{{Pixels: picture(1)}}}
	}
	step := func(b connector.Batch) (peak int64) {
		tensor.Scope(func(s *tensor.Arena) {
			m.Loss(b.In(s)).Backward()
			peak = s.Peak()
		})
		for _, p := range nn.Params(m) {
			p.ZeroGrad()
		}
		return peak
	}
	pixels := splice(t, m, false, sample())
	cached := pixels
	cached.Features, cached.Pixels = m.Vision.HiddenStates(pixels.Pixels, 11)[11].Slice(1, 1, 17).Clone(), nil
	training := step(pixels)
	for _, p := range nn.Params(m.Vision) {
		p.SetTrainable(false)
	}
	frozen, without := step(pixels), step(cached)
	oneLayer := int64(4 * 17 * (12*8 + 96*2))
	require.LessOrEqual(t, frozen, without+2*oneLayer, "frozen %d, from a cache %d", frozen, without)
	require.Greater(t, training, frozen+5*oneLayer)
	m.Loss(pixels).Backward()
	for name, p := range nn.Params(m.Vision) {
		require.Nil(t, p.Grad(), name)
	}
	for name, p := range nn.Params(m.Connector) {
		require.NotNil(t, p.Grad(), name)
	}
}
