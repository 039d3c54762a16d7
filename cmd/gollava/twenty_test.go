package main

import (
	"bytes"
	"context"
	"encoding/base64"
	"encoding/json"
	"fmt"
	"image"
	"image/color"
	"image/png"
	"io"
	"math/rand/v2"
	"net/http"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/gollava/gollava/data/imaging"
	"github.com/gollava/gollava/data/tokenizer"
	"github.com/gollava/gollava/llm"
	"github.com/gollava/gollava/nn"
	"github.com/gollava/gollava/vit"
)

// twenty writes a language model, a tower and twenty samples with an image each, whose answers only the images tell,
// and returns the answers. Paths in DIR/run.yaml are relative to DIR.
func twenty(t *testing.T, dir string) []string {
	r := rand.New(rand.NewPCG(7, 7))
	names := strings.Fields("red green blue grey pink gold teal navy lime plum rust sand rose mint coal snow fawn " +
		"jade ruby wine")
	corpus := "A chat between a curious user and an artificial intelligence assistant. The assistant gives helpful, " +
		"detailed, " +
		"and polite answers to the user's questions. USER: <image>\nWhich one is it? ASSISTANT: It is the one. " +
		strings.Join(names, " ")
	tok, err := tokenizer.Train(slices.Values([]string{corpus}), tokenizer.TrainConfig{Size: 380,
		Specials: []string{"<unk>", "<s>", "</s>"}, BOS: "<s>", EOS: "</s>", MinCount: 1})
	require.NoError(t, err)
	m, err := llm.New(r, llm.Config{ModelType: "llama", VocabSize: tok.Size(), HiddenSize: 48, IntermediateSize: 96,
		NumHiddenLayers: 2, NumAttentionHeads: 4, NumKeyValueHeads: 2, HeadDim: 12, MaxPositionEmbeddings: 512,
		NormEps:   1e-5,
		HiddenAct: "silu", RoPE: nn.RoPEConfig{Type: "default", Theta: 1e4}, BOS: 1, EOS: []int{2}, PAD: -1})
	require.NoError(t, err)
	require.NoError(t, llm.Save(m, filepath.Join(dir, "llm"), nn.SaveOptions{}))
	require.NoError(t, tok.Save(filepath.Join(dir, "llm")))
	tower, err := vit.New(r, vit.VisionConfig{ModelType: "clip_vision_model", HiddenSize: 32, IntermediateSize: 64,
		NumHiddenLayers: 2, NumAttentionHeads: 2, NumChannels: 3, ImageSize: 16, PatchSize: 8, HiddenAct: "quick_gelu",
		LayerNormEps: 1e-5})
	require.NoError(t, err)
	require.NoError(t, vit.Save(filepath.Join(dir, "tower"), tower, nn.SaveOptions{}))
	writeJSON(t, filepath.Join(dir, "tower", "preprocessor_config.json"), imaging.CLIP(16))

	require.NoError(t, os.Mkdir(filepath.Join(dir, "images"), 0o777))
	var records []map[string]any
	var questions bytes.Buffer
	answers := make([]string, len(names))
	for i, name := range names {
		answers[i] = "It is the " + name + " one."
		file := fmt.Sprintf("%02d.png", i)
		x := image.NewRGBA(image.Rect(0, 0, 16, 16))
		code := r.IntN(1 << 12)
		for k := range 256 { // four patches, each of one colour
			shade := func(bit int) uint8 { return uint8(255 * (code >> (bit + 3*(k%16/8+k/128*2)) & 1)) }
			x.Set(k%16, k/16, color.RGBA{shade(0), shade(1), shade(2), 255})
		}
		var b bytes.Buffer
		require.NoError(t, png.Encode(&b, x))
		require.NoError(t, os.WriteFile(filepath.Join(dir, "images", file), b.Bytes(), 0o666))
		records = append(records, map[string]any{"id": fmt.Sprint(i), "image": file,
			"conversations": []map[string]string{
				{"from": "human", "value": "<image>\n" + which}, {"from": "gpt", "value": answers[i]}}})
		line, err := json.Marshal(map[string]any{"question_id": i, "image": file, "text": which, "answer": answers[i]})
		require.NoError(t, err)
		questions.Write(append(line, '\n'))
	}
	writeJSON(t, filepath.Join(dir, "twenty.json"), records)
	require.NoError(t, os.WriteFile(filepath.Join(dir, "questions.jsonl"), questions.Bytes(), 0o666))
	require.NoError(t, os.WriteFile(filepath.Join(dir, "run.yaml"), []byte(`stage: tune
vision: tower
llm: llm
data: twenty.json
images: images
dtype: float32
batch: 20
micro: 20
steps: 120
lr: 1e-2
weight_decay: 0
out: run/tune
`), 0o666))
	return answers
}

func writeJSON(t *testing.T, path string, v any) {
	raw, err := json.Marshal(v)
	require.NoError(t, err)
	require.NoError(t, os.WriteFile(path, raw, 0o666))
}

const which = "Which one is it?"

