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
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/gollava/gollava/connector/git"
	"github.com/gollava/gollava/connector/serve"
	"github.com/gollava/gollava/vit"
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

// chat and serve open systems other than LLaVA: answers are the same, and what a system cannot see is refused.
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
	url := "data:image/png;base64," + base64.StdEncoding.EncodeToString(picture.Bytes())

	for _, dir := range []string{blip, caption} {
		name := filepath.Base(dir)
		var out, said transcript
		require.Zero(t, run(t.Context(), []string{"chat", dir, "-i", file, "--ask", "What is this?", "--max-tokens", "5",
			"--dtype", "float32"}, &out, &said), "%s: %s", name, &said)

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
