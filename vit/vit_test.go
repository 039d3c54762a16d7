package vit

import (
	"encoding/json"
	"errors"
	"fmt"
	"math"
	"math/rand/v2"
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/gollava/gollava/internal/jsonfile"
	"github.com/gollava/gollava/internal/jsonfile/mutate"
	"github.com/gollava/gollava/nn"
	"github.com/gollava/gollava/tensor"
	"github.com/gollava/gollava/tensor/tensortest"
)

func rng() *rand.Rand { return rand.New(rand.NewPCG(5, 6)) }

// small is a CLIP whose sizes are all different.
func small() CLIPConfig {
	c := CLIPBase32().CLIP()
	c.ProjectionDim = 10
	c.Vision.HiddenSize, c.Vision.IntermediateSize, c.Vision.NumHiddenLayers, c.Vision.NumAttentionHeads = 12, 20, 3, 3
	c.Vision.ImageSize, c.Vision.PatchSize, c.Vision.ProjectionDim = 8, 4, 10
	c.Text.HiddenSize, c.Text.IntermediateSize, c.Text.NumHiddenLayers, c.Text.NumAttentionHeads = 8, 14, 2, 2
	c.Text.VocabSize, c.Text.MaxPositionEmbeddings, c.Text.BOS, c.Text.EOS, c.Text.ProjectionDim = 23, 9, 21, 22, 10
	return c
}

func newSmall(t *testing.T) *CLIP {
	m, err := NewCLIP(rng(), small())
	require.NoError(t, err)
	return m
}

func count(m any) int {
	n := 0
	for _, p := range nn.Params(m) {
		n += p.Len()
	}
	return n
}

func TestParameterCounts(t *testing.T) {
	for _, c := range []struct {
		config VisionConfig
		want   int
	}{{CLIPLarge336(), 303_507_456}, {CLIPLarge(), 303_179_776}, {CLIPBase32(), 87_456_000}, {CLIPBase16(), 85_799_424}, {SigLIPSo400m384(), 428_225_600}} {
		m, err := New(nil, c.config)
		require.NoError(t, err)
		require.Equal(t, c.want, count(m), "%+v", c.config)
	}
	for _, c := range []struct {
		config VisionConfig
		want   int
	}{{CLIPLarge(), 427_616_513}, {CLIPBase32(), 151_277_313}} { // as OpenAI's models have
		m, err := NewCLIP(nil, c.config.CLIP())
		require.NoError(t, err)
		require.Equal(t, c.want, count(m))
	}
}

func TestFeaturesRunOnlyWhatTheyNeed(t *testing.T) {
	m := newSmall(t).Tower()
	pixels := tensor.Randn(rng(), 1, 2, 3, 8, 8)
	last := m.Model.Encoder.Layers[2]
	for _, l := range []nn.Layer{last.MLP.FC1, last.Attention.(*Attention).Value, m.Model.PostNorm} {
		for _, p := range nn.Params(l) {
			p.Data()[0] = float32(math.NaN())
		}
	}
	states := m.HiddenStates(pixels, 2)
	require.Len(t, states, 3)
	patch := Features(m, pixels, Select{[]int{-2}, "patch"})
	require.Equal(t, []int{2, 4, 12}, patch.Shape())
	tensortest.Close(t, patch, states[2].Slice(1, 1, 5), 0, 0)
	tensortest.Close(t, Features(m, pixels, Select{[]int{2}, "cls_patch"}), states[2], 0, 0)
	tensortest.Close(t, Features(m, pixels, Select{[]int{0}, "cls_patch"}), states[0], 0, 0)

	for _, s := range []Select{{[]int{-5}, "patch"}, {[]int{-1, 4}, "patch"}, {[]int{-2}, "cls"}, {nil, "patch"}} {
		require.Error(t, tensor.Catch(func() { Features(m, pixels, s) }), "%+v", s)
	}
	require.ErrorContains(t, tensor.Catch(func() { Features(m, tensor.New(2, 3, 8, 12), Select{[]int{-2}, "patch"}) }), "needs [B 3 8 8]")
}

