package git_test

import (
	"context"
	"encoding/json"
	"math/rand/v2"
	"os"
	"path/filepath"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/gollava/gollava/connector"
	"github.com/gollava/gollava/connector/git"
	"github.com/gollava/gollava/data/chat"
	"github.com/gollava/gollava/data/imaging"
	"github.com/gollava/gollava/llm"
	"github.com/gollava/gollava/nn"
	"github.com/gollava/gollava/tensor"
	"github.com/gollava/gollava/train"
	"github.com/gollava/gollava/vit"
)

func small(frames int) git.Config {
	return git.Config{VocabSize: 41, HiddenSize: 18, IntermediateSize: 26, NumHiddenLayers: 2, NumAttentionHeads: 3,
		MaxPositions: 20, Frames: frames, NormEps: 1e-12, HiddenAct: "gelu", BOS: 1, EOS: []int{2}, PAD: 0,
		Vision: vit.VisionConfig{ModelType: "clip_vision_model", HiddenSize: 12, IntermediateSize: 20,
			NumHiddenLayers: 2, NumAttentionHeads: 3, NumChannels: 3, ImageSize: 12, PatchSize: 4,
			HiddenAct: "quick_gelu", LayerNormEps: 1e-5}}
}

// build has weights far from the start, so that every part shows.
func build(t *testing.T, c git.Config) *connector.VLM {
	t.Helper()
	r := rand.New(rand.NewPCG(3, 4))
	m, err := git.New(r, c)
	require.NoError(t, err)
	for _, p := range nn.Params(m) {
		for i := range p.Data() {
			p.Data()[i] += float32(0.2 * r.NormFloat64())
		}
	}
	return m
}

func sample(name string, seed uint64, frames int, ids ...int32) connector.Sample {
	r := rand.New(rand.NewPCG(seed, 1))
	x := imaging.Pixels{N: max(frames, 1), H: 12, W: 12, Data: make([]float32, max(frames, 1)*3*12*12)}
	for i := range x.Data {
		x.Data[i] = float32(r.NormFloat64())
	}
	s := connector.Sample{Name: name, IDs: append([]int32{chat.ImageIndex}, ids...),
		Images: []connector.Image{{Size: imaging.Size{W: 12, H: 12}, Pixels: x}}}
	for i, id := range s.IDs {
		if s.Labels = append(s.Labels, id); i < 2 {
			s.Labels[i] = tensor.IgnoreIndex
		}
	}
	return s
}

func splice(t *testing.T, m *connector.VLM, left bool, s ...connector.Sample) connector.Batch {
	t.Helper()
	b, err := m.Splice(s, left)
	require.NoError(t, err)
	return b
}

// joined is a Llama that reads images as GIT does.
func joined(t *testing.T, frames int) *connector.VLM {
	t.Helper()
	r := rand.New(rand.NewPCG(5, 4))
	v, err := vit.NewCLIPVision(r, small(0).Vision)
	require.NoError(t, err)
	l, err := llm.New(r, llm.Config{ModelType: "llama", VocabSize: 41, HiddenSize: 18, IntermediateSize: 26,
		NumHiddenLayers: 2, NumAttentionHeads: 3, MaxPositionEmbeddings: 64, NormEps: 1e-5, HiddenAct: "silu", BOS: 1,
		EOS: []int{2}, RoPE: nn.RoPEConfig{Type: "default", Theta: 1e4}, InitStd: 0.3})
	require.NoError(t, err)
	m, err := git.Join(r, v, l, git.Config{Frames: frames, InitStd: 0.3})
	require.NoError(t, err)
	require.Equal(t, frames, git.ConfigOf(m).Frames)
	require.ErrorContains(t, git.Save(t.TempDir(), m, git.SaveOptions{}), "the language model is a *llm.Llama")
	return m
}

// The image sees itself and no text; text sees the image and the text before it. So it is with another decoder.
func TestMask(t *testing.T) {
	testMask(t, build(t, small(0)))
	testMask(t, joined(t, 0))
}

func testMask(t *testing.T, m *connector.VLM) {
	t.Helper()
	C, N := 18, 10
	hidden := func(s connector.Sample) []float32 { return m.Hidden(splice(t, m, false, s)).Data() }
	was := hidden(sample("a", 1, 0, 1, 7, 9, 30))
	now := hidden(sample("a", 1, 0, 1, 7, 8, 30))
	require.Equal(t, was[:(N+2)*C], now[:(N+2)*C], "before the word that changed")
	require.NotEqual(t, was[(N+2)*C:(N+3)*C], now[(N+2)*C:(N+3)*C])
	require.NotEqual(t, was[(N+3)*C:], now[(N+3)*C:], "after it")
	other := sample("a", 1, 0, 1, 7, 9, 30)
	other.Images[0].Pixels.Data[3*12*12-1] += 1 // of the last patch
	now = hidden(other)
	require.NotEqual(t, was[:C], now[:C], "the first of the image sees its last")
}

