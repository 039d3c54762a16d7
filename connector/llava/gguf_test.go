package llava

import (
	"encoding/json"
	"io"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/gollava/gollava/connector"
	"github.com/gollava/gollava/data/imaging"
	"github.com/gollava/gollava/internal/gguf"
	"github.com/gollava/gollava/llm"
	"github.com/gollava/gollava/nn"
	"github.com/gollava/gollava/tensor"
	"github.com/gollava/gollava/vit"
)

// halved rounds a patch embedding to float16, as which an mmproj stores it.
func halved(m *connector.VLM) *connector.VLM {
	for name, p := range nn.Params(m) {
		if strings.HasSuffix(name, "patch_embedding.weight") {
			for i, v := range p.Data() {
				p.Data()[i] = float32(int(v*1024)) / 1024
			}
		}
	}
	return m
}

// seen are the features of one view of noise, as tokens.
func seen(m *connector.VLM) []float32 {
	p := picture(1)
	x := tensor.From(p.Data, p.N, 3, p.H, p.W).NoGrad()
	c := ConfigOf(m)
	f := vit.Features(m.Vision, x, c.Select)
	return m.Connector.(*Connector).Projector.Forward(f).Data()
}

// Every kind of model that GGUF can express is the same after it was written and read.
func TestGGUFRoundTrip(t *testing.T) {
	system := "You see."
	siglip := func(c *Config) {
		no := false
		c.Vision.ModelType, c.Vision.UseHead, c.Vision.HiddenAct = "siglip_vision_model", &no, "gelu_pytorch_tanh"
	}
	for name, change := range map[string]func(c *Config){
		"plain":   func(*Config) {},
		"linear":  func(c *Config) { c.Projector = "linear" },
		"gelu":    func(c *Config) { c.Vision.HiddenAct = "gelu" },
		"siglip":  siglip,
		"layers":  func(c *Config) { c.Select.Layers = []int{0, 1, -2} },
		"pad":     func(c *Config) { c.Aspect = "pad" },
		"tiles":   func(c *Config) { c.Aspect, c.Canvases = "anyres", []imaging.Size{{W: 32, H: 16}, {W: 16, H: 48}} },
		"pruned":  func(c *Config) { c.Aspect, c.Canvases, c.MaxTiles = "anyres", []imaging.Size{{W: 32, H: 16}}, 3 },
		"mistral": func(c *Config) { c.Text.ModelType = "mistral" },
		"ours": func(c *Config) {
			c.Template, c.System, c.MaxLength, c.PaddingSide = "llava_v0", &system, 77, "left"
		},
	} {
		c := small()
		change(&c)
		m := halved(newModel(t, c))
		p := c.processor()
		p.Mean[1], p.Filter = 0.25, imaging.Bilinear
		dir := t.TempDir()
		path := filepath.Join(dir, "model.gguf")
		var said []string
		mmproj, err := SaveGGUF(path, &connector.Assistant{Model: m, Processor: p}, llm.GGUFOptions{Type: "f32",
			OnTensor: func(name, dtype string, rms, changed float64) {
				said = append(said, name)
				require.Zero(t, changed, name)
			}})
		require.NoError(t, err, name)
		require.Equal(t, filepath.Join(dir, "mmproj-model.gguf"), mmproj)
		require.Subset(t, said, []string{"v.patch_embd.weight", "mm.0.bias", "blk.1.attn_q.weight"})
		require.NotContains(t, said, "v.blk.2.ln1.weight", "a block after the features")
		require.True(t, Describes(path) && Describes(dir), name)
		for _, from := range []string{path, dir} {
			back, err := Load(from, LoadOptions{})
			require.NoError(t, err, name)
			require.Equal(t, seen(m), seen(back), name)
			x := ConfigOf(back)
			require.Equal(
				t,
				[]any{
					c.Projector,
					c.Aspect,
					c.Canvases,
					c.MaxTiles,
					c.Template,
					c.System,
					c.MaxLength,
					c.PaddingSide,
				},
				[]any{
					x.Projector,
					x.Aspect,
					x.Canvases,
					x.MaxTiles,
					x.Template,
					x.System,
					x.MaxLength,
					x.PaddingSide,
				},
				name,
			)
			c.Arrange(p)
			require.Equal(t, p, x.processor(), name)
			read, err := ReadConfig(from)
			require.NoError(t, err)
			require.Equal(t, x, read)
		}
		alias, err := Load(path, LoadOptions{Alias: true, Tower: mmproj})
		require.NoError(t, err)
		require.Equal(t, seen(m), seen(alias), name)
		if c.Next() || len(c.Select.Layers) > 1 {
			continue
		}
		back, err := Load(path, LoadOptions{}) // to transformers' layout, with the layers that nobody reads
		require.NoError(t, err)
		require.NoError(t, Save(filepath.Join(dir, "again"), back, SaveOptions{Layout: Original}))
		hub, err := Load(filepath.Join(dir, "again"), LoadOptions{})
		require.NoError(t, err)
		require.Equal(t, seen(m), seen(hub), name)
	}
}