// A picture whose side is no multiple of the patch loses its last pixels, as SigLIP's 384 of 14.
func TestPatchesThatDoNotFit(t *testing.T) {
	c := SigLIPSo400m384()
	c.HiddenSize, c.IntermediateSize, c.NumHiddenLayers, c.NumAttentionHeads, c.ImageSize, c.PatchSize = 8, 12, 1, 2, 11, 4
	m, err := NewSigLIPVision(rng(), c)
	require.NoError(t, err)
	pixels := tensor.Randn(rng(), 1, 1, 3, 11, 11)
	e := m.Model.Embeddings.Patch
	got := e.Forward(pixels) // [1, 4, 8]
	require.Equal(t, []int{1, 4, 8}, got.Shape())
	w := e.Weight.Data()
	for patch := range 4 {
		for d := range 8 {
			want := float64(e.Bias.Data()[d])
			for ch := range 3 {
				for y := range 4 {
					for x := range 4 {
						want += float64(w[((d*3+ch)*4+y)*4+x]) * float64(pixels.Data()[(ch*11+patch/2*4+y)*11+patch%2*4+x])
					}
				}
			}
			require.InDelta(t, want, got.Data()[patch*8+d], 1e-5)
		}
	}
	require.Equal(t, []int{1, 4, 8}, m.HiddenStates(pixels, 1)[1].Shape())
}

func TestContrastiveLoss(t *testing.T) {
	logits := tensor.Randn(rng(), 1, 3, 5).Param()
	same := tensor.New(3, 5)
	same.Data()[0*5+2], same.Data()[2*5+0] = -1e4, -1e4 // texts 0 and 2 are equal
	cross := func(z []float64, at int) float64 {
		sum := 0.0
		for _, v := range z {
			sum += math.Exp(v)
		}
		return math.Log(sum) - z[at]
	}
	z := func(i, j int) float64 { return float64(logits.Data()[i*5+j] + same.Data()[i*5+j]) }
	want := 0.0
	for i := range 3 {
		var row, column []float64
		for j := range 5 {
			row = append(row, z(i, j))
		}
		for j := range 3 {
			column = append(column, z(j, i))
		}
		want += (cross(row, i) + cross(column, i)) / 6
	}
	require.InDelta(t, want, ContrastiveLoss(logits, same).Item(), 1e-5)
	tensortest.GradCheck(t, func(in []*tensor.Tensor) *tensor.Tensor { return ContrastiveLoss(in[0], same) }, logits)
	require.ErrorContains(t, tensor.Catch(func() { ContrastiveLoss(tensor.New(3, 2), nil) }), "3 images need as many texts")
}

func TestClampLogitScale(t *testing.T) {
	m := newSmall(t)
	for _, c := range [][2]float32{{5, MaxLogitScale}, {-1, 0}, {3, 3}} {
		m.LogitScale.Data()[0] = c[0]
		m.ClampLogitScale()
		require.Equal(t, c[1], m.LogitScale.Item())
	}
	require.InDelta(t, 100, math.Exp(float64(MaxLogitScale)), 1e-4)
}

// Both towers learn to tell pairs apart, hard negatives among them.
func TestCLIPLearns(t *testing.T) {
	m := newSmall(t)
	const B = 6
	pixels := tensor.Randn(rng(), 1, B, 3, 8, 8)
	var ids []int32
	for i := range 2 * B { // the second half only distracts
		ids = append(ids, 21, int32(i+1), int32(19-i), 22)
	}
	texts := tensor.Ints(ids, 2*B, 4)
	var items []tensor.AdamWItem
	for _, p := range nn.Params(m) {
		items = append(items, tensor.AdamWItem{Param: p, M: tensor.New(p.Shape()...), V: tensor.New(p.Shape()...)})
	}
	var loss float32
	for s := range 60 {
		tensor.Scope(func(a *tensor.Arena) {
			l := ContrastiveLoss(m.Logits(m.EncodeImage(pixels.In(a)), m.EncodeText(texts.In(a), nil)), nil)
			loss = l.Item()
			l.Backward()
			for name, p := range nn.Params(m) {
				require.NotNil(t, p.Grad(), name)
			}
			tensor.AdamW(tensor.AdamWConfig{LR: 3e-3, Beta1: 0.9, Beta2: 0.98, Eps: 1e-8, GradScale: 1, Step: s + 1}, items)
			m.ClampLogitScale()
			for _, it := range items {
				it.Param.ZeroGrad()
			}
		})
	}
	require.Less(t, loss, float32(0.1))
}

