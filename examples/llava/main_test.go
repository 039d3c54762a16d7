package main

import (
	"bytes"
	"context"
	"encoding/json"
	"io"
	"maps"
	"math/rand/v2"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/gollava/gollava/connector"
	"github.com/gollava/gollava/connector/llava"
	"github.com/gollava/gollava/data/chat"
	"github.com/gollava/gollava/data/imaging"
	"github.com/gollava/gollava/data/shapes"
	"github.com/gollava/gollava/data/tokenizer"
	"github.com/gollava/gollava/llm"
	"github.com/gollava/gollava/lora"
	"github.com/gollava/gollava/nn"
	"github.com/gollava/gollava/vit"
)

// world makes what the recipe starts from: a vision tower and a language model, each in a folder as transformers has
// it, and LLaVA's files.
func world(t *testing.T) string {
	dir := t.TempDir()
	r := rand.New(rand.NewPCG(1, 1))
	tower, err := vit.New(r, vit.VisionConfig{ModelType: "clip_vision_model", HiddenSize: 16, IntermediateSize: 32, NumHiddenLayers: 3, NumAttentionHeads: 2, NumChannels: 3,
		ImageSize: 32, PatchSize: 8, HiddenAct: "quick_gelu", LayerNormEps: 1e-5})
	require.NoError(t, err)
	require.NoError(t, vit.Save(filepath.Join(dir, "vision"), tower, nn.SaveOptions{}))
	raw, err := json.Marshal(imaging.CLIP(32))
	require.NoError(t, err)
	require.NoError(t, os.WriteFile(filepath.Join(dir, "vision", "preprocessor_config.json"), raw, 0o666))

	w, err := shapes.New(shapes.Smoke(1))
	require.NoError(t, err)
	require.NoError(t, w.Write(t.Context(), dir, shapes.Files{Captions: 24, Instructions: 24, Questions: 1}))

	text, err := os.ReadFile(filepath.Join(dir, "instruct", "llava_instruct.json"))
	require.NoError(t, err)
	tok, err := tokenizer.Train(slices.Values([]string{string(text)}), tokenizer.TrainConfig{Size: 384, Specials: []string{"<unk>", "<s>", "</s>"}, BOS: "<s>", EOS: "</s>"})
	require.NoError(t, err)
	m, err := llm.New(r, llm.Config{ModelType: "llama", VocabSize: tok.Size(), HiddenSize: 24, IntermediateSize: 48, NumHiddenLayers: 2, NumAttentionHeads: 4, NumKeyValueHeads: 2,
		HeadDim: 6, MaxPositionEmbeddings: 512, NormEps: 1e-5, HiddenAct: "silu", RoPE: nn.RoPEConfig{Type: "default", Theta: 1e4}, BOS: 1, EOS: []int{2}, PAD: -1})
	require.NoError(t, err)
	require.NoError(t, llm.Save(m, filepath.Join(dir, "llm"), nn.SaveOptions{}))
	require.NoError(t, tok.Save(filepath.Join(dir, "llm")))
	return dir
}

// command runs the example in dir, whose name stands for WORLD in args, and returns the exit status and what it prints.
func command(t *testing.T, dir, args string) (int, string) {
	var w bytes.Buffer
	code := run(t.Context(), strings.Fields(strings.ReplaceAll(args, "WORLD", dir)), &w)
	t.Log(w.String())
	return code, w.String()
}

func weights(m any) map[string]string {
	out := map[string]string{}
	for name, p := range nn.Params(m) {
		out[name] = string(p.Bytes())
	}
	return out
}

const (
	parts = "-vision WORLD/vision -llm WORLD/llm "
	align = "-stage align -data WORLD/pretrain/chat.json -images WORLD/pretrain/images -out WORLD/align -batch 8 -micro 4 -steps 4 -warmup 0.25 " + parts
	tune  = "-data WORLD/instruct/llava_instruct.json -images WORLD/instruct/images -batch 8 -micro 4 -steps 4 -max_length 400 " + parts
)

// TestProjectorTypes: each can be trained and read again, and what the layout cannot say is refused before anything is
// trained.
func TestProjectorTypes(t *testing.T) {
	dir := world(t)
	for args, want := range map[string]string{"-recipe v1 ": "linear", "-projector_type mlp2x_linear ": "mlp2x_linear", "-projector_type mlp2x_linear -layout original ": "mlp2x_linear"} {
		code, out := command(t, dir, args+"-stage tune -out WORLD/"+want+" "+tune)
		require.Zero(t, code, out)
		m, err := llava.Load(filepath.Join(dir, want), llava.LoadOptions{})
		require.NoError(t, err)
		require.Equal(t, want, llava.ConfigOf(m).Projector)
		require.NoError(t, os.RemoveAll(filepath.Join(dir, want)))
	}
	code, out := command(t, dir, "-projector_type mlp2x_linear "+align)
	require.Zero(t, code, out)
	code, out = command(t, dir, "-recipe v1 -layout hub -stage tune -out WORLD/hub "+tune)
	require.NotZero(t, code)
	require.Contains(t, out, `layout hub: `)
	require.Contains(t, out, `no name for mm_projector_type "linear"`)
	require.NotContains(t, out, "1/4")
}