// What GGUF cannot express is not written.
func TestGGUFCannotExpress(t *testing.T) {
	for want, change := range map[string]func(c *Config){
		"mlp3x_gelu":                 func(c *Config) { c.Projector = "mlp3x_gelu" },
		"mlp2x_linear":               func(c *Config) { c.Projector = "mlp2x_linear" },
		"merge 2":                    func(c *Config) { c.Merge = 2 },
		"slot_std 1":                 func(c *Config) { c.SlotStd = 1 },
		"without bias":               func(c *Config) { c.NoBias = true },
		"mm_use_im_start_end":        func(c *Config) { c.Marks = true },
		"cls_patch":                  func(c *Config) { c.Select.Class = "cls_patch" },
		"layers [2 1]":               func(c *Config) { c.Select.Layers = []int{2, 1} },
		"layers [0]":                 func(c *Config) { c.Select.Layers = []int{0} },
		"gelu_pytorch_tanh":          func(c *Config) { c.Vision.HiddenAct = "gelu_pytorch_tanh" },
		"4 channels":                 func(c *Config) { c.Vision.NumChannels = 4 },
		"intermediate_size 12":       func(c *Config) { c.Vision.IntermediateSize = 12 },
		"sliding_window 4":           func(c *Config) { c.Text.ModelType, c.Text.SlidingWindow = "mistral", 4 },
		`"gizmo" is not known`:       func(*Config) {},
		"rope_type \"dynamic\" cann": func(c *Config) { c.Text.RoPE.Type, c.Text.RoPE.Factor = "dynamic", 2 },
	} {
		c := small()
		change(&c)
		kind := "f16"
		if strings.Contains(want, "gizmo") {
			kind = "gizmo"
		}
		_, err := SaveGGUF(filepath.Join(t.TempDir(), "x.gguf"), &connector.Assistant{Model: newModel(t, c)},
			llm.GGUFOptions{Type: kind})
		require.ErrorContains(t, err, want)
	}
}

// written are a small model's two files, the second after edit.
func written(
	t *testing.T,
	edit func(meta map[string]any, tensors []gguf.NewTensor) []gguf.NewTensor,
) (model, mmproj string, m *connector.VLM) {
	c := small()
	m = halved(newModel(t, c))
	model = filepath.Join(t.TempDir(), "model.gguf")
	mmproj, err := SaveGGUF(model, &connector.Assistant{Model: m}, llm.GGUFOptions{Type: "f32"})
	require.NoError(t, err)
	meta, err := c.mmproj(nil, gguf.F32)
	require.NoError(t, err)
	tensors, err := mmprojTensors(m, gguf.F32, nil)
	require.NoError(t, err)
	require.NoError(t, gguf.Write(mmproj, meta, edit(meta, tensors)))
	return model, mmproj, m
}