func TestZeroShot(t *testing.T) {
	m := newSmall(t)
	classes, templates := []string{"cat", "dog", "axolotl"}, []string{"a {}.", "the tiny {}"}
	var seen []string
	encode := func(text string) ([]int32, error) {
		seen = append(seen, text)
		ids := []int32{21}
		for _, w := range strings.Fields(text) {
			ids = append(ids, int32(len(w)*7+int(w[0]))%20)
		}
		return append(ids, 22), nil
	}
	c, err := NewClassifier(m, classes, templates, encode)
	require.NoError(t, err)
	require.Equal(t, []string{"a cat.", "the tiny cat", "a dog.", "the tiny dog", "a axolotl.", "the tiny axolotl"}, seen)

	pixels := tensor.Randn(rng(), 1, 4, 3, 8, 8)
	got := c.Probabilities(pixels)
	require.False(t, got.Recorded())
	require.Equal(t, []int{4, 3}, got.Shape())
	image := m.EncodeImage(pixels)
	for i := range 4 {
		var z [3]float64
		for k, class := range classes {
			mean := make([]float64, 10)
			for _, tpl := range templates {
				ids, _ := encode(strings.ReplaceAll(tpl, "{}", class))
				for e, v := range m.EncodeText(tensor.Ints(ids, 1, len(ids)), nil).Data() {
					mean[e] += float64(v)
				}
			}
			norm := 0.0
			for _, v := range mean {
				norm += v * v
			}
			for e, v := range mean {
				z[k] += math.Exp(float64(m.LogitScale.Item())) * v / math.Sqrt(norm) * float64(image.Data()[i*10+e])
			}
		}
		sum := math.Exp(z[0]) + math.Exp(z[1]) + math.Exp(z[2])
		for k := range 3 {
			require.InDelta(t, math.Exp(z[k])/sum, got.Data()[i*3+k], 1e-5)
		}
		best := c.Best(pixels)[i]
		require.GreaterOrEqual(t, got.Data()[i*3+int(best)], got.Data()[i*3])
	}

	_, err = NewClassifier(m, classes, nil, func(text string) ([]int32, error) { return nil, fmt.Errorf("no such word") })
	require.EqualError(t, err, `zero-shot: prompt "a photo of a cat.": no such word`)
	_, err = m.ClassWeights([][][]int32{{{21, 22}}, {}})
	require.EqualError(t, err, "zero-shot: class 1 has no prompts")
	_, err = m.ClassWeights([][][]int32{{{21, 23, 22}}})
	require.EqualError(t, err, "zero-shot: class 0, prompt 0: id 23 is outside the vocabulary of 23")
	_, err = m.ClassWeights([][][]int32{{make([]int32, 10)}})
	require.EqualError(t, err, "zero-shot: class 0, prompt 0: 10 tokens: the text tower reads 1 to 9")
	require.Len(t, ImageNetTemplates(), 80)
	for _, tpl := range append(ImageNetTemplates(), SimpleTemplates()...) {
		require.Equal(t, 1, strings.Count(tpl, "{}"), tpl)
		require.Contains(t, ImageNetTemplates(), tpl)
	}
}

func same(t *testing.T, want, got any) {
	t.Helper()
	byName := map[string]*tensor.Tensor{}
	for name, p := range nn.Params(want) {
		byName[name] = p
	}
	for name, p := range nn.Params(got) {
		require.Contains(t, byName, name)
		require.Equal(t, byName[name].DType(), p.DType(), name)
		require.Equal(t, byName[name].Bytes(), p.Bytes(), name)
		delete(byName, name)
	}
	require.Empty(t, byName)
}

func TestSaveLoad(t *testing.T) {
	c := small()
	c.Vision.PositionStd, c.Text.TokenStd, c.LogitScaleInit = 0.3, 0.05, 2
	m, err := NewCLIP(rng(), c)
	require.NoError(t, err)
	dir := t.TempDir()
	require.NoError(t, SaveCLIP(dir, m, nn.SaveOptions{}))
	again, err := LoadCLIP(dir, nn.LoadOptions{})
	require.NoError(t, err)
	require.Equal(t, m.Config(), again.Config())
	same(t, m, again)
	alone, err := Load(dir, nn.LoadOptions{}) // the tower of a whole CLIP
	require.NoError(t, err)
	same(t, m.Tower(), alone)

	dir = t.TempDir()
	require.NoError(t, Save(dir, alone, nn.SaveOptions{MaxShard: 4000}))
	shards, _ := filepath.Glob(filepath.Join(dir, "*.safetensors"))
	require.Greater(t, len(shards), 1)
	alone2, err := Load(dir, nn.LoadOptions{})
	require.NoError(t, err)
	require.Equal(t, alone.Config(), alone2.Config())
	same(t, alone, alone2)

	s := SigLIPSo400m384()
	s.HiddenSize, s.IntermediateSize, s.NumHiddenLayers, s.NumAttentionHeads, s.ImageSize, s.PatchSize = 8, 12, 1, 2, 12, 4
	for _, head := range []bool{true, false} {
		s.UseHead = &head
		tower, err := New(rng(), s)
		require.NoError(t, err)
		dir := t.TempDir()
		require.NoError(t, Save(dir, tower, nn.SaveOptions{}))
		back, err := Load(dir, nn.LoadOptions{})
		require.NoError(t, err)
		require.Equal(t, tower.Config(), back.Config())
		same(t, tower, back)
	}
}

