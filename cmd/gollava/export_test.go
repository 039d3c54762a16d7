package main

import (
	"bytes"
	"image"
	"image/png"
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
	"github.com/gollava/gollava/data/tokenizer"
	"github.com/gollava/gollava/llm"
	"github.com/gollava/gollava/lora"
	"github.com/gollava/gollava/nn"
	"github.com/gollava/gollava/tensor"
	"github.com/gollava/gollava/vit"
)

// tiny writes a model to dir/model and an adapter of it, far from nothing, to dir/adapter.
func tiny(t *testing.T) string {
	dir := t.TempDir()
	model := filepath.Join(dir, "model")
	r := rand.New(rand.NewPCG(1, 1))
	tok, err := tokenizer.Train(slices.Values([]string{"what is in this picture ? a red circle"}), tokenizer.TrainConfig{Size: 300, Specials: []string{"<s>", "</s>", "<image>"}, BOS: "<s>", EOS: "</s>"})
	require.NoError(t, err)
	m, err := llava.New(r, llava.Config{
		Text: llm.Config{ModelType: "llama", VocabSize: tok.Size(), HiddenSize: 16, IntermediateSize: 24, NumHiddenLayers: 2, NumAttentionHeads: 2, NumKeyValueHeads: 1, HeadDim: 8,
			MaxPositionEmbeddings: 2048, NormEps: 1e-5, HiddenAct: "silu", RoPE: nn.RoPEConfig{Type: "default", Theta: 1e4}, BOS: 0, EOS: []int{1}, PAD: -1},
		Vision: vit.VisionConfig{ModelType: "clip_vision_model", HiddenSize: 8, IntermediateSize: 16, NumHiddenLayers: 2, NumAttentionHeads: 2, NumChannels: 3, ImageSize: 16, PatchSize: 8,
			HiddenAct: "quick_gelu", LayerNormEps: 1e-5},
		Projector: "mlp2x_gelu", Select: vit.Select{Layers: []int{-2}, Class: "patch"}, Image: 2})
	require.NoError(t, err)
	require.NoError(t, llava.Save(model, m, llava.SaveOptions{}))
	require.NoError(t, tok.Save(model))
	a := lora.LLaVA()
	a.R, a.Init.Kind = 3, "false"
	adapter, err := lora.Wrap(m, a, r, llava.Transformers5)
	require.NoError(t, err)
	require.NoError(t, adapter.Save(filepath.Join(dir, "adapter"), lora.SaveOptions{}))
	return dir
}

// logits are what the model in dir, with the adapter in another if that is not empty, makes of a few tokens and a
// picture.
func logits(t *testing.T, dir, adapter string) []float32 {
	m, err := llava.Load(dir, llava.LoadOptions{DType: nn.As(tensor.Float32)})
	require.NoError(t, err)
	if adapter != "" {
		_, err := lora.Load(m, adapter, llava.Namings(m)...)
		require.NoError(t, err)
	}
	r := rand.New(rand.NewPCG(5, 5))
	ids := []int32{0, 7, int32(m.Config().Image), int32(m.Config().Image), int32(m.Config().Image), int32(m.Config().Image), 9, 11}
	h := m.Hidden(connector.Batch{IDs: tensor.Ints(ids, 1, len(ids)), Pixels: tensor.Randn(r, 1, 1, 3, 16, 16).NoGrad()})
	V := 259 // the original layout fills the vocabulary up
	return tensor.From(llm.Logits(m.Language, h).Data(), len(ids), m.Language.Config().VocabSize).Slice(1, 0, V).Clone().Data()
}

func command(t *testing.T, dir string, args string) (int, string) {
	var out, err bytes.Buffer
	code := run(t.Context(), strings.Fields(strings.ReplaceAll(args, "DIR", dir)), &out, &err)
	t.Log(out.String(), err.String())
	return code, out.String() + err.String()
}

