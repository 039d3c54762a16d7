package blip2_test

import (
	"flag"
	"io"
	"maps"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/gollava/gollava/connector"
	"github.com/gollava/gollava/connector/blip2"
	"github.com/gollava/gollava/connector/llava"
	"github.com/gollava/gollava/data/chat"
	"github.com/gollava/gollava/data/imaging"
	"github.com/gollava/gollava/internal/safetensors"
	"github.com/gollava/gollava/llm"
	"github.com/gollava/gollava/nn"
	"github.com/gollava/gollava/tensor"
	"github.com/gollava/gollava/vit"
)

// onOPT is a BLIP-2 with fresh weights.
func onOPT(t *testing.T) *connector.VLM {
	c := small()
	c.Image = 28
	c.Text = llm.Config{ModelType: "opt", VocabSize: 29, HiddenSize: 9, IntermediateSize: 13, NumHiddenLayers: 2,
		NumAttentionHeads: 3, MaxPositionEmbeddings: 40, NormEps: 1e-5, HiddenAct: "relu", TieWordEmbeddings: true,
		AttentionBias: true, MLPBias: true, BOS: 2, PAD: 1, EOS: []int{2}}
	m, err := blip2.New(rng(), c)
	require.NoError(t, err)
	for _, p := range nn.Params(m.Language) { // what is ignored shows
		for i := range p.Data() {
			p.Data()[i] *= 8
		}
	}
	return m
}

func open(t *testing.T, name string) *connector.VLM {
	if name == "opt" {
		return onOPT(t)
	}
	m, err := blip2.Load(filepath.Join("testdata", name), blip2.LoadOptions{})
	require.NoError(t, err)
	return m
}

var models = []string{"opt", "blip2-t5", "instructblip"}

// samples are two pictures with prompts of different lengths and, where they are to be learnt, answers.
func samples(m *connector.VLM, learn bool) []connector.Sample {
	S, r := m.Vision.Config().ImageSize, rng()
	var all []connector.Sample
	for _, ids := range [][]int32{{chat.ImageIndex, 3, 9, 7, 11, 5}, {chat.ImageIndex, 3, 8, 4}} {
		s := connector.Sample{IDs: ids, Instruction: []int32{1, 6, 7}[:len(ids)/2],
			Images: []connector.Image{{Pixels: imaging.Pixels{N: 1, H: S, W: S,
				Data: tensor.Randn(r, 1, 3*S*S).Data()}}}}
		if learn {
			s.Labels = append([]int32{tensor.IgnoreIndex, tensor.IgnoreIndex}, ids[2:]...)
		}
		all = append(all, s)
	}
	return all
}

// Decoding with a cache gives what recomputing every token gives, for each model, and each row what it gives alone.
func TestCachedIsRecomputed(t *testing.T) {
	for _, name := range models {
		m := open(t, name)
		b, err := m.Splice(samples(m, false), true)
		require.NoError(t, err)
		o := llm.Options{MaxNewTokens: 9, EOS: []int{}}
		cached, err := m.Generate(t.Context(), b, o)
		require.NoError(t, err)
		o.NoCache = true
		again, err := m.Generate(t.Context(), b, o)
		require.NoError(t, err)
		require.Equal(t, again.IDs, cached.IDs, name)
		for i, s := range samples(m, false) {
			one, err := m.Splice([]connector.Sample{s}, true)
			require.NoError(t, err)
			alone, err := m.Generate(t.Context(), one, o)
			require.NoError(t, err)
			require.Equal(t, cached.IDs[i], alone.IDs[0], name)
		}
	}
}