func renameTensors(names ...string) func(map[string]any, []gguf.NewTensor) []gguf.NewTensor {
	return func(_ map[string]any, tensors []gguf.NewTensor) []gguf.NewTensor {
		for i := range tensors {
			tensors[i].Name = strings.NewReplacer(names...).Replace(tensors[i].Name)
		}
		return tensors
	}
}

// Files of older converters call fc1 ffn_down and fc2 ffn_up, name no feature_layer, and keep the newline under model.
func TestGGUFOfOldConverters(t *testing.T) {
	swap := renameTensors("ffn_up", "ffn_down", "ffn_down", "ffn_up")
	model, _, m := written(t, func(meta map[string]any, tensors []gguf.NewTensor) []gguf.NewTensor {
		delete(meta, clipVision+"feature_layer")
		delete(meta, clipVision+"image_aspect_ratio")
		return swap(meta, tensors)
	})
	back, err := Load(model, LoadOptions{})
	require.NoError(t, err)
	require.Equal(t, seen(m), seen(back))
	require.Equal(t, "pad", ConfigOf(back).Aspect, "as LLaVA-1.5 was trained")

	// Without the key all blocks run: with one more than the features need, they are others.
	model, _, m = written(t, func(meta map[string]any, tensors []gguf.NewTensor) []gguf.NewTensor {
		delete(meta, clipVision+"feature_layer")
		meta[clipVision+"block_count"] = uint32(1)
		return slices.DeleteFunc(tensors,
			func(x gguf.NewTensor) bool { return strings.HasPrefix(x.Name, "v.blk.1.") })
	})
	back, err = Load(model, LoadOptions{})
	require.NoError(t, err)
	require.NotEqual(t, seen(m), seen(back))

	// Only weights exchanged, not biases: no converter does that.
	model, mmproj, _ := written(t,
		renameTensors("ffn_up.weight", "ffn_down.weight", "ffn_down.weight", "ffn_up.weight"))
	_, err = Load(model, LoadOptions{})
	require.ErrorContains(t, err, mmproj)
	require.ErrorContains(t, err, "mlp.fc1.bias")
}

