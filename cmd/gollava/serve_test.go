package main

import (
	"bytes"
	"context"
	"io"
	"math/rand/v2"
	"net/http"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/gollava/gollava/data/tokenizer"
	"github.com/gollava/gollava/llm"
	"github.com/gollava/gollava/lora"
	"github.com/gollava/gollava/nn"
)

// transcript is what a command prints, to be read while it runs.
type transcript struct {
	mu sync.Mutex
	b  bytes.Buffer
}

func (t *transcript) Write(p []byte) (int, error) {
	t.mu.Lock()
	defer t.mu.Unlock()
	return t.b.Write(p)
}

func (t *transcript) String() string {
	t.mu.Lock()
	defer t.mu.Unlock()
	return t.b.String()
}

// TestServe serves a plain language model from a folder, answers, and stops when it is told to.
func TestServe(t *testing.T) {
	dir := t.TempDir()
	tok, err := tokenizer.Train(slices.Values([]string{"a b c"}),
		tokenizer.TrainConfig{Size: 280, Specials: []string{"<s>", "</s>"}, BOS: "<s>", EOS: "</s>"})
	require.NoError(t, err)
	m, err := llm.New(rand.New(rand.NewPCG(1, 2)), llm.Config{ModelType: "llama", VocabSize: tok.Size(), HiddenSize: 16,
		IntermediateSize: 32, NumHiddenLayers: 1,
		NumAttentionHeads: 2, NumKeyValueHeads: 2, HeadDim: 8, MaxPositionEmbeddings: 256, NormEps: 1e-5, HiddenAct: "silu", RoPE: nn.RoPEConfig{Theta: 1e4}, BOS: 0, EOS: []int{1}, PAD: -1})
	require.NoError(t, err)
	require.NoError(t, llm.Save(m, dir, nn.SaveOptions{}))
	require.NoError(t, tok.Save(dir))

	adapters := filepath.Join(t.TempDir(), "adapters")
	under := nn.Share(m)
	config := lora.Default(2, 4, "q_proj")
	config.Init.Kind = "false" // its answers differ from the first
	adapter, err := lora.Wrap(under, config, rand.New(rand.NewPCG(3, 4)), nil)
	require.NoError(t, err)
	require.NoError(t, adapter.Save(filepath.Join(adapters, "own"), lora.SaveOptions{}))

	var out, said transcript
	require.Equal(t, 1, run(t.Context(), []string{"serve", dir, "--listen", "127.0.0.1:0"}, &out, &said))
	require.Contains(t, said.String(), "--template") // nothing names one
	require.Equal(t, 1, run(t.Context(), []string{"serve", "x=" + dir, "x=" + dir, "--template", "vicuna_v1", "--listen", "127.0.0.1:0"}, &out, &said))
	require.Contains(t, said.String(), `"x" is empty or there twice`)
	require.Equal(t, 1, run(t.Context(), []string{"serve", dir, "--listen", "8080"}, &out, &said))
	require.Contains(t, said.String(), "HOST:PORT")

	ctx, cancel := context.WithCancel(t.Context())
	ended := make(chan int, 1)
	var log transcript
	go func() {
		ended <- run(ctx, []string{"serve", "tiny=" + dir, "--template", "vicuna_v1", "--listen", "127.0.0.1:0",
			"--adapter", "first=" + filepath.Join(adapters, "own"), "--adapters", adapters}, &out, &log)
	}()
	address := regexp.MustCompile(`http://[0-9.:]+`)
	listens := func() bool { return address.MatchString(log.String()) }
	require.Eventually(t, listens, time.Minute, 10*time.Millisecond, "%s", &log)
	at := address.FindString(log.String())
	post := func(path, body string) (int, string) {
		r, err := http.Post(at+path, "application/json", strings.NewReader(body))
		require.NoError(t, err)
		b, err := io.ReadAll(r.Body)
		require.NoError(t, err)
		require.NoError(t, r.Body.Close())
		return r.StatusCode, string(b)
	}
	ask := func(model string) string {
		status, body := post("/v1/chat/completions",
			`{"model": "`+model+`", "messages": [{"role": "user", "content": "a"}],
			"max_tokens": 3, "temperature": 0, "logprobs": true}`)
		require.Equal(t, 200, status, body)
		return body[strings.Index(body, `"logprobs"`):strings.Index(body, `"created"`)]
	}
	status, body := post("/v1/models/tiny/adapters", `{"name": "second", "adapter": "../adapters/own"}`)
	require.Equal(t, 404, status, body)
	status, body = post("/v1/models/tiny/adapters", `{"name": "second", "adapter": "own"}`)
	require.Equal(t, 200, status, body)
	require.NotEqual(t, ask("tiny"), ask("first"))
	require.Equal(t, ask("first"), ask("second"))
	cancel()
	select {
	case code := <-ended:
		require.Equal(t, 0, code, "%s", &log)
	case <-time.After(time.Minute):
		t.Fatal("the server does not stop")
	}
}