// The loss of a batch is that of its rows, weighted by their labels; recomputing blocks in the backward pass keeps the
// gradients.
func TestLossOfRows(t *testing.T) {
	for _, name := range models {
		m := open(t, name)
		all := samples(m, true)
		b, err := m.Splice(all, false)
		require.NoError(t, err)
		require.Equal(t, 6, b.Supervised(), name)
		sum := 0.0
		for _, s := range all {
			one, err := m.Splice([]connector.Sample{s}, false)
			require.NoError(t, err)
			sum += float64(m.Loss(one).Item()) * float64(one.Supervised())
		}
		require.InDelta(t, sum/6, m.Loss(b).Item(), 1e-5, name)

		var grads [2]map[string][]float32
		for i := range grads {
			m.SetRecompute(i == 1)
			m.Loss(b).Backward()
			grads[i] = map[string][]float32{}
			for n, p := range nn.Params(m) {
				if p.Grad() != nil {
					grads[i][n] = append([]float32(nil), p.Grad().Data()...)
				}
				p.ZeroGrad()
			}
		}
		require.Equal(t, len(grads[0]), len(grads[1]))
		for n, g := range grads[0] { // T5's blocks share a bias, whose parts add up in another order
			require.InDeltaSlice(t, g, grads[1][n], 1e-5, name+" "+n)
		}
	}
}

// What is saved is loaded again, under the names that were read, and computes the same.
func TestSaveAndLoad(t *testing.T) {
	for _, name := range models {
		m, dir := open(t, name), t.TempDir()
		require.NoError(t, blip2.Save(dir, m, blip2.SaveOptions{}))
		again, err := blip2.Load(dir, blip2.LoadOptions{})
		require.NoError(t, err)
		have := maps.Collect(nn.Params(again))
		for n, p := range nn.Params(m) {
			require.Equal(t, p.Data(), have[n].Data(), n)
		}
		b, err := m.Splice(samples(m, true), false)
		require.NoError(t, err)
		require.Equal(t, m.Loss(b).Item(), again.Loss(b).Item(), name)
		if name == "opt" {
			continue
		}
		was, err := nn.OpenWeights(filepath.Join("testdata", name))
		require.NoError(t, err)
		is, err := nn.OpenWeights(dir)
		require.NoError(t, err)
		require.Equal(t, was.Names(), is.Names())
		require.NoError(t, was.Close())
		require.NoError(t, is.Close())
	}
}

// Stage 2 starts from what stage 1 has trained, but for what only reads text.
func TestStartFrom(t *testing.T) {
	m, s := onOPT(t), newStage1(t)
	for _, p := range nn.Params(s) {
		for i := range p.Data() {
			p.Data()[i] += 0.25
		}
	}
	require.NoError(t, blip2.StartFrom(m, s))
	from := maps.Collect(nn.Params(s))
	n := 0
	for name, p := range nn.Params(m.Connector) {
		if !strings.HasPrefix(name, "language_projection.") {
			require.Equal(t, from[name].Data(), p.Data(), name)
			n++
		}
	}
	require.Greater(t, n, 30)
	require.ErrorContains(t, blip2.StartFrom(open(t, "blip2-t5"), s), "is [")
}

