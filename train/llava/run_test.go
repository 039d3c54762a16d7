package llava_test

import (
	"math/rand/v2"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/gollava/gollava/connector"
	layout "github.com/gollava/gollava/connector/llava"
	"github.com/gollava/gollava/data/chat"
	"github.com/gollava/gollava/data/imaging"
	"github.com/gollava/gollava/data/tokenizer"
	"github.com/gollava/gollava/llm"
	"github.com/gollava/gollava/lora"
	"github.com/gollava/gollava/nn"
	"github.com/gollava/gollava/tensor"
	"github.com/gollava/gollava/train"
	"github.com/gollava/gollava/train/llava"
	"github.com/gollava/gollava/vit"
)

// TestTaskKeepsTheModelsWays: a finished model is fine-tuned as it was trained: its images in tiles that anyres_max
// shrinks, its marks around them, its own template.
func TestTaskKeepsTheModelsWays(t *testing.T) {
	t.Chdir(t.TempDir())
	tiny("toy")
	tok, err := tokenizer.Load("toy/llm")
	require.NoError(t, err)
	for _, mark := range []string{chat.ImageStart, chat.ImageEnd} {
		tok.AddTokens(tokenizer.AddedToken{Content: mark, Special: true})
	}
	r := rand.New(rand.NewPCG(3, 3))
	tower, err := vit.Load("toy/vision", nn.LoadOptions{})
	require.NoError(t, err)
	language, err := llm.New(r, llm.Config{ModelType: "mistral", VocabSize: tok.Size(), HiddenSize: 24, IntermediateSize: 48, NumHiddenLayers: 1,
		NumAttentionHeads: 4, NumKeyValueHeads: 2, HeadDim: 6, MaxPositionEmbeddings: 2048, NormEps: 1e-5, HiddenAct: "silu",
		RoPE: nn.RoPEConfig{Type: "default", Theta: 1e4}, BOS: 1, EOS: []int{2}, PAD: -1})
	require.NoError(t, err)
	m, err := layout.Join(r, tower, language, layout.Config{Projector: "mlp2x_gelu", Select: vit.Select{Layers: []int{-2}, Class: "patch"}, Image: -200,
		Aspect: "anyres_max_1", MaxTiles: 1, Canvases: []imaging.Size{{W: 64, H: 64}, {W: 96, H: 96}}, Marks: true})
	require.NoError(t, err)
	require.NoError(t, layout.Save("toy/model", m, layout.SaveOptions{Layout: layout.Original, Tokenizer: tok}))

	c := llava.Config{Stage: "task", Model: "toy/model", Data: "toy/instruct/llava_instruct.json", Images: "toy/instruct/images", Out: "toy/task",
		Layout: "original", Steps: 1, Batch: 2}
	run, err := llava.Open(t.Context(), c, nil)
	require.NoError(t, err)
	defer run.Close()
	require.Equal(t, "mistral_instruct", run.Assistant().Template.Name)
	stage, err := run.Stage(t.Context())
	require.NoError(t, err)
	b, err := stage.Batches(t.Context(), 0)
	require.NoError(t, err)
	ids := b.IDs.IntData()
	first := slices.Index(ids, chat.ImageIndex)
	require.Equal(t, "<im_start>", tok.Token(ids[first-1]))
	tokens := m.Connector.Layout(b.Sizes[0]).Tokens
	require.Less(t, tokens, 16+8*9, "shrunk")
	require.Equal(t, "<im_end>", tok.Token(ids[first+tokens]))

	_, err = llava.Train(t.Context(), c, train.Options{})
	require.NoError(t, err)
	again, err := layout.ReadConfig(filepath.Join("toy", "task"))
	require.NoError(t, err)
	require.Equal(t, []any{true, 1}, []any{again.Marks, again.MaxTiles})

	// The end of a row of tiles learns where all of the language model does, at its rate.
	newline := func(dir string) []float32 {
		m, err := layout.Load(dir, layout.LoadOptions{})
		require.NoError(t, err)
		return m.Connector.(*layout.Connector).Newline.Data()
	}
	was := newline("toy/model")
	c.Steps, c.Out = 3, "toy/longer" // the first step of a warm-up moves nothing
	_, err = llava.Train(t.Context(), c, train.Options{})
	require.NoError(t, err)
	for i, x := range newline("toy/longer") {
		require.NotEqual(t, was[i], x)
	}
	c.Out = "toy/frozen"
	require.NoError(t, c.Set("lr", "0")) // the projector alone
	require.NoError(t, c.Set("projector_lr", "0.001"))
	_, err = llava.Train(t.Context(), c, train.Options{})
	require.NoError(t, err)
	require.Equal(t, was, newline("toy/frozen"))
}