// TestStages: what stage 1 writes moves the projector alone, what stage 2 writes is a whole model in which only the
// tower is as it was.
func TestStages(t *testing.T) {
	dir := world(t)
	code, out := command(t, dir, align+"-features WORLD/features")
	require.Zero(t, code, out)
	require.Contains(t, out, "computing the features of 24 pictures once")
	require.Contains(t, out, "4 steps of 2 micro-batches; 1008 values of multi_modal_projector.** train")
	code, out = command(t, dir, "-stage tune -out WORLD/tune -validation 0.25 -projector WORLD/align "+tune)
	require.Zero(t, code, out)
	require.Contains(t, out, "validation · loss")

	m, err := llava.Load(filepath.Join(dir, "tune"), llava.LoadOptions{})
	require.NoError(t, err)
	first, err := llava.Load(filepath.Join(dir, "align"), llava.LoadOptions{Base: filepath.Join(dir, "llm"), Tower: filepath.Join(dir, "vision")})
	require.NoError(t, err)
	tower, err := vit.Load(filepath.Join(dir, "vision"), nn.LoadOptions{})
	require.NoError(t, err)
	require.Equal(t, weights(tower), weights(m.Vision))
	require.NotEqual(t, weights(first.Connector), weights(m.Connector))
	old, err := llm.Load(filepath.Join(dir, "llm"), nn.LoadOptions{})
	require.NoError(t, err)
	require.Equal(t, weights(old), weights(first.Language))
	for name, b := range weights(old) {
		require.NotEqual(t, b, weights(m.Language)[name], name)
	}
	files, err := filepath.Glob(filepath.Join(dir, "tune", "*.json"))
	require.NoError(t, err)
	names := map[string]bool{}
	for _, f := range files {
		names[filepath.Base(f)] = true
	}
	for _, f := range []string{"config.json", "generation_config.json", "preprocessor_config.json", "processor_config.json", "tokenizer.json", "tokenizer_config.json"} {
		require.True(t, names[f], "%s is not among %v", f, slices.Sorted(maps.Keys(names)))
	}
	tok, err := tokenizer.Load(filepath.Join(dir, "tune"))
	require.NoError(t, err)
	id, ok := tok.ID("<image>")
	require.True(t, ok)
	require.Equal(t, m.Config().Image, int(id))

	a, err := llava.Open(filepath.Join(dir, "tune"), llava.LoadOptions{})
	require.NoError(t, err)
	require.Equal(t, "v1", a.Template.Name)
	a.Options.MaxNewTokens = 20
	said := ""
	turns := []chat.Turn{{From: chat.Human, Value: "<image>\nwhat is here ?"}}
	answer, err := a.Reply(t.Context(), turns, []*imaging.RGB{imaging.New(40, 30)}, func(s string) error { said += s; return nil })
	require.NoError(t, err)
	require.Equal(t, answer, strings.TrimSpace(said))
	_, err = a.Reply(t.Context(), turns, nil, nil)
	require.NoError(t, err, "without a picture <image> is text")
	_, err = a.Reply(t.Context(), turns, make([]*imaging.RGB, 0), func(string) error { return os.ErrClosed })
	require.ErrorIs(t, err, os.ErrClosed)
	_, err = a.Reply(t.Context(), append(turns, chat.Turn{From: chat.GPT, Value: "a"}), nil, nil)
	require.ErrorContains(t, err, "the last turn must be the human's")
	_, err = a.Reply(t.Context(), turns, []*imaging.RGB{imaging.New(9, 9), imaging.New(9, 9)}, nil)
	require.ErrorContains(t, err, "2 images for 1 places")
}