// What does not fit is told by name.
func TestRefusals(t *testing.T) {
	edited := func(from, old, new string) string {
		dir := t.TempDir()
		require.NoError(t, os.CopyFS(dir, os.DirFS(filepath.Join("testdata", from))))
		path := filepath.Join(dir, "config.json")
		raw, err := os.ReadFile(path)
		require.NoError(t, err)
		require.Contains(t, string(raw), old)
		require.NoError(t, os.WriteFile(path, []byte(strings.Replace(string(raw), old, new, 1)), 0o600))
		return dir
	}
	for _, c := range []struct{ from, old, new, says string }{
		{"instructblip", `"model_type": "instructblip"`, `"model_type": "instructblipvideo"`,
			`"instructblipvideo" is not supported`},
		{"instructblip", `"model_type": "llama"`, `"model_type": "bart"`,
			`text_config: model_type "bart" is not supported`},
		{"instructblip", `"hidden_act": "gelu"`, `"hidden_act": "tanh"`, `hidden_act "tanh" is not supported`},
		{"instructblip", `"num_query_tokens": 4`, `"num_query_tokens": 0`, "num_query_tokens 0 is out of range"},
		{"instructblip", `"num_query_tokens": 4`, `"num_query_tokens": 5`, "query_tokens"},
		{"instructblip", `"image_token_index": 55`, `"image_token_index": 77`, "image_token_index 77"},
		{"blip2-t5", `"feed_forward_proj": "gated-gelu"`, `"feed_forward_proj": "gated-tanh"`,
			`"tanh" is not supported`},
		{"blip2-t5", `"relative_attention_num_buckets": 8`, `"relative_attention_num_buckets": 0`,
			"relative_attention_num_buckets 0"},
		{"blip2-t5", `"image_text_hidden_size": 256`, `"image_text_hidden_size": -1`,
			"image_text_hidden_size -1 is out of range"},
	} {
		_, err := blip2.Load(edited(c.from, c.old, c.new), blip2.LoadOptions{})
		require.ErrorContains(t, err, c.says)
	}
	_, err := llava.Load(edited("blip2-t5", `"model_type": "blip-2"`, `"model_type": "llava"`), llava.LoadOptions{})
	require.ErrorContains(t, err, "is an encoder-decoder, where a decoder is expected")

	m := open(t, "instructblip")
	s := samples(m, false)
	s[1].IDs = s[1].IDs[1:]
	_, err = m.Splice(s, false)
	require.ErrorContains(t, err, "1 images for 0 places")
	s = samples(m, false)
	s[0].Instruction, s[1].Instruction = nil, nil
	b, err := m.Splice(s, true)
	require.NoError(t, err)
	_, err = m.Generate(t.Context(), b, llm.Options{MaxNewTokens: 1})
	require.ErrorContains(t, err, "reads the instruction")
	clip, err := vit.New(rng(), vit.VisionConfig{ModelType: "clip_vision_model", HiddenSize: 10, IntermediateSize: 11,
		NumHiddenLayers: 1, NumAttentionHeads: 2, NumChannels: 3, ImageSize: 8, PatchSize: 4, HiddenAct: "gelu"})
	require.NoError(t, err)
	none := small()
	none.ProjectionDim = 0
	_, err = blip2.NewRetrieval(rng(), clip, none)
	require.ErrorContains(t, err, "image_text_hidden_size is 0")
	onCLIP, err := blip2.Join(rng(), clip, onOPT(t).Language, small())
	require.NoError(t, err)
	require.ErrorContains(t, blip2.Save(t.TempDir(), onCLIP, blip2.SaveOptions{}), "no vision encoder of model_type")
}

var saveTo = flag.String("save", "", "folder for models that testdata/load_saved.py loads in transformers")

// TestSaveForPython writes models that were loaded from the cases of testdata, and one on OPT with an input and what
// this package computes of it.
func TestSaveForPython(t *testing.T) {
	if *saveTo == "" {
		t.Skip("-save is not given: testdata/load_saved.py runs this test to load what it writes in transformers; " +
			"its last output is testdata/load_saved.txt")
	}
	for _, name := range models {
		require.NoError(t, blip2.Save(filepath.Join(*saveTo, name), open(t, name), blip2.SaveOptions{}))
	}
	c, err := blip2.ReadRetrievalConfig("testdata/blip2_stage1")
	require.NoError(t, err)
	s, err := blip2.LoadStage1(c, "testdata/blip2_stage1", blip2.LoadOptions{})
	require.NoError(t, err)
	require.NoError(t, blip2.SaveStage1(filepath.Join(*saveTo, "blip2_stage1"), s, blip2.SaveOptions{}))

	m := onOPT(t)
	b, err := m.Splice(samples(m, false)[:1], false)
	require.NoError(t, err)
	for i, id := range b.IDs.IntData() {
		if id < 0 {
			b.IDs.IntData()[i] = 28
		}
	}
	var list []safetensors.Tensor
	for name, x := range map[string]*tensor.Tensor{"in.input_ids": b.IDs, "in.pixel_values": b.Pixels,
		"out.logits": llm.Logits(m.Language, m.Hidden(b))} {
		dtype := map[tensor.DType]string{tensor.Float32: "F32", tensor.Int32: "I32"}[x.DType()]
		list = append(list, safetensors.Tensor{Name: name, DType: dtype, Shape: x.Shape(),
			Write: func(w io.Writer) error { _, err := w.Write(x.Bytes()); return err }})
	}
	require.NoError(t, safetensors.Write(filepath.Join(*saveTo, "opt", "expected.safetensors"), list, nil))
}
