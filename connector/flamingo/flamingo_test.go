package flamingo_test

import (
	"encoding/json"
	"fmt"
	"math/rand/v2"
	"os"
	"path/filepath"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/gollava/gollava/connector"
	"github.com/gollava/gollava/connector/flamingo"
	"github.com/gollava/gollava/data/chat"
	"github.com/gollava/gollava/data/imaging"
	"github.com/gollava/gollava/llm"
	"github.com/gollava/gollava/nn"
	"github.com/gollava/gollava/tensor"
	"github.com/gollava/gollava/vit"
)

const language = "testdata/flamingo/lm"

func rng() *rand.Rand { return rand.New(rand.NewPCG(3, 4)) }

func tower() vit.VisionConfig {
	return vit.VisionConfig{ModelType: "clip_vision_model", HiddenSize: 12, IntermediateSize: 20, NumHiddenLayers: 2,
		NumAttentionHeads: 3, NumChannels: 3, ImageSize: 12, PatchSize: 4, HiddenAct: "quick_gelu", LayerNormEps: 1e-5}
}

func open(frames int) flamingo.Config {
	return flamingo.Config{Every: 2, Image: 55, End: 54, Latents: 3, Depth: 2, Heads: 3, HeadDim: 5, Mult: 4,
		Frames: frames}
}

func idefics() flamingo.Config {
	return flamingo.Config{Variant: flamingo.IDEFICS, Every: 1, Image: 57, End: 2, Latents: 3, Depth: 1, Heads: 2,
		HeadDim: 5, AddedWords: 2, VectorGates: true, QKNorms: true, ResamplerQKNorms: true, Vision: tower()}
}

// build is a fresh Flamingo on the language model of testdata, in whose gates is the given number.
func build(t *testing.T, c flamingo.Config, gates float32) *connector.VLM {
	t.Helper()
	l, err := llm.Load(language, nn.LoadOptions{})
	require.NoError(t, err)
	if c.Variant == flamingo.IDEFICS { // whose Llama has no grouped key-value heads
		text := l.Config()
		text.NumKeyValueHeads, text.InitStd = text.NumAttentionHeads, 0.3
		l, err = llm.New(rng(), text)
		require.NoError(t, err)
	}
	v, err := vit.New(rng(), tower())
	require.NoError(t, err)
	m, err := flamingo.Join(rng(), v, l, c)
	require.NoError(t, err)
	for name, p := range nn.Params(m.Connector) {
		if nn.Match("**.attn_gate", name) || nn.Match("**.ff_gate", name) || nn.Match("**.alpha_*", name) {
			p.Fill(gates)
		}
	}
	return m
}

func picture(seed uint64, views int) connector.Image {
	r := rand.New(rand.NewPCG(seed, 1))
	x := connector.Image{Size: imaging.Size{W: 12, H: 12},
		Pixels: imaging.Pixels{N: views, H: 12, W: 12, Data: make([]float32, views*3*12*12)}}
	for i := range x.Pixels.Data {
		x.Pixels.Data[i] = float32(r.NormFloat64())
	}
	return x
}

// samples have two images, one, and none.
func samples(views int) []connector.Sample {
	const mark = chat.ImageIndex
	return []connector.Sample{
		{Name: "two", IDs: []int32{1, 7, mark, 9, 4, mark, 17},
			Images: []connector.Image{picture(1, views), picture(2, views)}},
		{Name: "one", IDs: []int32{1, mark, 6, 20, 8}, Images: []connector.Image{picture(3, views)}},
		{Name: "none", IDs: []int32{1, 5, 11}},
	}
}

func hidden(t *testing.T, m *connector.VLM, s ...connector.Sample) *tensor.Tensor {
	t.Helper()
	b, err := m.Splice(s, false)
	require.NoError(t, err)
	return m.Hidden(b)
}

// With closed gates the model is its language model, bit for bit, and with open ones it is not.
func TestClosedGates(t *testing.T) {
	bare, err := llm.Load(language, nn.LoadOptions{})
	require.NoError(t, err)
	s := samples(1)[0]
	ids := []int32{1, 7, 55, 9, 4, 55, 17}
	want := bare.Hidden(llm.Input{Embeds: bare.Embed(tensor.WrapInts(ids, 1, len(ids)))})
	require.Equal(t, want.Data(), hidden(t, build(t, open(0), 0), s).Data())
	require.NotEqual(t, want.Data(), hidden(t, build(t, open(0), 0.5), s).Data())

	m := build(t, idefics(), 0)
	b, err := m.Splice([]connector.Sample{s}, false)
	require.NoError(t, err)
	want = m.Language.Hidden(llm.Input{Embeds: m.Embed(b)})
	require.Equal(t, want.Data(), m.Hidden(b).Data())
}