// Every fault of a vision part is an error that names its file and what is wrong.
func TestGGUFRefuses(t *testing.T) {
	set := func(key string, v any) func(map[string]any, []gguf.NewTensor) []gguf.NewTensor {
		return func(meta map[string]any, tensors []gguf.NewTensor) []gguf.NewTensor {
			if meta[key] = v; v == nil {
				delete(meta, key)
			}
			return tensors
		}
	}
	sized := func(name string, shape ...int) func(map[string]any, []gguf.NewTensor) []gguf.NewTensor {
		return func(_ map[string]any, tensors []gguf.NewTensor) []gguf.NewTensor {
			i := slices.IndexFunc(tensors, func(x gguf.NewTensor) bool { return x.Name == name })
			if i < 0 {
				i, tensors = len(tensors), append(tensors, gguf.NewTensor{Name: name, Type: gguf.F32})
			}
			p := tensor.New(shape...)
			tensors[i].Shape, tensors[i].Write = shape,
				func(w io.Writer) error { _, err := w.Write(p.Bytes()); return err }
			return tensors
		}
	}
	const v = clipVision
	for want, edit := range map[string]func(map[string]any, []gguf.NewTensor) []gguf.NewTensor{
		"general.architecture: is missing":            set("general.architecture", nil),
		`general.architecture: is "llama"`:            set("general.architecture", "llama"),
		"clip.has_vision_encoder":                     set("clip.has_vision_encoder", false),
		"clip.has_llava_projector: is false":          set("clip.has_llava_projector", false),
		"clip.has_audio_encoder: is true":             set("clip.has_audio_encoder", true),
		"clip.use_silu: is true":                      set("clip.use_silu", true),
		"clip.projector_type: is missing":             set("clip.projector_type", nil),
		`"ldpv2" is not supported`:                    set("clip.projector_type", "ldpv2"),
		"feed_forward_length: is missing":             set(v+"feed_forward_length", nil),
		"block_count: is 9":                           set(v+"block_count", uint32(9)),
		"layer_norm_epsilon: is missing":              set(v+"attention.layer_norm_epsilon", nil),
		"layer_norm_epsilon: is 0":                    set(v+"attention.layer_norm_epsilon", float32(0)),
		"head_count: is 5":                            set(v+"attention.head_count", uint32(5)),
		"v.position_embd.weight: is [17 12]":          set(v+"image_size", uint32(12)),
		"patch_size: is 17":                           set(v+"patch_size", uint32(17)),
		"feature_layer: has -1":                       set(v+"feature_layer", []int32{-1}),
		"feature_layer: has 3":                        set(v+"feature_layer", []int32{3}),
		"feature_layer: is [2 1]":                     set(v+"feature_layer", []int32{2, 1}),
		"feature_layer: names no layer":               set(v+"feature_layer", []int32{}),
		"feature_layer: is 2 (uint32): it must be an": set(v+"feature_layer", uint32(2)),
		"image_mean: has 2 numbers":                   set(v+"image_mean", []float32{1, 2}),
		"image_std: channel 1 has 0":                  set(v+"image_std", []float32{1, 0, 1}),
		`image_aspect_ratio: "round"`:                 set(v+"image_aspect_ratio", "round"),
		"image_grid_pinpoints: is missing":            set(v+"image_aspect_ratio", "anyres"),
		ggufPixels:                                    set(ggufPixels, "{"),
		"feed_forward_length: is 12, as is": both(set(v+"feed_forward_length", uint32(12)),
			sized("v.blk.0.ffn_up.weight", 12, 12)),
		"v.post_ln.weight: normalises":              sized("v.post_ln.weight", 12),
		"v.blk.0.surprise.weight":                   sized("v.blk.0.surprise.weight", 12),
		"mm.2.weight: is [20]: it must be a matrix": sized("mm.2.weight", 20),
		"tokens of width 21": both(both(sized("mm.0.weight", 21, 12), sized("mm.0.bias", 21)),
			both(sized("mm.2.weight", 21, 21), sized("mm.2.bias", 21))),
		"multi_modal_projector.linear_1.weight":       sized("mm.0.weight", 20, 13),
		"vision_tower.vision_model.pre_layrnorm.bias": renameTensors("v.pre_ln.bias", "v.pre_ln.beta"),
		"image_grid_pinpoints: has 3 numbers": both(set(v+"image_aspect_ratio", "anyres"),
			set(v+"image_grid_pinpoints", []int32{16, 32, 16})),
		"has a side of -16 pixels": both(set(v+"image_aspect_ratio", nil),
			set(v+"image_grid_pinpoints", []int32{16, -16})),
		"canvas 16×24 is not made of tiles": both(set(v+"image_aspect_ratio", "anyres_max_4"),
			set(v+"image_grid_pinpoints", []int32{16, 24})),
		`mm_patch_merge_type: "flat"`: both(set(v+"image_aspect_ratio", "anyres"),
			both(set(v+"image_grid_pinpoints", []int32{16, 32}),
				set(v+"mm_patch_merge_type", "flat"))),
		"missing     image_newline [20]": both(set(v+"image_aspect_ratio", "anyres"),
			set(v+"image_grid_pinpoints", []int32{16, 32})),
	} {
		model, mmproj, _ := written(t, edit)
		_, err := Load(model, LoadOptions{Tower: mmproj})
		require.ErrorContains(t, err, want)
		require.ErrorContains(t, err, mmproj, want)
	}
}

func both(
	a, b func(map[string]any, []gguf.NewTensor) []gguf.NewTensor,
) func(map[string]any, []gguf.NewTensor) []gguf.NewTensor {
	return func(meta map[string]any, tensors []gguf.NewTensor) []gguf.NewTensor { return b(meta, a(meta, tensors)) }
}

