package main

import (
	"bytes"
	"encoding/json"
	"image"
	"image/color"
	"image/png"
	"math/rand/v2"
	"net/http"
	"net/http/httptest"
	"path/filepath"
	"slices"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/gollava/gollava/connector"
	"github.com/gollava/gollava/connector/llava"
	"github.com/gollava/gollava/connector/serve"
	"github.com/gollava/gollava/data/chat"
	"github.com/gollava/gollava/data/imaging"
	"github.com/gollava/gollava/data/tokenizer"
	"github.com/gollava/gollava/llm"
	"github.com/gollava/gollava/nn"
	"github.com/gollava/gollava/vit"
)

// A corrected answer is learnt while the server answers: "learnt" gives it, and "base" says what it said before.
func TestLearns(t *testing.T) {
	tok, err := tokenizer.Train(slices.Values([]string{"what is this ? a red circle"}), tokenizer.TrainConfig{Size: 290,
		Specials: []string{"<s>", "</s>", "<image>"}, BOS: "<s>", EOS: "</s>"})
	require.NoError(t, err)
	m, err := llava.New(rand.New(rand.NewPCG(1, 1)), llava.Config{
		Text: llm.Config{ModelType: "llama", VocabSize: tok.Size(), HiddenSize: 32, IntermediateSize: 48,
			NumHiddenLayers:   1,
			NumAttentionHeads: 2, NumKeyValueHeads: 2, HeadDim: 16, MaxPositionEmbeddings: 512, NormEps: 1e-5,
			HiddenAct: "silu", RoPE: nn.RoPEConfig{Theta: 1e4}, BOS: 0, EOS: []int{1}, PAD: -1, InitStd: 0.1},
		Vision: vit.VisionConfig{ModelType: "clip_vision_model", HiddenSize: 8, IntermediateSize: 16,
			NumHiddenLayers:   2,
			NumAttentionHeads: 2, NumChannels: 3, ImageSize: 16, PatchSize: 8, HiddenAct: "quick_gelu",
			LayerNormEps: 1e-5},
		Projector: "mlp2x_gelu", Select: vit.Select{Layers: []int{-2}, Class: "patch"}, Image: 2})
	require.NoError(t, err)
	a := &connector.Assistant{Model: m, Tokenizer: tok, Processor: imaging.CLIP(16), Template: chat.VicunaV1(),
		Options: llm.Options{PAD: -1}}
	s, corrections := serve.New(serve.Config{Log: t.Logf}), make(chan connector.Sample, 8)
	s.Add("base", serve.Assistant(a, llm.EngineConfig{}))
	fixed := s.Guard(correct(a, corrections))
	done := make(chan struct{})
	go func() { defer close(done); learn(a, s, corrections, filepath.Join(t.TempDir(), "adapter")) }()

	var file bytes.Buffer
	x := image.NewRGBA(image.Rect(0, 0, 16, 16))
	x.Set(3, 4, color.White)
	require.NoError(t, png.Encode(&file, x))
	post := func(h http.Handler, path string, v any) *httptest.ResponseRecorder {
		b, err := json.Marshal(v)
		require.NoError(t, err)
		q := httptest.NewRequest(http.MethodPost, path, bytes.NewReader(b))
		q.Host = "localhost"
		q.Header.Set("Content-Type", "application/json")
		w := httptest.NewRecorder()
		h.ServeHTTP(w, q)
		return w
	}
	answer := func(model string) string {
		w := post(s, "/api/generate", map[string]any{"model": model, "prompt": "what is this ?",
			"images": [][]byte{file.Bytes()},
			"stream": false, "options": map[string]any{"temperature": 0, "num_predict": 24}})
		var r struct{ Response string }
		require.NoError(t, json.Unmarshal(w.Body.Bytes(), &r))
		return r.Response // "": there is no such model yet
	}
	before := answer("base")
	require.NotContains(t, before, "a red circle")
	require.Equal(t, 400, post(fixed, "/v1/corrections", map[string]any{"question": "x", "answer": "y"}).Code)
	require.Equal(t, 200, post(fixed, "/v1/corrections", map[string]any{"question": "what is this ?",
		"answer": "a red circle", "image": file.Bytes()}).Code)
	require.Eventually(t, func() bool { return answer("learnt") == "a red circle" }, 30*time.Second,
		10*time.Millisecond)
	require.Equal(t, before, answer("base"))
	close(corrections)
	<-done
}
