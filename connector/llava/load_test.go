package llava

import (
	"encoding/json"
	"math"
	"math/rand/v2"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/gollava/gollava/connector"
	"github.com/gollava/gollava/data/imaging"
	"github.com/gollava/gollava/internal/atomicfile"
	"github.com/gollava/gollava/internal/jsonfile/mutate"
	"github.com/gollava/gollava/llm"
	"github.com/gollava/gollava/nn"
	"github.com/gollava/gollava/tensor"
	"github.com/gollava/gollava/vit"
)

func rng() *rand.Rand { return rand.New(rand.NewPCG(7, 8)) }

// small is a model whose sizes are all different: 16 patches of width 12, text of width 20.
func small() Config {
	v := vit.CLIPBase32()
	v.HiddenSize, v.IntermediateSize, v.NumHiddenLayers, v.NumAttentionHeads, v.ImageSize, v.PatchSize = 12, 18, 3, 3, 16, 4
	return Config{Vision: v, Projector: "mlp2x_gelu", Select: vit.Select{Layers: []int{-2}, Class: "patch"}, Image: 28, Aspect: "square", PaddingSide: "right",
		Text: llm.Config{ModelType: "llama", VocabSize: 30, HiddenSize: 20, IntermediateSize: 26, NumHiddenLayers: 2, NumAttentionHeads: 2, NumKeyValueHeads: 1,
			MaxPositionEmbeddings: 128, NormEps: 1e-5, HiddenAct: "silu", RoPE: nn.RoPEConfig{Type: "default", Theta: 10000}, BOS: 1, EOS: []int{2}, PAD: 0}}
}