// In bfloat16 both towers compute about the same, and what is added stays float32.
func TestLoadBFloat16(t *testing.T) {
	m := newSmall(t)
	dir := t.TempDir()
	require.NoError(t, SaveCLIP(dir, m, nn.SaveOptions{DType: nn.As(tensor.BFloat16)}))
	raw, err := os.ReadFile(filepath.Join(dir, "config.json"))
	require.NoError(t, err)
	require.Contains(t, string(raw), `"torch_dtype": "bfloat16"`)
	half, err := LoadCLIP(dir, nn.LoadOptions{})
	require.NoError(t, err)
	require.Equal(t, tensor.BFloat16, half.Text.Encoder.Layers[0].MLP.FC1.(*nn.Linear).Weight.DType())
	require.Equal(t, tensor.Float32, half.Text.Embeddings.Position.Weight.DType())
	full, err := LoadCLIP(dir, nn.LoadOptions{DType: nn.As(tensor.Float32)})
	require.NoError(t, err)
	pixels, ids := tensor.Randn(rng(), 1, 2, 3, 8, 8), tensor.Ints([]int32{21, 4, 5, 22, 21, 6, 22, 0}, 2, 4)
	for _, other := range []*CLIP{full, m} {
		tensortest.Close(t, half.EncodeImage(pixels), other.EncodeImage(pixels), 0.03, 0)
		tensortest.Close(t, half.EncodeText(ids, nil), other.EncodeText(ids, nil), 0.03, 0)
	}
}

func TestLoadRefuses(t *testing.T) {
	saved := t.TempDir()
	require.NoError(t, SaveCLIP(saved, newSmall(t), nn.SaveOptions{}))
	write := func(config string) string {
		dir := t.TempDir()
		require.NoError(t, os.CopyFS(dir, os.DirFS(saved)))
		if config != "" {
			require.NoError(t, os.WriteFile(filepath.Join(dir, "config.json"), []byte(config), 0o644))
		}
		return dir
	}
	for _, c := range [][2]string{
		{`{"model_type": "resnet"}`, `config.json: vision model_type "resnet" is not supported`},
		{`{"model_type": "clip_vision_model", "hidden_act": "mish"}`, `config.json: hidden_act "mish" is not supported`},
		{`{"model_type": "clip_vision_model", "hidden_size": -3}`, "config.json: vision config: out of range: hidden_size -3"},
		{`{"model_type": "clip_vision_model", "attention_dropout": 1.1}`, "config.json: vision attention_dropout 1.1 is outside [0, 1)"},
		{`{"model_type": "clip_vision_model"`, "config.json: line 1, column 34: the JSON ends too early"},
		{`{"model_type": "clip_vision_model", "hidden_size": "12"}`, "config.json: hidden_size is text, where a whole number belongs"},
		{`null`, "config.json: is null"},
		{`{"model_type": "clip", "vision_config": {"model_type": "clip_vision_model", "hidden_size": 12, "intermediate_size": 20, "num_hidden_layers": 3, "num_attention_heads": 3, "image_size": 12, "patch_size": 4}}`,
			"misshapen   vision_model.embeddings.position_embedding.weight: [5 12] in the file, [10 12] in the model"},
		{`{"model_type": "clip", "vision_config": {"model_type": "clip_vision_model", "hidden_size": 12, "intermediate_size": 20, "num_hidden_layers": 2, "num_attention_heads": 3, "image_size": 8, "patch_size": 4}}`,
			"unexpected  vision_model.encoder.layers.2.layer_norm1.bias [12]"},
		{`{"model_type": "siglip", "vision_config": {"hidden_size": 12}}`, "vision_config: model_type is missing"},
	} {
		_, err := Load(write(c[0]), nn.LoadOptions{})
		require.ErrorContains(t, err, c[1])
	}
	_, err := LoadCLIP(write(`{"model_type": "clip_vision_model"}`), nn.LoadOptions{})
	require.ErrorContains(t, err, `config.json: model_type "clip_vision_model" is not clip`)
	_, err = LoadCLIP(write(`{"model_type": "clip", "text_config": {"attention_dropout": 1}}`), nn.LoadOptions{})
	require.ErrorContains(t, err, "text attention_dropout 1 is outside [0, 1)")
	_, err = Load(t.TempDir(), nn.LoadOptions{})
	require.ErrorContains(t, err, "config.json")
}