// TestMergeExport: a merged model computes what model and adapter do, whatever layout it goes through.
func TestMergeExport(t *testing.T) {
	dir := tiny(t)
	model, adapter := filepath.Join(dir, "model"), filepath.Join(dir, "adapter")
	want, plain := logits(t, model, adapter), logits(t, model, "")
	require.NotEqual(t, want, plain)
	code, _ := command(t, dir, "merge DIR/adapter --base DIR/model --dtype float32 --out DIR/merged")
	require.Zero(t, code)
	require.InDeltaSlice(t, want, logits(t, filepath.Join(dir, "merged"), ""), 1e-4)
	code, _ = command(t, dir, "export DIR/adapter --base DIR/model --dtype float32 --layout peft --out DIR/peft")
	require.Zero(t, code)
	require.InDeltaSlice(t, want, logits(t, model, filepath.Join(dir, "peft")), 1e-5)
	code, _ = command(t, dir, "export DIR/merged --dtype float32 --layout original --out DIR/original")
	require.Zero(t, code)
	require.FileExists(t, filepath.Join(dir, "original", "vision_tower", "config.json"))
	code, _ = command(t, dir, "export DIR/original --dtype float32 --out DIR/back")
	require.Zero(t, code)
	require.FileExists(t, filepath.Join(dir, "back", "processor_config.json"))
	require.InDeltaSlice(t, want, logits(t, filepath.Join(dir, "back"), ""), 1e-4)

	for args, said := range map[string]string{
		"merge DIR/model --out DIR/x":                                  "no adapter_config.json",
		"merge DIR/adapter --out DIR/x":                                "--base",
		"export DIR/model --layout peft --out DIR/x":                   "holds no adapter",
		"export DIR/none --out DIR/x":                                  "none",
		"eval DIR/model --questions DIR/none.jsonl --answers DIR/a":    "none.jsonl",
		"eval DIR/model --questions DIR/broken.jsonl --answers DIR/a":  "broken.jsonl:2:",
		"eval DIR/model --questions DIR/missing.jsonl --answers DIR/a": "question 7: ",
	} {
		require.NoError(t, os.WriteFile(filepath.Join(dir, "broken.jsonl"),
			[]byte("{\"question_id\": 1, \"text\": \"what ?\"}\n{\n"), 0o666))
		require.NoError(t, os.WriteFile(filepath.Join(dir, "missing.jsonl"), []byte(`{"question_id": 7, "image": "no.png", "text": "what ?"}`), 0o666))
		code, out := command(t, dir, args)
		require.Equal(t, 1, code, args)
		require.Contains(t, out, said)
	}
}

