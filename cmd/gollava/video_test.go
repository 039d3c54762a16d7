package main

import (
	"bytes"
	"image"
	"image/color"
	"image/gif"
	"math/rand/v2"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/gollava/gollava/connector/llava"
	"github.com/gollava/gollava/data/tokenizer"
	"github.com/gollava/gollava/llm"
	"github.com/gollava/gollava/nn"
	"github.com/gollava/gollava/vit"
)

// Videos from the data file to the score: checked, planned, trained, asked, and asked of a file of questions.
func TestVideos(t *testing.T) {
	dir := t.TempDir()
	tok, err := tokenizer.Train(slices.Values([]string{"what comes first ? red green"}), tokenizer.TrainConfig{Size: 290,
		Specials: []string{"<s>", "</s>"}, BOS: "<s>", EOS: "</s>"})
	require.NoError(t, err)
	m, err := llava.New(rand.New(rand.NewPCG(1, 1)), llava.Config{
		Text: llm.Config{ModelType: "llama", VocabSize: tok.Size(), HiddenSize: 32, IntermediateSize: 48, NumHiddenLayers: 2,
			NumAttentionHeads: 4, NumKeyValueHeads: 2, HeadDim: 8, MaxPositionEmbeddings: 512, NormEps: 1e-5, HiddenAct: "silu",
			RoPE: nn.RoPEConfig{Type: "default", Theta: 1e4}, BOS: 0, EOS: []int{1}, PAD: -1},
		Vision: vit.VisionConfig{ModelType: "clip_vision_model", HiddenSize: 16, IntermediateSize: 32, NumHiddenLayers: 2,
			NumAttentionHeads: 2, NumChannels: 3, ImageSize: 16, PatchSize: 8, HiddenAct: "quick_gelu", LayerNormEps: 1e-5},
		Video:     &llava.Video{Pool: "average", Stride: 2, Newline: "no_token", Token: -200},
		Projector: "mlp2x_gelu", Select: vit.Select{Layers: []int{-2}, Class: "patch"}, Image: -200})
	require.NoError(t, err)
	require.NoError(t, llava.Save(filepath.Join(dir, "model"), m, llava.SaveOptions{Layout: llava.Original, Tokenizer: tok}))
	red, green := color.RGBA{230, 20, 20, 255}, color.RGBA{20, 200, 40, 255}
	for name, frames := range map[string][]color.Color{"red": {red, green}, "green": {green, red}} {
		g := &gif.GIF{}
		for _, c := range frames {
			g.Image = append(g.Image, image.NewPaletted(image.Rect(0, 0, 20, 16), color.Palette{c}))
			g.Delay = append(g.Delay, 5)
		}
		var b bytes.Buffer
		require.NoError(t, gif.EncodeAll(&b, g))
		require.NoError(t, os.MkdirAll(filepath.Join(dir, "clips"), 0o777))
		require.NoError(t, os.WriteFile(filepath.Join(dir, "clips", name+".gif"), b.Bytes(), 0o666))
	}
	write := func(name, text string) {
		require.NoError(t, os.WriteFile(filepath.Join(dir, name), []byte(strings.ReplaceAll(text, "DIR", dir)), 0o666))
	}
	write("clips.json", `[{"id": "0", "video": "red.gif", "conversations": [
		{"from": "human", "value": "<video>\nwhat comes first ?"}, {"from": "gpt", "value": "red"}]},
		{"id": "1", "video": "green.gif", "conversations": [
		{"from": "human", "value": "<image>\nwhat comes first ?"}, {"from": "gpt", "value": "green"}]}]`)
	write("run.yaml", "stage: task\nmodel: DIR/model\ndata: DIR/clips.json\nimages: DIR/clips\nframes: 2\nfeatures: DIR/features\n"+
		"out: DIR/run\nlayout: original\nbatch: 2\nsteps: 60\nlr: 5e-3\nschedule: constant\nwarmup: 0\n")
	do := func(args string) string {
		code, said := command(t, dir, args)
		require.Zero(t, code, said)
		return said
	}
	do("data check DIR/clips.json --images DIR/clips")
	require.Contains(t, do("train --config DIR/run.yaml --plan"), "memory")
	require.Contains(t, do("train --config DIR/run.yaml"), "--frames 2")
	const asked = "chat DIR/run --dtype float32 --max-tokens 8 --frames 2 --ask first? --video DIR/clips/"
	require.NotEmpty(t, do(asked+"red.gif"))

	write("q.jsonl", `{"question_id": 1, "video": "red.gif", "text": "<video>\nwhat comes first ?", "answer": "red"}
{"question_id": 2, "video": "green.gif", "text": "what comes first ?", "answer": "green"}
`)
	const eval = "eval DIR/run --dtype float32 --questions DIR/q.jsonl --images DIR/clips --answers DIR/a.jsonl --frames "
	require.Contains(t, do(eval+"2"), "2 questions  exact 1.0000")
	code, said := command(t, dir, eval+"1")
	require.Equal(t, 1, code)
	require.Contains(t, said, "was made with --frames 2, and this run has 1")
	code, said = command(t, dir, eval+"0")
	require.Equal(t, 1, code)
	require.Contains(t, said, "--frames 0: at least one")
	for _, flag := range []string{"--likelihood", "--baselines"} {
		code, said = command(t, dir, eval+"2 "+flag)
		require.Equal(t, 1, code)
		require.Contains(t, said, "are for the questions of a --benchmark")
	}
	for text, want := range map[string]string{
		`{"question_id": 1, "video": "none.gif", "text": "what ?"}`:                  `"none.gif": file_missing: video: `,
		`{"question_id": 1, "video": "red.gif", "image": "red.gif", "text": "wh ?"}`: "is about image red.gif and video red.gif",
	} {
		write("q.jsonl", text)
		require.NoError(t, os.RemoveAll(filepath.Join(dir, "a.jsonl")))
		code, said = command(t, dir, eval+"2")
		require.Equal(t, 1, code)
		require.Contains(t, said, want)
	}
}