// TestLoRA: the adapter and the projector are stored, and on top of the plain language model they are what was trained.
func TestLoRA(t *testing.T) {
	dir := world(t)
	code, out := command(t, dir, "-stage lora -out WORLD/lora -lora_r 4 -lora_alpha 8 -lr 1e-2 -dtype float32 "+tune)
	require.Zero(t, code, out)
	base := filepath.Join(dir, "llm")
	a, err := llava.Open(filepath.Join(dir, "lora"), llava.LoadOptions{Base: base})
	require.NoError(t, err)
	plain := weights(a.Model.Language)
	adapter, err := lora.Load(a.Model, filepath.Join(dir, "lora"), llava.Namings(a.Model)...)
	require.NoError(t, err)
	require.Equal(t, 2*(4*(24+24)*2+4*(24+12)*2+4*(24+48)*3), adapter.Trainable()-projectorSize(a.Model))
	require.NoError(t, lora.Merge(a.Model))
	moved := 0
	for name, b := range weights(a.Model.Language) {
		if b != plain[name] {
			moved++
			require.Contains(t, name, "_proj.weight")
		}
	}
	require.Equal(t, 14, moved)
	a.Options.MaxNewTokens = 3
	_, err = a.Reply(t.Context(), []chat.Turn{{From: chat.Human, Value: "<image>\nwhat is here ?"}}, []*imaging.RGB{imaging.New(40, 30)}, nil)
	require.NoError(t, err)
}

func projectorSize(m *connector.VLM) int {
	n := 0
	for _, p := range nn.Params(m.Connector) {
		n += p.Len()
	}
	return n
}

// TestResume: a run that is stopped in the middle goes on to the same bytes.
func TestResume(t *testing.T) {
	dir := world(t)
	stage := "-stage tune -every 1 -keep 9 " + tune
	code, out := command(t, dir, stage+"-out WORLD/whole")
	require.Zero(t, code, out)
	ctx, cancel := context.WithCancel(t.Context())
	var w bytes.Buffer
	code = run(ctx, strings.Fields(strings.ReplaceAll(stage+"-out WORLD/parts", "WORLD", dir)), &cancelling{&w, cancel})
	require.Equal(t, 1, code)
	require.Contains(t, w.String(), "go on with: go run ./examples/llava")
	code, out = command(t, dir, stage+"-out WORLD/parts -resume -micro 2")
	require.Equal(t, 1, code)
	require.Contains(t, out, "accumulate was 2 and is now 4")
	code, out = command(t, dir, stage+"-out WORLD/parts -resume")
	require.Zero(t, code, out)
	want, err := os.ReadFile(filepath.Join(dir, "whole", "model.safetensors"))
	require.NoError(t, err)
	got, err := os.ReadFile(filepath.Join(dir, "parts", "model.safetensors"))
	require.NoError(t, err)
	require.True(t, bytes.Equal(want, got))
}

// cancelling cancels when the first checkpoint is reported.
type cancelling struct {
	w      io.Writer
	cancel func()
}

func (c *cancelling) Write(b []byte) (int, error) {
	if bytes.Contains(b, []byte("checkpoint")) {
		c.cancel()
	}
	return c.w.Write(b)
}

// TestFaults: what is wrong with files or flags is an error with their name.
func TestFaults(t *testing.T) {
	dir := world(t)
	require.NoError(t, os.WriteFile(filepath.Join(dir, "cut.json"), []byte(`[{"id": "1", "image": "x.png"`), 0o666))
	require.NoError(t, os.WriteFile(filepath.Join(dir, "lost.json"), []byte(`[{"id": "lost", "image": "nowhere.png", "conversations": [
		{"from": "human", "value": "<image>\nwhat ?"}, {"from": "gpt", "value": "nothing"}]}]`), 0o666))
	for _, c := range []struct{ args, want string }{
		{"-stage aline " + parts, `stage "aline" is not one of recipe v1.5: choose from align, tune, lora, task, task_lora`},
		{"-stage align -out WORLD/x " + parts, "data is missing"},
		{"-stage align -data WORLD/pretrain/chat.json " + parts, "out is missing"},
		{"-stage task -out WORLD/x -data WORLD/pretrain/chat.json " + parts, "needs model"},
		{strings.Replace(align, "-vision WORLD/vision", "-vision WORLD/llm", 1), "vision: "},
		{strings.Replace(align, "-llm WORLD/llm", "-llm WORLD/vision", 1), "llm: "},
		{strings.Replace(align, "-llm WORLD/llm", "-llm vicuna", 1), "vicuna is not a folder: download"},
		{align + "-micro 3", "micro 3 does not divide batch 8"},
		{align + "-template vikuna", "vikuna"},
		{align + "-memory lots", `memory "lots" is not a size such as 20GiB`},
		{align + "-memory 1MiB", "over the limit"},
		{align + "-data WORLD/cut.json", "cut.json"},
		{align + "-data WORLD/lost.json -micro 1 -batch 1", "nowhere.png"},
		{align + "-images WORLD/none", "images: "},
		{align + "-projector WORLD/vision", "projector: "},
		{align + "-lora_r 8", "has no adapters"},
	} {
		code, out := command(t, dir, c.args)
		require.Equal(t, 1, code, c.args)
		require.Contains(t, out, c.want)
	}
	code, out := command(t, dir, "-setps 3")
	require.Equal(t, 2, code)
	require.Contains(t, out, "setps")
}