// Text sees the last image before it and no other: the first position never, the last but through what the decoder's
// own attention carries on.
func TestLastImage(t *testing.T) {
	for _, c := range []flamingo.Config{open(0), idefics()} {
		m := build(t, c, 0.5)
		s := samples(1)[0]
		C := m.Language.Config().HiddenSize
		was := hidden(t, m, s).Data()
		other := s
		other.Images = []connector.Image{s.Images[0], picture(9, 1)}
		now := hidden(t, m, other).Data()
		require.Equal(t, was[:5*C], now[:5*C], "before the second image")
		require.NotEqual(t, was[5*C:], now[5*C:])
		other.Images = []connector.Image{picture(9, 1), s.Images[1]}
		require.Equal(t, was[:2*C], hidden(t, m, other).Data()[:2*C], "before the first image")

		x := m.Connector.(connector.Attended).Context(tensor.Ints([]int{1, c.Image, 9, 2, 8, c.Image, 9}, 1, 7),
			tensor.New(4, 6), []int{2}) // two tokens an image
		from, to := []int32{0, 0, 0, 0, 0, 2, 2}, []int32{0, 2, 2, 2, 2, 4, 4}
		if c.Variant == flamingo.IDEFICS { // after the end of a text, 2, no image is seen
			from[4] = 2
		}
		require.Equal(t, from, x.From)
		require.Equal(t, to, x.To)
	}
}

// Cached decoding gives the tokens of full decoding, alone and in a batch whose rows differ in images and length.
func TestGenerate(t *testing.T) {
	all := open(0)
	all.AllPrevious = true
	for _, c := range []flamingo.Config{open(0), idefics(), all} {
		m := build(t, c, 1)
		o := llm.Options{MaxNewTokens: 6, EOS: []int{}}
		var alone [][]int32
		for _, s := range samples(1) {
			b, err := m.Splice([]connector.Sample{s}, true)
			require.NoError(t, err)
			for _, o.NoCache = range []bool{false, true} {
				g, err := m.Generate(t.Context(), b, o)
				require.NoError(t, err)
				alone = append(alone, g.IDs[0])
			}
			require.Equal(t, alone[len(alone)-1], alone[len(alone)-2], s.Name)
		}
		if c.AllPrevious { // the mean that text before an image sees is over the images of the batch
			continue
		}
		b, err := m.Splice(samples(1), true)
		require.NoError(t, err)
		o.NoCache = false
		g, err := m.Generate(t.Context(), b, o)
		require.NoError(t, err)
		require.Equal(t, [][]int32{alone[0], alone[2], alone[4]}, g.IDs)
	}
}

// The frames of a video are told apart by their time embeddings.
func TestFrames(t *testing.T) {
	m := build(t, open(2), 0.5)
	x := tensor.Randn(rng(), 1, 4, 9, 12) // two videos of two frames
	y := m.Connector.Forward(x, nil)
	require.Equal(t, []int{2 * 3, 12}, y.Shape())
	swapped := tensor.Concat(0, x.Slice(0, 1, 2), x.Slice(0, 0, 1), x.Slice(0, 2, 4))
	z := m.Connector.Forward(swapped, nil)
	require.NotEqual(t, y.Data()[:3*12], z.Data()[:3*12])
	require.Equal(t, y.Data()[3*12:], z.Data()[3*12:])
	require.Equal(t, 7*16, hidden(t, m, samples(2)[0]).Len())
	_, err := m.Splice(samples(1), false)
	require.ErrorContains(t, err, "1 views instead of 2")
}