// Whatever stands in place of any value of a config.json ends in an error or in a model.
func TestMutatedConfigs(t *testing.T) {
	for _, name := range []string{"clip", "clip_vision-gelu", "siglip_vision"} {
		raw, err := os.ReadFile(filepath.Join("testdata", name, "config.json"))
		require.NoError(t, err)
		for what, b := range mutate.All(raw) {
			var v VisionConfig
			if json.Unmarshal(b, &v) == nil && v.NumHiddenLayers < 100 {
				_, err := New(nil, v)
				require.NoError(t, err, what)
			}
			var c CLIPConfig
			if json.Unmarshal(b, &c) == nil && c.Vision.NumHiddenLayers+c.Text.NumHiddenLayers < 100 {
				_, err := NewCLIP(nil, c)
				require.NoError(t, err, what)
			}
		}
	}
}

// Whatever a config.json says, reading it and describing its model's weights ends in an error or a model, never in a
// panic.
func FuzzConfig(f *testing.F) {
	mutate.Fuzz(f, func(t *testing.T, raw []byte) error {
		var v VisionConfig
		err := jsonfile.Unmarshal(raw, &v)
		if err == nil && v.NumHiddenLayers < 100 {
			_, err = New(nil, v)
		}
		var c CLIPConfig
		err2 := jsonfile.Unmarshal(raw, &c)
		if err2 == nil && c.Vision.NumHiddenLayers+c.Text.NumHiddenLayers < 100 {
			_, err2 = NewCLIP(nil, c)
		}
		return errors.Join(err, err2)
	}, mutate.Files(f, "testdata/*/config.json")...)
}

// After two steps a step of CLIP's training takes no memory for tensors from Go's heap. (One processor: each of several
// has scratch of its own.)
func TestCLIPStepIsSteady(t *testing.T) {
	defer runtime.GOMAXPROCS(runtime.GOMAXPROCS(1))
	const B, T, D = 12, 8, 96
	c := newSmall(t).Config()
	c.Vision.HiddenSize, c.Vision.IntermediateSize, c.Text.HiddenSize, c.Text.IntermediateSize, c.ProjectionDim = D, 2*D, D, 2*D, D
	for _, frozen := range []string{"text_model.**", "vision_model.**", ""} {
		m, err := NewCLIP(rng(), c)
		require.NoError(t, err)
		for name, p := range nn.Params(m) {
			p.SetTrainable(!nn.Match(frozen, name))
		}
		pixels := tensor.Randn(rng(), 1, B, 3, 8, 8)
		texts := tensor.Ints(make([]int32, B*T), B, T)
		var before uint64
		for step := range 52 { // more than there may be free memory from before
			if step == 2 {
				before = tensortest.Allocations(4 * T * D) // the vectors of a text
			}
			tensor.Scope(func(s *tensor.Arena) {
				images, words := m.EncodeImage(pixels.In(s)), m.EncodeText(texts.In(s), nil)
				ContrastiveLoss(m.Logits(images, words), nil).Backward()
			})
			for _, p := range nn.Params(m) {
				p.ZeroGrad()
			}
		}
		require.Zero(t, tensortest.Allocations(4*T*D)-before, "frozen: %s", frozen)
	}
}

// A single token of each row is what the whole encoder makes of it, gradients too, whether blocks are recomputed or
// not.
func TestOneToken(t *testing.T) {
	e := newSmall(t).Text.Encoder
	x, dy := tensor.Randn(rng(), 1, 3, 5, 8).Param(), tensor.Randn(rng(), 1, 3, 1, 8)
	at, rows := []int32{2, 0, 4}, tensor.Ints([]int{2, 5, 14}, 3)
	for _, c := range []tensor.AttentionConfig{{}, {Causal: true}, {Causal: true, End: []int32{4, 1, 5}}} {
		var out, grad [3]*tensor.Tensor
		for i := range out {
			e.recompute.Store(i == 2)
			if i == 0 {
				out[i] = tensor.Gather(e.Last(x, 2, c).Reshape(15, 8), rows).Reshape(3, 1, 8)
			} else {
				out[i] = e.One(x, at, c)
			}
			out[i].BackwardFrom(dy)
			grad[i] = x.Grad().Clone()
			x.ZeroGrad()
		}
		tensortest.Close(t, out[1], out[0], 1e-6, 1e-5)
		tensortest.Close(t, grad[1], grad[0], 1e-6, 1e-5)
		require.Equal(t, out[1].Data(), out[2].Data())
		require.Equal(t, grad[1].Data(), grad[2].Data())
	}
}