// TestTwentyOfTwenty trains on twenty samples by the command line, and asks for all of them through chat, eval and
// serve, after merge, and in every layout that a model is written in.
func TestTwentyOfTwenty(t *testing.T) {
	dir := t.TempDir()
	want := twenty(t, dir)
	t.Chdir(dir)
	said := ""
	must := func(args string) string {
		t.Helper()
		code, text := command(t, dir, args)
		require.Zero(t, code, "%s: %s", args, text)
		said += text
		return text
	}
	asks := 0
	eval := func(model string) {
		t.Helper()
		asks++
		require.Regexp(t, `all +20 questions +exact 1\.0000`,
			must(fmt.Sprintf("eval %s --questions questions.jsonl --answers a%d.jsonl "+
				"--max-tokens 12", model, asks)), model)
	}
	must("train -config run.yaml")
	eval("run/tune")

	// The adapter learns other answers: each image has that of the next.
	want = append(want[1:], want[0])
	for _, name := range []string{"twenty.json", "questions.jsonl"} {
		raw, err := os.ReadFile(name)
		require.NoError(t, err)
		turned := regexp.MustCompile(`It is the \w+ one\.`)
		n := 0
		require.NoError(t, os.WriteFile(name, turned.ReplaceAllFunc(raw,
			func([]byte) []byte { n++; return []byte(want[n-1]) }), 0o666))
	}
	must("train -config run.yaml --set stage=task_lora --set vision= --set llm= --set model=run/tune " +
		"--set out=run/lora --set lora.r=8 --set lora.alpha=16 --set lora.dropout=0")
	const adapter = "run/lora --base run/tune"
	eval(adapter)
	for i, w := range want {
		if i%4 == 0 { // the others are asked through eval, which opens the model once
			var out, said bytes.Buffer
			require.Zero(t, run(t.Context(), []string{"chat", "run/lora", "--base", "run/tune", "--image",
				fmt.Sprintf("images/%02d.png", i), "--ask", which}, &out, &said), &said)
			require.Equal(t, w+"\n", out.String())
		}
	}
	served(t, want, "run/lora", "--base", "run/tune")

	must("merge " + adapter + " --out merged")
	eval("merged")
	served(t, want, "merged")
	must("export " + adapter + " --layout peft --out peft")
	eval("peft --base run/tune")
	for _, layout := range []string{"hub", "original", "gguf"} {
		end := map[bool]string{true: ".gguf"}[layout == "gguf"]
		must("export " + adapter + " --layout " + layout + " --out of-adapter-" + layout + end)
		must("export merged --layout " + layout + " --out of-merged-" + layout + end)
		eval("of-adapter-" + layout + end)
		eval("of-merged-" + layout + end)
	}
	must("export of-merged-original --layout hub --out back")
	eval("back")
	must("quantise merged --type q8_0 --out of-merged-q8.gguf")
	eval("of-merged-q8.gguf")

	// Every line that says how to go on works as printed, from another folder.
	for _, args := range []string{"inspect merged", "inspect llm", "inspect run/lora",
		"data check twenty.json --images images",
		"data show twenty.json --images images", "chat merged --ask hello --max-tokens 1",
		"train -config run.yaml -plan"} {
		must(args)
	}
	followed(t, said)
}

// followed runs each line of a transcript that says how to go on, from an empty folder.
func followed(t *testing.T, said string) {
	t.Helper()
	done := map[string]bool{}
	for line := range strings.Lines(said) {
		line, ok := strings.CutPrefix(strings.TrimSpace(line), "next: ")
		if !ok || done[line] {
			continue
		}
		done[line] = true
		t.Run(line, func(t *testing.T) {
			t.Chdir(t.TempDir())
			if folder, rest, ok := strings.Cut(line, " && "); ok {
				t.Chdir(strings.TrimPrefix(folder, "cd "))
				line = rest
			}
			if strings.HasPrefix(line, "gollava train -config") {
				line += " --set out=" + t.TempDir() + " --set steps=2"
			}
			var out, err bytes.Buffer
			require.Zero(t, run(t.Context(), strings.Fields(line)[1:], &out, &err), "%s", &err)
		})
	}
	require.Greater(t, len(done), 10)
}

// served asks a server about all images.
func served(t *testing.T, want []string, model ...string) {
	t.Helper()
	ctx, cancel := context.WithCancel(t.Context())
	status := make(chan int, 1)
	var out, log transcript
	go func() {
		status <- run(ctx, append(append([]string{"serve"}, model...), "--listen", "127.0.0.1:0"), &out, &log)
	}()
	address := regexp.MustCompile(`http://[0-9.:]+`)
	require.Eventually(t, func() bool { return address.MatchString(log.String()) }, time.Minute, 5*time.Millisecond,
		"%s", &log)
	for i, w := range want {
		raw, err := os.ReadFile(fmt.Sprintf("images/%02d.png", i))
		require.NoError(t, err)
		body, err := json.Marshal(map[string]any{"model": filepath.Base(model[0]), "max_tokens": 12,
			"messages": []any{map[string]any{
				"role": "user", "content": []any{
					map[string]any{"type": "image_url",
						"image_url": map[string]any{"url": "data:image/png;base64," +
							base64.StdEncoding.EncodeToString(raw)}},
					map[string]any{"type": "text", "text": which}}}}})
		require.NoError(t, err)
		r, err := http.Post(address.FindString(log.String())+"/v1/chat/completions", "application/json",
			bytes.NewReader(body))
		require.NoError(t, err)
		said, err := io.ReadAll(r.Body)
		require.NoError(t, err)
		require.NoError(t, r.Body.Close())
		var answer struct {
			Choices []struct{ Message struct{ Content string } }
		}
		require.NoError(t, json.Unmarshal(said, &answer), "%s", said)
		require.Len(t, answer.Choices, 1, "%s", said)
		require.Equal(t, w, answer.Choices[0].Message.Content, "image %d", i)
	}
	cancel()
	require.Zero(t, <-status, "%s", &log)
}
