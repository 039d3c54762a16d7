package main

import (
	"bytes"
	"encoding/base64"
	"encoding/json"
	"fmt"
	"image"
	"image/png"
	"math/rand/v2"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/gollava/gollava/connector/git"
	"github.com/gollava/gollava/connector/serve"
	"github.com/gollava/gollava/data/tokenizer"
	"github.com/gollava/gollava/nn"
	"github.com/gollava/gollava/vit"
	"github.com/gollava/gollava/vit/imagebind"
)

// bertWords makes a BERT tokenizer of n words.
func bertWords(t *testing.T, dir string, n int) {
	words := []string{"[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]", "what", "is", "this", "?"}
	for len(words) < n {
		words = append(words, fmt.Sprintf("w%d", len(words)))
	}
	require.NoError(t, os.MkdirAll(dir, 0o700))
	for name, text := range map[string]string{"vocab.txt": strings.Join(words, "\n") + "\n",
		"tokenizer_config.json": `{"tokenizer_class": "BertTokenizer", "do_lower_case": true}`} {
		require.NoError(t, os.WriteFile(filepath.Join(dir, name), []byte(text), 0o600))
	}
}

// asked posts a request to a served model and reads the answer.
func asked(t *testing.T, url string, body map[string]any) (status int, answer map[string]any) {
	raw, err := json.Marshal(body)
	require.NoError(t, err)
	a, err := http.Post(url, "application/json", bytes.NewReader(raw))
	require.NoError(t, err)
	defer a.Body.Close()
	require.NoError(t, json.NewDecoder(a.Body).Decode(&answer))
	return a.StatusCode, answer
}

// A text-to-image model draws, and the same again with the same seed; an ImageBind embeds texts, images and
// sounds.
func TestServesModelsThatGiveNoAnswers(t *testing.T) {
	bind := t.TempDir()
	tok, err := tokenizer.Train(slices.Values([]string{"a red circle"}), tokenizer.TrainConfig{Size: 270,
		Specials: []string{"<s>", "</s>"}, BOS: "<s>", EOS: "</s>"})
	require.NoError(t, err)
	require.NoError(t, tok.Save(bind))
	c := imagebind.Huge()
	c.EmbedDim, c.Modalities = 6, []imagebind.Modality{imagebind.Vision, imagebind.Text, imagebind.Audio}
	c.VisionDim, c.VisionBlocks, c.VisionHeads, c.VisionPatch = 8, 1, 2, [2]int{8, 4}
	c.TextDim, c.TextBlocks, c.TextHeads, c.VocabSize, c.ContextLength = 8, 1, 2, 300, 9
	c.AudioDim, c.AudioBlocks, c.AudioHeads, c.AudioShape, c.AudioKernel = 8, 1, 2, [2]int{8, 204}, [2]int{8, 8}
	m, err := imagebind.New(rand.New(rand.NewPCG(1, 2)), c)
	require.NoError(t, err)
	require.NoError(t, imagebind.Save(bind, m, nn.SaveOptions{}))

	s := serve.New(serve.Config{})
	for name, dir := range map[string]string{"bind": bind, "art": painter(t)} {
		x, err := serveCommand{DType: "float32"}.open(dir, console{})
		require.NoError(t, err)
		s.Add(name, x.model)
	}
	server := httptest.NewServer(s)
	defer server.Close()

	var picture bytes.Buffer
	require.NoError(t, png.Encode(&picture, image.NewGray(image.Rect(0, 0, 20, 9))))
	wav := append([]byte("RIFF\x00\x00\x00\x00WAVEfmt \x10\x00\x00\x00\x01\x00\x01\x00\x40\x1f\x00\x00\x40\x1f\x00\x00"+
		"\x01\x00\x08\x00data\x40\x1f\x00\x00"), bytes.Repeat([]byte{100, 140, 128}, 2667)[:8000]...)
	encoded := base64.StdEncoding.EncodeToString
	status, a := asked(t, server.URL+"/v1/embeddings", map[string]any{"model": "bind", "input": []any{"a circle",
		map[string]any{"image": "data:image/png;base64," + encoded(picture.Bytes())},
		map[string]any{"audio": "data:audio/wav;base64," + encoded(wav)},
		map[string]any{"type": "input_audio", "input_audio": map[string]any{"data": encoded(wav), "format": "wav"}},
	}})
	require.Equal(t, http.StatusOK, status, a)
	var vectors [][]any
	for _, x := range a["data"].([]any) {
		vectors = append(vectors, x.(map[string]any)["embedding"].([]any))
		require.Len(t, vectors[len(vectors)-1], 6)
	}
	require.Len(t, vectors, 4)
	require.Equal(t, vectors[2], vectors[3])
	require.NotEqual(t, vectors[0], vectors[1])
	part := func(kind string, value any) []any { return []any{map[string]any{"type": kind, kind: value}} }
	for says, input := range map[string]any{
		"no token ids":   []int{1, 2},
		"is no WAV file": part("audio", "data:audio/wav;base64,AAAA"),
		"of format":      part("input_audio", map[string]any{"data": "AAAA", "format": "mp3"}),
	} {
		status, a := asked(t, server.URL+"/v1/embeddings", map[string]any{"model": "bind", "input": input})
		require.Equal(t, http.StatusBadRequest, status, says)
		require.Contains(t, a["error"].(map[string]any)["message"], says)
	}

	drawing := map[string]any{"model": "art", "prompt": "a llama", "steps": 2, "seed": 5, "size": "64x64",
		"boxes": [][]float64{{0.1, 0.2, 0.9, 0.9}}, "phrases": []string{"a hat"}, "tau": 1}
	images := map[string]bool{}
	for range 2 {
		status, a := asked(t, server.URL+"/v1/images/generations", drawing)
		require.Equal(t, http.StatusOK, status, a)
		require.Equal(t, "64x64", a["size"])
		images[a["data"].([]any)[0].(map[string]any)["b64_json"].(string)] = true
	}
	require.Len(t, images, 1, "the same seed draws the same")
	drawing["seed"] = 6
	status, a = asked(t, server.URL+"/v1/images/generations", drawing)
	require.Equal(t, http.StatusOK, status, a)
	images[a["data"].([]any)[0].(map[string]any)["b64_json"].(string)] = true
	require.True(t, len(images) == 2, "another seed draws another image")
	drawing["size"] = "63x64"
	status, a = asked(t, server.URL+"/v1/images/generations", drawing)
	require.Equal(t, http.StatusBadRequest, status)
	require.Contains(t, a["error"].(map[string]any)["message"], "multiples of 8")
}