// What is saved is loaded again, of OpenFlamingo without the frozen parts.
func TestSaveLoad(t *testing.T) {
	dir := t.TempDir()
	parts := map[string]string{"lm": filepath.Join(dir, "lm"), "tower": filepath.Join(dir, "tower")}
	require.NoError(t, os.CopyFS(parts["lm"], os.DirFS(language)))
	for name, c := range map[string]flamingo.Config{"open": open(2), "idefics": idefics()} {
		c.Language, c.Tower = "../lm", "../tower"
		m := build(t, c, 0.5)
		require.NoError(t, vit.Save(parts["tower"], m.Vision, nn.SaveOptions{}))
		at := filepath.Join(dir, name)
		require.NoError(t, flamingo.Save(at, m, flamingo.SaveOptions{}))
		again, err := flamingo.Load(at, flamingo.LoadOptions{})
		require.NoError(t, err)
		want := map[string][]byte{}
		for name, p := range nn.Params(m) {
			want[name] = p.Bytes()
		}
		n := 0
		for name, p := range nn.Params(again) {
			require.Equal(t, want[name], p.Bytes(), name)
			n++
		}
		require.Len(t, want, n)
		s := samples(max(c.Frames, 1))[0]
		require.Equal(t, hidden(t, m, s).Data(), hidden(t, again, s).Data())
		w, err := nn.OpenWeights(at)
		require.NoError(t, err)
		require.Equal(t, name == "idefics", w.Has("model.layers.0.mlp.up_proj.weight"))
		require.False(t, w.Has("language_model.model.embed_tokens.weight"))
		require.NoError(t, w.Close())
	}
}

// What does not fit is an error that names it.
func TestRefuses(t *testing.T) {
	m := build(t, open(0), 0)
	s := samples(1)
	s[0].Images = s[0].Images[:1]
	_, err := m.Splice(s, false)
	require.ErrorContains(t, err, "1 images for 2 places in the text (sample two)")
	b, err := m.Splice(samples(1), false)
	require.NoError(t, err)
	b.IDs.IntData()[1] = 55 // another mark
	require.ErrorContains(t, m.Check(b), "3 places for image features, but 2 pictures")

	write := func(fields string) string {
		dir := t.TempDir()
		require.NoError(t, os.WriteFile(filepath.Join(dir, "config.json"), []byte(fields), 0o644))
		require.NoError(t, os.CopyFS(filepath.Join(dir, "lm"), os.DirFS(language)))
		return dir
	}
	for _, c := range [][2]string{
		{`{"model_type": "idefics2"}`, `model_type "idefics2" is not supported (idefics, and OpenFlamingo's`},
		{`{"model_type": "idefics", "alpha_type": "double"}`, `alpha_type "double" is not supported`},
		{`{"model_type": "idefics"}`, "additional_vocab_size 0: <image> is none of the added words"},
		{`{"num_latents": 4}`, "language_model is missing"},
		{`{"language_model": "lm", "cross_attn_every_n_layers": 1}`,
			"the id of <image>, -1, is outside the vocabulary"},
		{`{"language_model": "lm", "media_token_id": 5}`, "cross_attn_every_n_layers 4 is out of range (1 to 2)"},
		{`{"language_model": "nowhere", "media_token_id": 5}`, "nowhere"},
		{`{"language_model": "lm", "media_token_id": "five"}`, "media_token_id is text, where a whole number belongs"},
		{`{"model_type": "idefics", "additional_vocab_size": 2, "cross_layer_interval": 5}`,
			"num_hidden_layers 32 is no multiple of cross_layer_interval 5"},
	} {
		_, err := flamingo.Load(write(c[0]), flamingo.LoadOptions{})
		require.ErrorContains(t, err, c[1], c[0])
	}
	raw, err := json.Marshal(map[string]any{"language_model": "lm", "media_token_id": 5,
		"cross_attn_every_n_layers": 1})
	require.NoError(t, err)
	dir := write(string(raw))
	require.NoError(t, nn.Save(struct {
		A *tensor.Tensor `param:"perceiver.media_time_embs"`
	}{tensor.New(3, 1, 16)}, dir, nn.SaveOptions{}))
	_, err = flamingo.Load(dir, flamingo.LoadOptions{})
	require.ErrorContains(t, err, "unexpected  perceiver.media_time_embs")
}

func ExampleDocumentLabels() {
	c := flamingo.Config{Image: 55, End: 54}
	fmt.Println(flamingo.DocumentLabels([]int32{1, 8, 55, 3, 4, 54, 9, 55, 5}, c))
	// Output: [-100 -100 -100 3 4 54 -100 -100 5]
}