// TestQLoRA: with bits 4 the blocks of the language model are frozen in NF4, everything else is as it was, and adapters
// over them learn.
func TestQLoRA(t *testing.T) {
	t.Chdir(t.TempDir())
	tiny("toy")
	c := llava.Config{Stage: "lora", Vision: "toy/vision", LLM: "toy/llm", Data: "toy/instruct/llava_instruct.json",
		Images: "toy/instruct/images",
		Out:    "toy/q", Steps: 3, Batch: 2, Bits: 4}
	run, err := llava.Open(t.Context(), c, nil)
	require.NoError(t, err)
	kinds := map[tensor.DType]int{}
	for name, p := range nn.Params(run.Assistant().Model) {
		if inside := strings.HasPrefix(name, "language_model.") && strings.Contains(name, ".layers."); inside &&
			p.Rank() == 2 && !strings.Contains(name, "lora_") {
			require.Equal(t, tensor.NF4D, p.DType(), name)
		} else {
			require.Equal(t, tensor.Float32, p.DType(), name)
		}
		kinds[p.DType()]++
	}
	require.Greater(t, kinds[tensor.NF4D], 6)
	run.Close()
	report, err := llava.Train(t.Context(), c, train.Options{})
	require.NoError(t, err)
	require.NotNil(t, report)
	require.FileExists(t, filepath.Join("toy", "q", "adapter_config.json"))

	c.Stage = "tune"
	_, err = c.Resolve()
	require.ErrorContains(t, err, "bits 4: weights in blocks do not train")
	c.Stage, c.Bits = "lora", 3
	_, err = c.Resolve()
	require.ErrorContains(t, err, "bits 3")
}

// TestTrainGGUF: adapters train over a model in GGUF, with bits 4 over the very blocks of its file, and answer with it.
func TestTrainGGUF(t *testing.T) {
	t.Chdir(t.TempDir())
	tiny("toy")
	tok, err := tokenizer.Load("toy/llm")
	require.NoError(t, err)
	r := rand.New(rand.NewPCG(3, 3))
	tower, err := vit.Load("toy/vision", nn.LoadOptions{})
	require.NoError(t, err)
	language, err := llm.New(r, llm.Config{ModelType: "llama", VocabSize: tok.Size(), HiddenSize: 32,
		IntermediateSize: 64, NumHiddenLayers: 1,
		NumAttentionHeads: 4, NumKeyValueHeads: 2, HeadDim: 8, MaxPositionEmbeddings: 2048, NormEps: 1e-5,
		HiddenAct: "silu",
		RoPE:      nn.RoPEConfig{Type: "default", Theta: 1e4}, BOS: 1, EOS: []int{2}, PAD: -1})
	require.NoError(t, err)
	m, err := layout.Join(r, tower, language, layout.Config{Projector: "mlp2x_gelu",
		Select: vit.Select{Layers: []int{-2}, Class: "patch"}, Image: -200, Aspect: "pad"})
	require.NoError(t, err)
	const path = "toy/gguf/model.gguf"
	_, err = layout.SaveGGUF(path, &connector.Assistant{Model: m, Tokenizer: tok}, llm.GGUFOptions{Type: "q8_0"})
	require.NoError(t, err)

	c := llava.Config{Stage: "task_lora", Model: path, Data: "toy/instruct/llava_instruct.json",
		Images: "toy/instruct/images", Out: "toy/q", Steps: 2, Batch: 2, Bits: 4}
	run, err := llava.Open(t.Context(), c, nil)
	require.NoError(t, err)
	blocks := 0
	for _, p := range nn.Params(run.Assistant().Model) {
		if p.DType().Quantized() {
			require.Equal(t, tensor.Q8_0, p.DType())
			blocks++
		}
	}
	require.Equal(t, 7, blocks)
	require.NoError(t, run.Close())
	_, err = llava.Train(t.Context(), c, train.Options{})
	require.NoError(t, err)
	a, err := layout.Open(path, layout.LoadOptions{})
	require.NoError(t, err)
	_, err = lora.Load(a.Model, "toy/q", layout.Namings(a.Model)...)
	require.NoError(t, err)
	_, err = a.Reply(t.Context(), []chat.Turn{{From: chat.Human, Value: "what is it?"}}, nil, nil)
	require.NoError(t, err)
}