// chat, eval and serve open systems other than LLaVA: answers are the same, and what a system cannot see is refused.
func TestOtherSystems(t *testing.T) {
	blip := filepath.Join(t.TempDir(), "instructblip")
	require.NoError(t, os.CopyFS(blip, os.DirFS("../../connector/blip2/testdata/instructblip")))
	bertWords(t, blip, 55)
	bertWords(t, filepath.Join(blip, "qformer_tokenizer"), 40)

	m, err := git.New(rand.New(rand.NewPCG(3, 4)), git.Config{VocabSize: 41, HiddenSize: 18, IntermediateSize: 26,
		NumHiddenLayers: 2, NumAttentionHeads: 3, MaxPositions: 20, NormEps: 1e-12, HiddenAct: "gelu", BOS: 2,
		EOS: []int{3}, PAD: 0, Vision: vit.VisionConfig{ModelType: "clip_vision_model", HiddenSize: 12,
			IntermediateSize: 20, NumHiddenLayers: 2, NumAttentionHeads: 3, NumChannels: 3, ImageSize: 12, PatchSize: 4,
			HiddenAct: "quick_gelu", LayerNormEps: 1e-5}})
	require.NoError(t, err)
	caption := filepath.Join(t.TempDir(), "git")
	require.NoError(t, git.Save(caption, m, git.SaveOptions{}))
	bertWords(t, caption, 41)

	var picture bytes.Buffer
	require.NoError(t, png.Encode(&picture, image.NewGray(image.Rect(0, 0, 20, 9))))
	file := filepath.Join(t.TempDir(), "a.png")
	require.NoError(t, os.WriteFile(file, picture.Bytes(), 0o600))
	questions := filepath.Join(filepath.Dir(file), "questions.jsonl")
	require.NoError(t, os.WriteFile(questions, []byte(`{"question_id": 1, "image": "a.png", "text": "What is this?"}`),
		0o600))
	url := "data:image/png;base64," + base64.StdEncoding.EncodeToString(picture.Bytes())

	for _, dir := range []string{blip, caption} {
		name := filepath.Base(dir)
		var out, said transcript
		args := []string{"chat", dir, "-i", file, "--ask", "What is this?", "--max-tokens", "5", "--dtype", "float32"}
		require.Zero(t, run(t.Context(), args, &out, &said), "%s: %s", name, &said)

		answers := filepath.Join(t.TempDir(), "answers.jsonl")
		args = []string{"eval", dir, "--questions", questions, "--answers", answers, "--max-tokens", "5", "--dtype",
			"float32"}
		var ignored transcript
		require.Zero(t, run(t.Context(), args, &ignored, &said), "%s: %s", name, &said)
		line, err := os.ReadFile(answers)
		require.NoError(t, err)
		var answer reply
		require.NoError(t, json.Unmarshal(line, &answer))
		require.NotEmpty(t, answer.Text)
		require.Equal(t, strings.TrimSpace(out.String()), answer.Text, name)

		s := serve.New(serve.Config{})
		x, err := serveCommand{DType: "float32", Exact: true}.open(dir, console{out: &out, err: &said})
		require.NoError(t, err)
		s.Add(name, x.model)
		server := httptest.NewServer(s)
		ask := func(images int) (int, string) {
			content := []any{}
			for range images {
				content = append(content, map[string]any{"type": "image_url", "image_url": map[string]any{"url": url}})
			}
			content = append(content, map[string]any{"type": "text", "text": "What is this?"})
			body, err := json.Marshal(map[string]any{"model": name, "max_tokens": 5, "temperature": 0,
				"messages": []any{map[string]any{"role": "user", "content": content}}})
			require.NoError(t, err)
			a, err := http.Post(server.URL+"/v1/chat/completions", "application/json", bytes.NewReader(body))
			require.NoError(t, err)
			defer a.Body.Close()
			var answer struct {
				Choices []struct{ Message struct{ Content string } }
				Error   struct{ Message string }
			}
			require.NoError(t, json.NewDecoder(a.Body).Decode(&answer))
			if len(answer.Choices) == 0 {
				return a.StatusCode, answer.Error.Message
			}
			return a.StatusCode, answer.Choices[0].Message.Content
		}
		status, text := ask(1)
		require.Equal(t, http.StatusOK, status, text)
		require.Equal(t, strings.TrimSpace(out.String()), strings.TrimSpace(text), name)
		require.NotEmpty(t, text)
		status, text = ask(2)
		require.Equal(t, http.StatusBadRequest, status)
		require.Contains(t, text, "2 images in a conversation: this model takes 1")
		server.Close()
	}
}