// TestWritten: weights are written as they are stored, nothing is overwritten unasked, and what transformers cannot
// read is not written as if it could.
func TestWritten(t *testing.T) {
	dir := tiny(t)
	dtypes := func(name string) []string {
		w, err := nn.OpenWeights(filepath.Join(dir, name))
		require.NoError(t, err)
		defer w.Close()
		seen := map[string]bool{}
		for _, n := range w.Names() {
			seen[w.DType(n)] = true
		}
		return slices.Sorted(maps.Keys(seen))
	}
	do := func(args string) {
		code, said := command(t, dir, args)
		require.Zero(t, code, said)
	}
	do("merge DIR/adapter --base DIR/model --out DIR/merged")
	require.Equal(t, []string{"F32"}, dtypes("merged"))
	do("export DIR/merged --dtype bfloat16 --out DIR/narrow")
	require.Equal(t, []string{"BF16"}, dtypes("narrow"))
	do("export DIR/narrow --layout original --out DIR/original")
	require.Equal(t, []string{"BF16"}, dtypes("original"))
	m, err := llava.Load(filepath.Join(dir, "narrow"), llava.LoadOptions{})
	require.NoError(t, err)
	require.NoError(t, llava.Save(filepath.Join(dir, "mixed"), m, llava.SaveOptions{})) // its vectors are float32
	tok, err := tokenizer.Load(filepath.Join(dir, "model"))
	require.NoError(t, err)
	require.NoError(t, tok.Save(filepath.Join(dir, "mixed")))
	do("export DIR/mixed --out DIR/again")
	require.Equal(t, []string{"BF16", "F32"}, dtypes("again"))
	require.InDeltaSlice(t, logits(t, filepath.Join(dir, "mixed"), ""), logits(t, filepath.Join(dir, "again"), ""), 0)

	merging, err := llava.New(rand.New(rand.NewPCG(2, 2)), func() llava.Config {
		c := llava.ConfigOf(m)
		c.Merge = 2
		return c
	}())
	require.NoError(t, err)
	require.NoError(t, llava.Save(filepath.Join(dir, "merging"), merging, llava.SaveOptions{}))
	require.NoError(t, tok.Save(filepath.Join(dir, "merging")))
	code, said := command(t, dir, "merge DIR/adapter --base DIR/merging --out DIR/folded")
	require.Zero(t, code, said)
	require.Contains(t, said, "only gollava can open the result: no other program has a projector that merges patches")
	do("export DIR/merging --layout gollava --out DIR/own")
	weights := func(name string) []byte {
		b, err := os.ReadFile(filepath.Join(dir, name, "model.safetensors"))
		require.NoError(t, err)
		return b
	}
	require.Equal(t, weights("merging"), weights("own"))
	before, err := os.ReadFile(filepath.Join(dir, "adapter", "adapter_config.json"))
	require.NoError(t, err)
	for args, says := range map[string]string{
		"export DIR/merging --out DIR/x":                                    "has a projector that merges patches (merge 2)",
		"export DIR/merging --layout original --out DIR/x":                  "--layout gollava writes what this program opens",
		"merge DIR/adapter --base DIR/merging --layout hub --out DIR/x":     "--layout gollava writes what this program opens",
		"merge DIR/adapter --base DIR/model --out DIR/adapter":              "is what is read",
		"merge DIR/adapter --base DIR/model --out DIR/adapter --force":      "is what is read",
		"merge DIR/adapter --base DIR/model --out DIR/model/../model":       "is what is read",
		"export DIR/model --out DIR/merged":                                 "merged is not empty (",
		"export DIR/adapter --base DIR/model --layout peft --out DIR/model": "is what is read",
	} {
		code, said := command(t, dir, args)
		require.Equal(t, 1, code, args)
		require.Contains(t, said, says, args)
	}
	after, err := os.ReadFile(filepath.Join(dir, "adapter", "adapter_config.json"))
	require.NoError(t, err)
	require.Equal(t, before, after)
	require.NoDirExists(t, filepath.Join(dir, "x"))
	do("export DIR/merged --out DIR/narrow --force")
	require.Equal(t, []string{"F32"}, dtypes("narrow"))
	require.NoError(t, os.Mkdir(filepath.Join(dir, "empty"), 0o777))
	do("export DIR/merged --out DIR/empty")
}

// TestEval: answers are LLaVA's lines, a second run asks only what is missing, and what has a label is scored.
func TestEval(t *testing.T) {
	dir := tiny(t)
	require.NoError(t, os.Mkdir(filepath.Join(dir, "images"), 0o777))
	f, err := os.Create(filepath.Join(dir, "images", "a.png"))
	require.NoError(t, err)
	require.NoError(t, png.Encode(f, image.NewRGBA(image.Rect(0, 0, 20, 10))))
	require.NoError(t, f.Close())
	first := `{"question_id": 1, "image": "a.png", "text": "<image>\nis there a circle ?", "label": "yes"}
{"question_id": "two", "image": "a.png", "text": "is it red ?", "label": "no"}
`
	path := filepath.Join(dir, "q.jsonl")
	require.NoError(t, os.WriteFile(path, []byte(first), 0o666))
	const line = "eval DIR/model --questions DIR/q.jsonl --answers DIR/a.jsonl --max-tokens 4"
	code, out := command(t, dir, line)
	require.Zero(t, code)
	require.Regexp(t, `all +2 questions  accuracy \d\.\d+ .* yes \d`, out)
	was, err := os.ReadFile(filepath.Join(dir, "a.jsonl"))
	require.NoError(t, err)
	require.Contains(t, string(was), `{"question_id":"two","prompt":"is it red ?"`)
	require.Contains(t, string(was), `"model_id":"model","metadata":{"max_tokens":4,"template":"vicuna_v1"}}`)

	require.NoError(t, os.WriteFile(path, []byte(first+`{"question_id": 3, "text": "no picture", "answer": "Red.", "category": "color"}`), 0o666))
	code, out = command(t, dir, line)
	require.Zero(t, code)
	require.Contains(t, out, "2 of 3 answers are in")
	require.Regexp(t, `color +1 questions  exact 0`, out)
	now, err := os.ReadFile(filepath.Join(dir, "a.jsonl"))
	require.NoError(t, err)
	require.True(t, bytes.HasPrefix(now, was))
	require.Equal(t, 3, bytes.Count(now, []byte("\n")))
}