// Cached decoding gives the tokens of full decoding, alone and in a batch of several lengths.
func TestGenerate(t *testing.T) {
	for i, m := range []*connector.VLM{build(t, small(0)), build(t, small(3)), joined(t, 0), joined(t, 3)} {
		frames := i % 2 * 3
		all := []connector.Sample{sample("a", 1, frames, 1), sample("b", 2, frames, 1, 9, 4),
			sample("c", 3, frames, 1, 8)}
		o := llm.Options{MaxNewTokens: 5, EOS: []int{}}
		var want [][]int32
		for _, s := range all {
			b := splice(t, m, true, s)
			o.NoCache = true
			full, err := m.Generate(t.Context(), b, o)
			require.NoError(t, err)
			o.NoCache = false
			cached, err := m.Generate(t.Context(), b, o)
			require.NoError(t, err)
			require.Equal(t, full.IDs, cached.IDs)
			want = append(want, full.IDs...)
		}
		got, err := m.Generate(t.Context(), splice(t, m, true, all...), o)
		require.NoError(t, err)
		require.Equal(t, want, got.IDs)
		swapped := all[1]
		if i == 1 { // time embeddings, which start at 0, tell frames apart
			x, n := swapped.Images[0].Pixels.Data, 3*12*12
			was := m.Hidden(splice(t, m, false, swapped))
			for i := range n {
				x[i], x[n+i] = x[n+i], x[i]
			}
			require.NotEqual(t, was.Data()[len(was.Data())-18:],
				m.Hidden(splice(t, m, false, swapped)).Data()[was.Len()-18:])
		}
	}
}

// Every parameter trains, by either loss, and both fall.
func TestTrain(t *testing.T) {
	for _, smooth := range []bool{false, true} {
		m := build(t, small(2))
		b := splice(t, m, false, sample("a", 1, 2, 1, 7, 9, 2), sample("b", 2, 2, 1, 30, 2))
		was := map[string][]float32{}
		for name, p := range nn.Params(m) {
			was[name] = append([]float32{}, p.Data()...)
		}
		stage := train.Stage[connector.Batch]{Name: "all", Steps: 25, Groups: []train.Group{{Params: "**", LR: 5e-3}},
			Batches: func(context.Context, int) (connector.Batch, error) { return b, nil }}
		var model train.Model[connector.Batch] = m
		if smooth {
			model = git.Smooth{VLM: m}
		}
		report, err := train.Run(t.Context(), model, train.Options{}, stage)
		require.NoError(t, err)
		loss := report.Stages[0].Loss
		require.Less(t, loss[len(loss)-1], 0.3*loss[0])
		for name, p := range nn.Params(m) {
			require.NotEqual(t, was[name], p.Data(), name)
		}
	}
}

// What is saved is loaded again, under transformers' names.
func TestSaveLoad(t *testing.T) {
	tied := small(0)
	tied.TieWordEmbeddings = true
	for _, c := range []git.Config{small(0), small(2), tied} {
		m, dir := build(t, c), t.TempDir()
		require.NoError(t, git.Save(dir, m, git.SaveOptions{}))
		again, err := git.Load(dir, git.LoadOptions{})
		require.NoError(t, err)
		s := sample("a", 1, c.Frames, 1, 7, 9)
		require.Equal(t, m.Hidden(splice(t, m, false, s)).Data(), again.Hidden(splice(t, again, false, s)).Data())
		w, err := nn.OpenWeights(dir)
		require.NoError(t, err)
		require.True(t, w.Has("git.image_encoder.vision_model.pre_layrnorm.weight"))
		require.True(t, w.Has("git.visual_projection.visual_projection.1.bias"))
		require.NoError(t, w.Close())
	}
}

// What does not fit is an error that names it.
func TestRefuses(t *testing.T) {
	m := build(t, small(0))
	for _, c := range []struct {
		s    connector.Sample
		want string
	}{
		{connector.Sample{Name: "x", IDs: []int32{1, 5}}, "0 images for 1 samples"},
		{connector.Sample{Name: "x", IDs: []int32{1, chat.ImageIndex, 5}, Images: sample("", 1, 0).Images},
			"no image before the text, which this model needs (sample x)"},
	} {
		b := splice(t, m, false, c.s)
		_, err := m.Generate(t.Context(), b, llm.Options{MaxNewTokens: 1})
		require.ErrorContains(t, err, c.want)
	}
	two := sample("two", 1, 0, 1)
	two.Labels, two.IDs, two.Images = nil, append(two.IDs, chat.ImageIndex), append(two.Images, two.Images...)
	b := splice(t, m, false, two, connector.Sample{Name: "none", IDs: []int32{1}})
	require.ErrorContains(t, m.Check(b), "an image after text: this model takes images before all text (sample two)")

	raw, err := os.ReadFile("testdata/git-video/config.json")
	require.NoError(t, err)
	for field, c := range map[string][2]any{
		"model_type":               {"blip", `model_type "blip" is not supported`},
		"position_embedding_type":  {"relative_key", `position_embedding_type "relative_key" is not supported`},
		"hidden_act":               {"mish", `hidden_act "mish" is not supported`},
		"num_image_with_embedding": {-1, "num_image_with_embedding -1 is out of range"},
		"hidden_size":              {21, "hidden_size 21 is no multiple of num_attention_heads 2"},
		"vision_config": {map[string]any{"model_type": "swin"},
			`vision_config: model_type "swin" is not supported`},
		"max_position_embeddings": {"long", "max_position_embeddings is text, where a whole number belongs"},
	} {
		var f map[string]any
		require.NoError(t, json.Unmarshal(raw, &f))
		f[field] = c[0]
		changed, err := json.Marshal(f)
		require.NoError(t, err)
		dir := t.TempDir()
		require.NoError(t, os.WriteFile(filepath.Join(dir, "config.json"), changed, 0o644))
		_, err = git.Load(dir, git.LoadOptions{})
		require.ErrorContains(t, err, c[1].(string), field)
	}
}