func newModel(t *testing.T, c Config) *connector.VLM {
	t.Helper()
	m, err := New(rng(), c)
	require.NoError(t, err)
	return m
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

// picture is one view of noise for [small].
func picture(seed int) imaging.Pixels {
	p := imaging.Pixels{N: 1, H: 16, W: 16, Data: make([]float32, 3*16*16)}
	for i := range p.Data {
		p.Data[i] = float32(math.Sin(float64(seed*1000 + i*i)))
	}
	return p
}

func TestProjectorOnly(t *testing.T) {
	r := openReference(t, "llava")
	for _, dir := range []string{"projector-only", "projector-only-legacy"} {
		r.t = t
		dir := filepath.Join("testdata", "llava", dir)
		whole, err := Load(filepath.Join("testdata", "llava", "transformers-4"), LoadOptions{})
		require.NoError(t, err)
		for _, p := range nn.Params(whole.Connector.(*Connector).Projector) {
			clear(p.Data())
		}
		require.NoError(t, LoadProjector(whole, dir, LoadOptions{}))
		r.everything(whole, nil)

		_, err = Load(dir, LoadOptions{})
		require.ErrorContains(t, err, "holds only a projector, mm_projector.bin: name the folder of its language model")
		tower := filepath.Join("testdata", "llava", "original", "vision_tower")
		joined, err := Load(dir, LoadOptions{Base: filepath.Join("testdata", "llava", "language"), Tower: tower})
		require.NoError(t, err)
		r.everything(joined, nil)
	}
}

// Two rows of the token embeddings come with the projector, and the base has none for them: mm_use_im_start_end.
func TestMarks(t *testing.T) {
	r := openReference(t, "llava_marks")
	parts := LoadOptions{Base: filepath.Join("testdata", "llava", "language"), Tower: filepath.Join("testdata", "llava", "original", "vision_tower"), Alias: true}
	for _, name := range []string{"two-rows", "all-rows"} {
		r.t = t
		dir := filepath.Join("testdata", "llava_marks", name)
		joined, err := Load(dir, parts)
		require.NoError(t, err)
		r.everything(joined, nil)

		saved := t.TempDir()
		require.NoError(t, Save(saved, joined, SaveOptions{Layout: Original}))
		whole, err := Load(saved, LoadOptions{Alias: true})
		require.NoError(t, err)
		clear(joined.Language.(*llm.Llama).Decoder.Embedding.Weight.Data()[24*12:])
		require.NoError(t, LoadProjector(joined, dir, LoadOptions{}))
		require.NoError(t, LoadProjector(whole, dir, LoadOptions{})) // over memory that cannot be written
		r.everything(joined, nil)
		r.everything(whole, nil)
	}

	without := filepath.Join("testdata", "llava", "transformers-4")
	m, err := Load(without, LoadOptions{})
	require.NoError(t, err)
	m.Connector.(*Connector).config.Marks = true // with a vocabulary of 24
	require.ErrorContains(t, LoadProjector(m, filepath.Join("testdata", "llava_marks", "all-rows"), LoadOptions{}),
		"model.embed_tokens.weight [26 12]: [24 12], or the 2 rows of <im_start> and <im_end>, are needed")
	parts.Base = without // no plain language model
	_, err = Load(filepath.Join("testdata", "llava_marks", "two-rows"), parts)
	require.ErrorContains(t, err, "unexpected")
}

func TestSaveLoad(t *testing.T) {
	departed := small()
	departed.Merge, departed.Gain, departed.SlotStd, departed.Vision.PositionStd = 2, 3, 0.5, 0.3
	departed.Template, departed.System = "llava_v1", new(string)
	departed.Text.ModelType, departed.Text.EmbeddingStd, departed.Text.InitStd, departed.Text.DampResidual = "qwen3", 0.3, 0.05, true
	departed.Text.TieWordEmbeddings, departed.Text.RoPE.Theta = true, 1e6
	class := small()
	class.Select, class.Text.ModelType, class.Text.SlidingWindow = vit.Select{Layers: []int{-1}, Class: "cls_patch"}, "mistral", 7
	sig := small()
	sig.Vision.ModelType, sig.Vision.HiddenAct, sig.Select.Class = "siglip_vision_model", "gelu_pytorch_tanh", "cls_patch"
	for name, c := range map[string]Config{"plain": small(), "departed": departed, "class token": class, "SigLIP": sig} {
		for _, layout := range []Layout{Hub, Original} {
			m := newModel(t, c)
			dir := t.TempDir()
			require.NoError(t, Save(dir, m, SaveOptions{Layout: layout, MaxShard: 20000}), name)
			again, err := Load(dir, LoadOptions{})
			require.NoError(t, err, name)
			same(t, m, again)
			got := ConfigOf(again)
			require.Equal(t, []any{ConfigOf(m).Merge, ConfigOf(m).Gain, ConfigOf(m).SlotStd, ConfigOf(m).Select.Layers, ConfigOf(m).FeaturesPerView(), ConfigOf(m).Vision},
				[]any{got.Merge, got.Gain, got.SlotStd, got.Select.Layers, got.FeaturesPerView(), got.Vision}, name)
			got.Text.DType, got.Text.HeadDim = ConfigOf(m).Text.DType, ConfigOf(m).Text.HeadDim
			require.Equal(t, ConfigOf(m).Text, got.Text, name)

			p, err := imaging.ReadProcessor(dir)
			require.NoError(t, err)
			if c.hasClass() {
				require.Equal(t, imaging.Size{W: 16, H: 16}, p.Crop)
			}
			if layout == Hub {
				require.Equal(t, c.Image, got.Image)
			}
		}
	}
}

// A model of the Hub's layout pads images because its processor says so; the original layout says it in config.json.
func TestPaddingSurvivesTheLayout(t *testing.T) {
	m := newModel(t, small())
	p := imaging.CLIP(16)
	p.Aspect = "pad"
	dir := t.TempDir()
	require.NoError(t, Save(dir, m, SaveOptions{Layout: Original, Processor: p}))
	c, err := ReadConfig(dir)
	require.NoError(t, err)
	require.Equal(t, "pad", c.Aspect)
	got, err := imaging.ReadProcessor(dir)
	require.NoError(t, err)
	require.Equal(t, "pad", got.Aspect)
}

// The original layout knows projectors that the Hub's has no name for.
func TestProjectors(t *testing.T) {
	for kind, linears := range map[string]int{"linear": 1, "mlp3x_gelu": 3, "identity": 0} {
		c := small()
		c.Marks = true
		if c.Projector = kind; kind == "identity" {
			c.Text.HiddenSize = 12
		}
		m := newModel(t, c)
		require.Len(t, m.Connector.(*Connector).Projector.Linears, linears)
		require.ErrorContains(t, Save(t.TempDir(), m, SaveOptions{}), `no name for mm_projector_type "`+kind)
		dir := t.TempDir()
		require.NoError(t, Save(dir, m, SaveOptions{Layout: Original}))
		again, err := Load(dir, LoadOptions{})
		require.NoError(t, err)
		same(t, m, again)
		require.True(t, ConfigOf(again).Marks)
		if linears == 0 {
			continue
		}
		path := filepath.Join(dir, "mm_projector.safetensors")
		require.NoError(t, SaveProjector(m, path, SaveOptions{}))
		other := newModel(t, c)
		for _, p := range nn.Params(other.Connector.(*Connector).Projector) {
			clear(p.Data())
		}
		require.NoError(t, LoadProjector(other, path, LoadOptions{}))
		same(t, m, other)
	}
	_, err := NewProjector(nil, Config{Projector: "mlp2x_res2x_gelu"})
	require.EqualError(t, err, `mm_projector_type "mlp2x_res2x_gelu" is not supported (linear, mlpNx_gelu, mlpNx_linear, fused-gelu-mlp, identity are)`)
	_, err = NewProjector(nil, Config{Projector: "mlp0x_gelu"})
	require.Error(t, err)
}

// A linear connector of two Linears is the Hub's projector with an activation that does nothing.
func TestLinearProjector(t *testing.T) {
	c := small()
	c.Projector = "mlp2x_linear"
	m := newModel(t, c)
	dir := t.TempDir()
	require.NoError(t, Save(dir, m, SaveOptions{}))
	raw, err := os.ReadFile(filepath.Join(dir, "config.json"))
	require.NoError(t, err)
	require.Contains(t, string(raw), `"projector_hidden_act": "linear"`)
	original := t.TempDir()
	require.NoError(t, Save(original, m, SaveOptions{Layout: Original}))
	again, err := Load(original, LoadOptions{})
	require.NoError(t, err)
	same(t, m, again)
	require.Equal(t, "mlp2x_linear", ConfigOf(again).Projector)
	again, err = Load(dir, LoadOptions{})
	require.NoError(t, err)
	same(t, m, again)
	require.Equal(t, "mlp2x_linear", ConfigOf(again).Projector)

	r := rand.New(rand.NewPCG(1, 2))
	x, y := tensor.Randn(r, 1, 1, 4, 12), tensor.Randn(r, 1, 1, 4, 12)
	p := again.Connector.(*Connector).Projector
	sum := p.Forward(x).Add(p.Forward(y)).Sub(p.Forward(tensor.New(1, 4, 12)))
	require.InDeltaSlice(t, p.Forward(x.Add(y)).Data(), sum.Data(), 1e-5, "the connector is not linear")
}

// A model of the original layout has no id for pictures; the Hub's needs one, and gets it behind the vocabulary.
func TestImageTokenForTheHub(t *testing.T) {
	c := small()
	c.Image = -200
	m := newModel(t, c)
	dir := t.TempDir()
	require.NoError(t, Save(dir, m, SaveOptions{}))
	hub, err := Load(dir, LoadOptions{})
	require.NoError(t, err)
	require.Equal(t, 30, ConfigOf(hub).Image)
	require.Equal(t, 64, ConfigOf(hub).Text.VocabSize)
	table := m.Language.(*llm.Llama).Decoder.Embedding.Weight.Data()
	grown := hub.Language.(*llm.Llama).Decoder.Embedding.Weight.Data()
	require.Equal(t, table, grown[:len(table)])
	mean := float32(0)
	for i := 3; i < len(table); i += 20 {
		mean += table[i] / 30
	}
	require.InDelta(t, mean, grown[63*20+3], 1e-6)
	require.Equal(t, 30, ConfigOf(m).Text.VocabSize) // m itself is as it was

	b, err := m.Splice([]connector.Sample{{IDs: []int32{1, 4, -200, 5, 2}, Labels: []int32{-100, -100, -100, 5, 2}, Images: []connector.Image{{Pixels: picture(1)}}}}, false)
	require.NoError(t, err)
	h, err := hub.Splice([]connector.Sample{{IDs: []int32{1, 4, -200, 5, 2}, Labels: []int32{-100, -100, -100, 5, 2}, Images: []connector.Image{{Pixels: picture(1)}}}}, false)
	require.NoError(t, err)
	want, got := llm.Logits(m.Language, m.Hidden(b)), llm.Logits(hub.Language, hub.Hidden(h))
	for row := range want.Dim(1) {
		require.Equal(t, want.Data()[row*30:(row+1)*30], got.Data()[row*64:row*64+30])
	}
}

func TestBFloat16(t *testing.T) {
	m := newModel(t, small())
	dir := t.TempDir()
	require.NoError(t, Save(dir, m, SaveOptions{DType: nn.As(tensor.BFloat16)}))
	raw, err := os.ReadFile(filepath.Join(dir, "config.json"))
	require.NoError(t, err)
	require.Contains(t, string(raw), `"torch_dtype": "bfloat16"`)
	half, err := Load(dir, LoadOptions{})
	require.NoError(t, err)
	full, err := Load(dir, LoadOptions{DType: nn.As(tensor.Float32)})
	require.NoError(t, err)
	b, err := m.Splice([]connector.Sample{{IDs: []int32{1, 4, -200, 5, 2}, Labels: []int32{-100, -100, -100, 5, 2}, Images: []connector.Image{{Pixels: picture(1)}}}}, false)
	require.NoError(t, err)
	require.Equal(t, tensor.BFloat16, half.Connector.(*Connector).Projector.Linears[0].(*nn.Linear).Weight.DType())
	require.InDelta(t, m.Loss(b).Item(), half.Loss(b).Item(), 0.02)
	require.InDelta(t, full.Loss(b).Item(), half.Loss(b).Item(), 1e-4)
}

// Numbers of parameters of the published models, from their configs alone.
func TestParameterCounts(t *testing.T) {
	c := Config{Vision: vit.CLIPLarge336(), Projector: "mlp2x_gelu", Select: vit.Select{Layers: []int{-2}, Class: "patch"}, Image: -200}
	for _, k := range []struct {
		kind   string
		hidden int
		want   int
	}{{"mlp2x_gelu", 4096, 20_979_712}, {"mlp2x_gelu", 5120, 31_467_520}, {"linear", 4096, 4_198_400}, {"linear", 5120, 5_248_000}} {
		c.Projector, c.Text.HiddenSize = k.kind, k.hidden
		p, err := NewProjector(nil, c)
		require.NoError(t, err)
		n := 0
		for _, x := range nn.Params(p) {
			require.True(t, x.IsMeta())
			n += x.Len()
		}
		require.Equal(t, k.want, n)
	}
	// llava-hf/llava-1.5-7b-hf's config.json, which leaves out what equals transformers' defaults.
	var hub Config
	require.NoError(t, json.Unmarshal([]byte(`{"architectures": ["LlavaForConditionalGeneration"], "ignore_index": -100, "image_token_index": 32000, "model_type": "llava",
		"pad_token_id": 32001, "projector_hidden_act": "gelu", "text_config": {"_name_or_path": "lmsys/vicuna-7b-v1.5", "architectures": ["LlamaForCausalLM"],
		"max_position_embeddings": 4096, "model_type": "llama", "rms_norm_eps": 1e-05, "torch_dtype": "float16", "vocab_size": 32064}, "tie_word_embeddings": false,
		"torch_dtype": "float16", "vision_config": {"hidden_size": 1024, "image_size": 336, "intermediate_size": 4096, "model_type": "clip_vision_model",
		"num_attention_heads": 16, "num_hidden_layers": 24, "patch_size": 14, "projection_dim": 768, "vocab_size": 32000},
		"vision_feature_layer": -2, "vision_feature_select_strategy": "default", "vocab_size": 32064}`), &hub))
	m, err := New(nil, hub)
	require.NoError(t, err)
	n := 0
	for _, p := range nn.Params(m) {
		n += p.Len()
	}
	require.Equal(t, 7_063_427_072, n)
	require.Equal(t, []any{576, 32001, []int{2}}, []any{hub.FeaturesPerView(), hub.Text.PAD, hub.Text.EOS})
}

func TestLoadRefuses(t *testing.T) {
	saved := map[Layout]string{Hub: t.TempDir(), Original: t.TempDir()}
	for layout, dir := range saved {
		require.NoError(t, Save(dir, newModel(t, small()), SaveOptions{Layout: layout}))
	}
	write := func(layout Layout, edit func(map[string]any)) string {
		dir := t.TempDir()
		require.NoError(t, os.CopyFS(dir, os.DirFS(saved[layout])))
		raw, err := os.ReadFile(filepath.Join(dir, "config.json"))
		require.NoError(t, err)
		var f map[string]any
		require.NoError(t, json.Unmarshal(raw, &f))
		edit(f)
		raw, err = json.Marshal(f)
		require.NoError(t, err)
		require.NoError(t, os.WriteFile(filepath.Join(dir, "config.json"), raw, 0o644))
		return dir
	}
	set := func(k string, v any) func(map[string]any) { return func(f map[string]any) { f[k] = v } }
	for _, c := range []struct {
		layout Layout
		edit   func(map[string]any)
		want   string
	}{
		{Hub, set("model_type", "blip-2"), `config.json: model_type "blip-2" is not a vision-language model that is supported`},
		{Hub, set("projector_hidden_act", "relu"), `config.json: projector_hidden_act "relu" is not supported`},
		{Hub, set("vision_feature_select_strategy", "best"), `config.json: vision_feature_select_strategy "best" is neither default nor full`},
		{Hub, set("vision_feature_select_strategy", ""), `vision_feature_select_strategy "" is neither default nor full`},
		{Hub, set("vision_feature_layer", []int{-2, -5}), "config.json: vision feature layer -5 of a tower of 3 layers"},
		{Hub, set("vision_feature_layer", []int{-2, -3}), "misshapen   multi_modal_projector.linear_1.weight: [20 12] in the file, [20 24] in the model"},
		{Hub, set("vision_feature_layer", []int{}), "config.json: no vision feature layer is named"},
		{Hub, set("vision_feature_layer", "last"), `config.json: vision_feature_layer "last" is neither a number nor a list of numbers`},
		{Hub, set("vision_feature_layer", -9), "config.json: vision feature layer -9 of a tower of 3 layers"},
		{Hub, set("text_config", map[string]any{"model_type": "gpt2"}), `config.json: text_config: model_type "gpt2" is not supported`},
		{Hub, set("vision_config", map[string]any{"model_type": "vit"}), `config.json: vision_config: vision model_type "vit" is not supported`},
		{Hub, set("multimodal_projector_bias", false), "unexpected  multi_modal_projector.linear_1.bias [20]"},
		{Hub, func(f map[string]any) { f["text_config"].(map[string]any)["num_hidden_layers"] = 3 }, "missing     language_model.model.layers.2.input_layernorm.weight [20]"},
		{Hub, func(f map[string]any) { f["vision_config"].(map[string]any)["image_size"] = 20 }, "misshapen   vision_tower.vision_model.embeddings.position_embedding.weight: [17 12] in the file, [26 12] in the model"},
		{Hub, set("gollava", map[string]any{"merge": 3}), "gollava: merge 3 needs 4×4 patches in whole blocks"},
		{Hub, set("quantization_config", map[string]any{"bits": 4}), "config.json: quantization_config is not supported"},
		{Original, set("mm_resampler_type", "qformer"), `config.json: mm_resampler_type "qformer" is not supported`},
		{Hub, func(f map[string]any) { f["text_config"].(map[string]any)["num_hidden_layers"] = 1 << 27 }, "config.json: text_config: num_hidden_layers 134217728"},
		{Hub, func(f map[string]any) { f["vision_config"].(map[string]any)["image_size"] = 1 << 24 }, "config.json: vision_config: vision config: out of range: image_size 16777216"},
		{Original, set("s2", true), "misshapen   multi_modal_projector.linear_1.weight: [20 12] in the file, [20 36] in the model"},
		{Original, func(f map[string]any) { f["s2"], f["s2_scales"] = true, "16,40" }, "config.json: s2_scales [16 40]: multiples of the tower's 16 pixels are needed"},
		{Original, func(f map[string]any) { f["s2"], f["s2_scales"] = true, "16,x" }, `config.json: s2_scales "16,x": sizes`},
		{Original, set("mm_projector_type", "pooler"), `config.json: mm_projector_type "pooler" is not supported`},
		{Original, set("mm_vision_tower", ""), "config.json: mm_vision_tower is missing"},
		{Original, set("mm_vision_tower", "openai/clip-vit-large-patch14-336"), `mm_vision_tower "openai/clip-vit-large-patch14-336": open`},
		{Original, set("mm_vision_tower", "openai/unknown"), `config.json: mm_vision_tower "openai/unknown": open`},
		{Original, set("mm_vision_select_feature", "cls"), `config.json: mm_vision_select_feature "cls" is neither patch nor cls_patch`},
		{Original, func(f map[string]any) { f["image_aspect_ratio"] = "anyres" }, `config.json: mm_patch_merge_type "flat" is not supported with image_aspect_ratio "anyres"`},
		{Original, func(f map[string]any) { f["image_aspect_ratio"], f["mm_patch_merge_type"] = "anyres", "spatial_unpad" }, "config.json: image_grid_pinpoints"},
		{Original, func(f map[string]any) {
			f["image_aspect_ratio"], f["mm_patch_merge_type"], f["image_grid_pinpoints"] = "anyres", "spatial_unpad", [][]int{{16, 33}}
		}, "config.json: imaging: image_grid_pinpoints: canvas 16×33 is not made of tiles of 16 pixels"},
		{Original, set("tokenizer_padding_side", "top"), `config.json: tokenizer_padding_side "top" is neither left nor right`},
	} {
		_, err := Load(write(c.layout, c.edit), LoadOptions{})
		require.ErrorContains(t, err, c.want)
	}

	dir := write(Hub, func(map[string]any) {})
	require.NoError(t, os.WriteFile(filepath.Join(dir, "generation_config.json"), []byte(`{"eos_token_id": "end"}`), 0o644))
	_, err := Load(dir, LoadOptions{})
	require.ErrorContains(t, err, "generation_config.json: eos_token_id")
	require.NoError(t, os.WriteFile(filepath.Join(dir, "generation_config.json"), []byte(`{"eos_token_id": [2, 5], "pad_token_id": 3}`), 0o644))
	m, err := Load(dir, LoadOptions{})
	require.NoError(t, err)
	require.Equal(t, []int{2, 5}, m.Config().EOS)
	require.Equal(t, 3, m.Config().PAD)
	require.NoError(t, os.Truncate(filepath.Join(dir, "model.safetensors"), 3000))
	_, err = Load(dir, LoadOptions{})
	require.ErrorContains(t, err, "model.safetensors")
	_, err = Load(t.TempDir(), LoadOptions{})
	require.ErrorContains(t, err, "holds neither model.safetensors nor")
}

// Pinpoints come as lists, as the text of a Python list and as grids.
func TestPinpoints(t *testing.T) {
	c := small()
	c.Canvases = []imaging.Size{{W: 16, H: 32}, {W: 32, H: 16}}
	m := newModel(t, c)
	for _, p := range []any{[][]int{{16, 32}, {32, 16}}, "[(16, 32), (32, 16)]", "(1x1),...,(2x2)"} {
		dir := t.TempDir()
		require.NoError(t, Save(dir, m, SaveOptions{Layout: Original}))
		raw, err := os.ReadFile(filepath.Join(dir, "config.json"))
		require.NoError(t, err)
		text, err := json.Marshal(p)
		require.NoError(t, err)
		var f map[string]any
		require.NoError(t, json.Unmarshal(raw, &f))
		f["image_grid_pinpoints"], f["image_aspect_ratio"] = json.RawMessage(text), "anyres_max_3"
		require.NoError(t, atomicfile.WriteJSON(filepath.Join(dir, "config.json"), f))
		got, err := ReadConfig(dir)
		require.NoError(t, err)
		require.Equal(t, 3, got.MaxTiles)
		if s, ok := p.(string); ok && strings.Contains(s, "x") {
			require.Len(t, got.Canvases, 4)
		} else {
			require.Equal(t, c.Canvases, got.Canvases)
		}
	}
}

// Whatever a config.json says, reading it and describing its model's weights ends in an error or a model, never in a
// panic.
func FuzzConfig(f *testing.F) {
	qwen := `{"model_type": "llava_qwen", "mm_vision_tower": "t", "image_aspect_ratio": "anyres_max_9",
		"mm_patch_merge_type": "spatial_unpad", "image_grid_pinpoints": "(1x1),...,(6x6)"}`
	mutate.Fuzz(f, mutate.InFolder(f, "config.json", func(t *testing.T, dir string) error {
		c, err := ReadConfig(dir)
		if err != nil || c.Text.NumHiddenLayers+c.Vision.NumHiddenLayers > 100 {
			return err
		}
		if _, err := New(nil, c); err != nil {
			return err
		}
		(&Connector{config: c}).Layout(imaging.Size{W: 640, H: 480})
		_, err = c.originalConfig()
		return err
	}), append(mutate.Files(f, "testdata/llava/*/config.json", "testdata/*/config.json"), []byte(qwen))...)
}

// Whatever stands in place of any value of a config.json, of either layout, ends in an error or in a model.
func TestMutatedConfigs(t *testing.T) {
	files, err := filepath.Glob("testdata/llava*/*[l5]/config.json")
	require.NoError(t, err)
	require.NotEmpty(t, files)
	for _, path := range files {
		raw, err := os.ReadFile(path)
		require.NoError(t, err)
		dir := t.TempDir()
		for what, b := range mutate.All(raw) {
			require.NoError(t, os.WriteFile(filepath.Join(dir, "config.json"), b, 0o600))
			c, err := ReadConfig(dir)
			if err != nil || c.Text.NumHiddenLayers+c.Vision.NumHiddenLayers > 200 {
				continue
			}
			_, err = New(nil, c)
			require.NoError(t, err, "%s: %s", path, what)
			_, _ = json.Marshal(c)
			_, _ = c.originalConfig()
		}
	}
}

// The end tokens of the whole model's config count where generation_config.json says nothing, and are written again.
func TestEndTokensOfTheOuterConfig(t *testing.T) {
	var c Config
	text := `"text_config": {"model_type": "llama", "vocab_size": 10, "hidden_size": 8, "intermediate_size": 8, "num_hidden_layers": 1, "num_attention_heads": 2, "eos_token_id": 2}`
	for outer, want := range map[string][]int{`"eos_token_id": 7`: {7}, `"eos_token_id": [7, 8]`: {7, 8}, `"eos_token_id": null`: {2}, `"pad_token_id": 5`: {2}} {
		require.NoError(t, json.Unmarshal([]byte(`{"model_type": "llava", `+text+`, `+outer+`}`), &c))
		require.Equal(t, want, c.ends(), outer)
		raw, err := json.Marshal(c)
		require.NoError(t, err)
		var again Config
		require.NoError(t, json.Unmarshal(raw, &again))
		require.Equal(t, want, again.ends(), outer)
		require.Equal(t, c.padding(), again.padding(), outer)
	}
}

// A stored head that differs from the embeddings counts, though the config ties them.
func TestTiedFlagWithAHeadOfItsOwn(t *testing.T) {
	dir := t.TempDir()
	require.NoError(t, os.CopyFS(dir, os.DirFS("testdata/llava/transformers-4")))
	path := filepath.Join(dir, "config.json")
	raw, err := os.ReadFile(path)
	require.NoError(t, err)
	want, err := Load(dir, LoadOptions{})
	require.NoError(t, err)
	require.False(t, ConfigOf(want).Text.TieWordEmbeddings)
	text := strings.ReplaceAll(string(raw), `"tie_word_embeddings": false`, `"tie_word_embeddings": true`)
	require.NotEqual(t, string(raw), text)
	require.NoError(t, os.WriteFile(path, []byte(text), 0o600))
	got, err := Load(dir, LoadOptions{})
	require.NoError(t, err)
	require.Equal(t, want.Language.Head().(*nn.Linear).Weight.Data(), got.Language.Head().(*nn.Linear).Weight.Data())
	require.False(t, ConfigOf(got).Text.TieWordEmbeddings)
}