// The two files find each other where that is certain, and nowhere else.
func TestFindGGUF(t *testing.T) {
	model, mmproj, _ := written(t, func(_ map[string]any, x []gguf.NewTensor) []gguf.NewTensor { return x })
	dir := filepath.Dir(model)
	copied := func(from, name string) string {
		raw, err := os.ReadFile(from)
		require.NoError(t, err)
		to := filepath.Join(t.TempDir(), name)
		require.NoError(t, os.WriteFile(to, raw, 0o600))
		return to
	}
	_, err := Load(mmproj, LoadOptions{})
	require.ErrorContains(t, err, "this is the vision part of a model (mmproj)")
	alone := copied(model, "alone.gguf")
	require.False(t, Describes(alone))
	_, err = Load(alone, LoadOptions{})
	require.ErrorContains(t, err, "mmproj-alone.gguf")
	_, err = Load(alone, LoadOptions{Tower: mmproj})
	require.NoError(t, err)
	_, err = Load(alone, LoadOptions{Tower: alone})
	require.ErrorContains(t, err, "is this its language model?")

	require.NoError(t, os.Rename(mmproj, filepath.Join(dir, "vision.gguf"))) // the only one
	require.True(t, Describes(model) && Describes(dir))
	require.NoError(t, os.Link(alone, filepath.Join(dir, "other.gguf"))) // of which model?
	require.False(t, Describes(model))
	_, err = Load(dir, LoadOptions{})
	require.ErrorContains(t, err, "several language models")
	require.NoError(t, os.Rename(filepath.Join(dir, "vision.gguf"), mmproj))
	require.True(t, Describes(model))
	require.False(t, Describes(filepath.Join(dir, "other.gguf")))
}

// An assistant in GGUF answers with the tokenizer of the language model's file.
func TestOpenGGUF(t *testing.T) {
	_, err := Open(filepath.Join("testdata", "gguf_q8_0", "model.gguf"), LoadOptions{}) // it has none
	require.ErrorContains(t, err, "tokenizer.ggml.tokens: is missing")
	m, err := Load(filepath.Join("testdata", "gguf_q8_0"), LoadOptions{})
	require.NoError(t, err)
	kept := map[tensor.DType]int{}
	for _, p := range nn.Params(m.Language) {
		kept[p.DType()]++
	}
	require.Equal(t, []tensor.DType{tensor.Float32, tensor.Q8_0}, slices.Sorted(maps.Keys(kept)),
		"weights stay in their blocks")
}

// A LLaVA in 4 bits names what is not quantised by the names that transformers 4 and 5 have in memory.
func TestSaveFourBits(t *testing.T) {
	c := small()
	dir := t.TempDir()
	require.NoError(t, Save(filepath.Join(dir, "wide"), newModel(t, c), SaveOptions{}))
	m, err := Load(filepath.Join(dir, "wide"), LoadOptions{DType: func(name string, stored tensor.DType) tensor.DType {
		if llm.BlockLinear(name) {
			return tensor.NF4D
		}
		return stored
	}})
	require.NoError(t, err)
	for _, layout := range []Layout{Hub, Original} {
		to := filepath.Join(dir, "narrow", strconv.Itoa(int(layout)))
		require.NoError(t, Save(to, m, SaveOptions{Layout: layout}))
		var f struct {
			Q struct {
				Skip []string `json:"llm_int8_skip_modules"`
				Type string   `json:"bnb_4bit_quant_type"`
			} `json:"quantization_config"`
		}
		raw, err := os.ReadFile(filepath.Join(to, "config.json"))
		require.NoError(t, err)
		require.NoError(t, json.Unmarshal(raw, &f))
		require.Equal(t, "nf4", f.Q.Type)
		require.Subset(t, f.Q.Skip, []string{"lm_head", "vision_tower", "model.vision_tower", "multi_modal_projector",
			"model.multi_modal_projector"})
		back, err := Load(to, LoadOptions{})
		require.NoError(t, err)
		same(t, m, back)
	}
}