// TestMergeAndSystem: with merge 2 an image of 4×4 patches is 4 tokens, and what was trained says so, and which system
// text it was trained with.
func TestMergeAndSystem(t *testing.T) {
	t.Chdir(t.TempDir())
	tiny("toy")
	system := "Look: answer \"briefly\"."
	c := llava.Config{Stage: "align", Vision: "toy/vision", LLM: "toy/llm", Data: "toy/pretrain/chat.json",
		Images: "toy/pretrain/images", Out: "toy/align", Steps: 1, Batch: 2, Merge: 2}
	_, err := llava.Train(t.Context(), c, train.Options{})
	require.NoError(t, err)
	c.Stage, c.Projector, c.Data, c.Out = "lora", "toy/align", "toy/instruct/llava_instruct.json", "toy/tune"
	c.Images, c.System = "toy/instruct/images", &system
	c.LoRA = llava.LoRA{Rank: 2, Alpha: 4}
	_, err = llava.Train(t.Context(), c, train.Options{})
	require.NoError(t, err)

	a, err := layout.Open("toy/tune", layout.LoadOptions{Base: "toy/llm"})
	require.NoError(t, err)
	require.Equal(t, system, a.Template.System)
	require.Equal(t, 4, a.Model.Connector.Layout(imaging.Size{W: 32, H: 32}).Tokens)
	again, err := llava.ReadConfig("toy/tune/run.yaml")
	require.NoError(t, err)
	require.Equal(t, system, *again.System)

	c.Projector, c.Merge, c.Out = "", 3, "toy/three"
	_, err = llava.Open(t.Context(), c, nil)
	require.ErrorContains(t, err, "merge 3 needs 4×4 patches in whole blocks")
	c.Template, c.Merge, c.Out = "plain", 2, "toy/plain"
	_, err = llava.Open(t.Context(), c, nil)
	require.ErrorContains(t, err, "system: template plain has no place for a system text")
	c.Stage, c.Vision, c.LLM, c.Model, c.Template, c.System, c.LoRA = "task", "", "", "toy/tune", "", nil, llava.LoRA{}
	_, err = c.Resolve()
	require.ErrorContains(t, err, "merge 2: a model is given")
}

// TestScales: what was aligned at two scales is tuned and asked at two scales; what cannot be kept is refused before
// anything is trained.
func TestScales(t *testing.T) {
	t.Chdir(t.TempDir())
	tiny("toy")
	c := llava.Config{Stage: "align", Vision: "toy/vision", LLM: "toy/llm", Data: "toy/pretrain/chat.json",
		Images: "toy/pretrain/images", Out: "toy/align", Steps: 1, Batch: 2, S2Scales: "32,64", Features: "toy/features"}
	_, err := llava.Train(t.Context(), c, train.Options{})
	require.NoError(t, err)
	c.Stage, c.Projector, c.Data, c.Out = "lora", "toy/align", "toy/instruct/llava_instruct.json", "toy/tune"
	c.Images, c.Features, c.LoRA = "toy/instruct/images", "", llava.LoRA{Rank: 2, Alpha: 4}
	_, err = llava.Train(t.Context(), c, train.Options{})
	require.NoError(t, err)
	a, err := layout.Open("toy/tune", layout.LoadOptions{Base: "toy/llm"})
	require.NoError(t, err)
	require.Equal(t, []int{32, 64}, layout.ConfigOf(a.Model).Scales)
	require.Equal(t, imaging.Size{W: 64, H: 64}, a.Processor.Crop)
	require.Equal(t, 16, a.Model.Connector.Layout(imaging.Size{W: 32, H: 32}).Tokens)
	a.Options.MaxNewTokens = 4
	_, err = a.Reply(t.Context(), []chat.Turn{{From: chat.Human, Value: "<image>\nWhat is this?"}},
		[]*imaging.RGB{imaging.New(20, 30)}, nil)
	require.NoError(t, err)

	for _, x := range []struct {
		edit func(*llava.Config)
		want string
	}{
		{func(c *llava.Config) { c.S2Scales = "32,48" }, "s2_scales [32 48]: multiples of the tower's 32 pixels"},
		{func(c *llava.Config) { c.S2Scales = "32;64" }, `s2_scales "32;64": sizes such as 336,672,1008`},
		{func(c *llava.Config) { c.Stage, c.LoRA, c.Layout = "tune", llava.LoRA{}, "hub" }, "save in the original layout"},
		{func(c *llava.Config) { c.S2Scales = "" }, "misshapen"},
		{func(c *llava.Config) {
			c.Stage, c.Vision, c.LLM, c.Model, c.LoRA = "task", "", "", "toy/tune", llava.LoRA{}
		}, "a model has its own scales"},
	} {
		other := c
		other.Out = "toy/other"
		x.edit(&other)
		_, err := llava.Open(t.Context(), other, nil)
		require.ErrorContains(t, err, x.want)
		require.NoDirExists(t, "toy/other")
	}
}

// TestTwoTowers: a DINOv2 beside the CLIP, from the file to the trained folder and on; cached features are those of
// both towers.
func TestTwoTowers(t *testing.T) {
	t.Chdir(t.TempDir())
	tiny("toy")
	dino := func(dir string, seed uint64, patch int) {
		tower, err := vit.New(rand.New(rand.NewPCG(seed, 1)), vit.VisionConfig{ModelType: "dinov2", HiddenSize: 12,
			IntermediateSize: 24, MLPRatio: 2, NumHiddenLayers: 2, NumAttentionHeads: 2, NumChannels: 3, ImageSize: 40,
			PatchSize: patch, HiddenAct: "gelu", LayerNormEps: 1e-6, LayerScale: 1})
		require.NoError(t, err)
		require.NoError(t, vit.Save(dir, tower, nn.SaveOptions{}))
	}
	dino("toy/dino", 5, 8)
	dino("toy/other-dino", 6, 8)
	dino("toy/coarse", 5, 10)
	c := llava.Config{Stage: "align", Vision: "toy/vision", Second: "toy/dino", LLM: "toy/llm",
		Data: "toy/pretrain/chat.json", Images: "toy/pretrain/images", Out: "toy/align", Steps: 1, Batch: 2,
		Features: "toy/features", ProjectorType: layout.FusedMLP}
	_, err := llava.Train(t.Context(), c, train.Options{})
	require.NoError(t, err)
	plain := c
	plain.Out, plain.Features = "toy/plain", ""
	_, err = llava.Train(t.Context(), plain, train.Options{})
	require.NoError(t, err)
	cached, err := os.ReadFile("toy/align/mm_projector.safetensors")
	require.NoError(t, err)
	computed, err := os.ReadFile("toy/plain/mm_projector.safetensors")
	require.NoError(t, err)
	require.Equal(t, computed, cached)
	other := c
	other.Out, other.Second = "toy/else", "toy/other-dino"
	run, err := llava.Open(t.Context(), other, nil)
	require.NoError(t, err)
	require.NoError(t, run.Close())
	caches, err := os.ReadDir("toy/features")
	require.NoError(t, err)
	require.Len(t, caches, 2, "one for each second tower")
	again := c
	again.Second = "toy/other-dino"
	again.Features = ""
	_, err = llava.Train(t.Context(), again, train.Options{Resume: true})
	require.ErrorContains(t, err, "second_vision_tower")

	c.Stage, c.Projector, c.Data, c.Out = "lora", "toy/align", "toy/instruct/llava_instruct.json", "toy/tune"
	c.Images, c.Features, c.LoRA = "toy/instruct/images", "", llava.LoRA{Rank: 2, Alpha: 4}
	_, err = llava.Train(t.Context(), c, train.Options{})
	require.NoError(t, err)
	c.Stage, c.Out, c.LoRA, c.Layout = "tune", "toy/full", llava.LoRA{}, "original"
	_, err = llava.Train(t.Context(), c, train.Options{})
	require.NoError(t, err)
	next := llava.Config{Stage: "task", Model: "toy/full", Data: c.Data, Images: c.Images, Out: "toy/next", Steps: 1,
		Batch: 2, Layout: "original"}
	_, err = llava.Train(t.Context(), next, train.Options{})
	require.NoError(t, err)
	for dir, o := range map[string]layout.LoadOptions{"toy/tune": {Base: "toy/llm"}, "toy/full": {}, "toy/next": {}} {
		a, err := layout.Open(dir, o)
		require.NoError(t, err)
		require.Equal(t, 12, layout.ConfigOf(a.Model).Second.HiddenSize)
		require.Equal(t, 16, a.Model.Connector.Layout(imaging.Size{W: 32, H: 32}).Tokens)
		a.Options.MaxNewTokens = 4
		_, err = a.Reply(t.Context(), []chat.Turn{{From: chat.Human, Value: "<image>\nWhat is this?"}},
			[]*imaging.RGB{imaging.New(20, 30)}, nil)
		require.NoError(t, err)
	}

	for _, x := range []struct {
		edit func(*llava.Config)
		want string
	}{
		{func(c *llava.Config) { c.Second = "toy/coarse" }, "the grids must agree"},
		{func(c *llava.Config) { c.Second = "toy/none" }, "second_vision: toy/none is not a folder"},
		{func(c *llava.Config) { c.Layout = "hub" }, "does not know two vision towers: save in the original layout"},
		{func(c *llava.Config) { c.S2Scales = "32,64" }, "two towers are for images of one view"},
		{func(c *llava.Config) { c.Out = "toy/dino" }, "second_vision is read from there"},
		{func(c *llava.Config) { c.Vision, c.LLM, c.Model = "", "", "toy/full" }, "a model has its own towers"},
	} {
		other := c
		other.Out = "toy/other"
		x.edit(&other)
		_, err := llava.Open(t.Context(), other, nil)
		require.ErrorContains(t, err, x.want)
		require.NoDirExists(t, "toy/other")
	}
}
